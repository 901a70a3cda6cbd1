// The examples without a bundler: what they compute, and what their pages show.

import { load } from '../../index.js';
import { browsers, check, equal, host, test, until, url } from '../harness.js';
import { palette as shownPalette } from '../../examples/mandelbrot/dist/palette.js';
import { Picture } from '../../examples/mandelbrot/dist/picture.js';

const MANDELBROT = '/examples/mandelbrot/dist/';

/** What `examples/checksum.rs` was asked for. */
const { view, colours, width, height, checksum } = host.mandelbrot;
const colour = (n) => (Math.imul(n, 0x010307) | 0xff000000) >>> 0;
const palette = Uint32Array.from({ length: colours }, (_, n) => colour(n));

const sum = (words) => words.reduce((sum, word) => Math.imul(sum ^ word, 0x01000193) >>> 0, 0x811c9dc5);
const hex = (number) => number.toString(16).padStart(8, '0');

/** Draws into an array; tells how it went. */
async function drawn(picture, view) {
  const pixels = new Uint32Array(picture.width * picture.height);
  const bytes = new Uint8Array(pixels.buffer);
  let rows = 0;
  const isAll = await picture.draw(view, (y, row) => {
    bytes.set(row, y * row.length);
    rows += 1;
  });
  return { isAll, rows, pixels };
}

const cores = async () =>
  globalThis.navigator?.hardwareConcurrency ?? (await import('node:os')).availableParallelism();

const create = async (...size) =>
  Picture.create(await load(url(`${MANDELBROT}mandelbrot.wasm`)), ...size, palette);

test('examples: the Mandelbrot set is the native one, each time, and by the same threads', async () => {
  const picture = await create(width, height);
  for (let time = 0; time < 3; time++) {
    const { isAll, rows, pixels } = await drawn(picture, view);
    equal([isAll, rows, hex(sum(pixels))], [true, height, checksum]);
    // Constructors that ran again would make another pool.
    equal(picture.threads, await cores());
  }
  await picture.close();
});

test('examples: a picture gives way to the next one', async () => {
  const picture = await create(width, height);
  const asked = [];
  for (let time = 0; time < 5; time++) asked.push(drawn(picture, { ...view, im: 0.01 * time }));
  const last = drawn(picture, view);
  const skipped = await Promise.all(asked.slice(1));
  equal(skipped.map(({ isAll, rows }) => [isAll, rows]), skipped.map(() => [false, 0]));
  const { isAll, pixels } = await last;
  equal([isAll, hex(sum(pixels))], [true, checksum]);
  await picture.close();
});

/** What a canvas shows. */
function shown(document) {
  const canvas = document.querySelector('canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return new Uint32Array(data.buffer);
}

test('examples: the page draws under the strict policy, and obeys buttons and keys', async () => {
  const frame = document.createElement('iframe');
  frame.src = url(`/strict${MANDELBROT}index.html`);
  const loaded = new Promise((done) => (frame.onload = done));
  document.body.append(frame);
  await loaded;
  const { contentDocument: page, contentWindow: window } = frame;
  const picture = await create(width, height);
  const colours = shownPalette(palette.length);
  const stepsOf = new Map(Array.from(palette, (colour, steps) => [colour, steps]));
  const shows = async (place) => {
    await until(() => {
      check(page.body.dataset.state !== 'failed', page.getElementById('status').value);
      return page.body.dataset.state === 'done';
    });
    const { pixels } = await drawn(picture, place);
    const wanted = pixels.map((pixel) => colours[stepsOf.get(pixel)]);
    equal(hex(sum(shown(page))), hex(sum(wanted)));
  };
  const press = (key) =>
    page.querySelector('canvas').dispatchEvent(new window.KeyboardEvent('keydown', { key }));

  await shows(view);
  page.getElementById('in').click();
  equal(page.body.dataset.state, 'drawing');
  await shows({ ...view, width: 2 });
  press('ArrowUp');
  await shows({ ...view, width: 2, im: 0.25 });
  press('Home');
  await shows(view);
  frame.remove();
  await picture.close();
}, browsers);
