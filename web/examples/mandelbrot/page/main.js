// The page: shows rows as they get ready, and takes what is clicked and typed.

import { isolate } from './isolate.js';
import { palette } from './palette.js';
import { Picture } from './picture.js';
import { load } from './threadwork/index.js';

const WHOLE = { re: -0.75, im: 0, width: 4 };
const COLOURS = 500;
const ZOOM = 2;
/** How far an arrow moves, in pictures. */
const MOVE = 0.125;
/** Beyond, neighbouring points are the same number. */
const NARROWEST = 1e-12;

const element = (id) => document.getElementById(id);
const canvas = document.querySelector('canvas');
const context = canvas.getContext('2d', { alpha: false });
const { width, height } = canvas;

let view = WHOLE;
let picture;

function say(text, state) {
  element('status').value = text;
  document.body.dataset.state = state;
}

async function draw(next) {
  view = next;
  say('Drawing', 'drawing');
  const strip = context.createImageData(width, 1);
  const begin = performance.now();
  const isAll = await picture.draw(view, (y, pixels) => {
    strip.data.set(pixels);
    context.putImageData(strip, 0, y);
  });
  if (!isAll) return;
  const seconds = ((performance.now() - begin) / 1000).toFixed(2);
  canvas.setAttribute('aria-label', `The Mandelbrot set around ${view.re} + ${view.im}i, ${view.width} wide`);
  say(`${width} x ${height} pixels, ${picture.threads} threads, ${seconds} s`, 'done');
}

const zoom = (factor, { re, im } = view) =>
  request({ re, im, width: Math.min(WHOLE.width, Math.max(NARROWEST, view.width / factor)) });
const move = (right, up) =>
  request({ ...view, re: view.re + right * MOVE * view.width, im: view.im + up * MOVE * view.width });
const request = (next) => draw(next).catch(fail);
const fail = (error) => say(error.message, 'failed');

/** The point of the plane under the pointer. */
function pointAt({ offsetX, offsetY }) {
  const right = offsetX / canvas.clientWidth - 0.5;
  const down = offsetY / canvas.clientHeight - 0.5;
  return { re: view.re + right * view.width, im: view.im - (down * view.width * height) / width };
}

const KEYS = {
  ArrowLeft: () => move(-1, 0),
  ArrowRight: () => move(1, 0),
  ArrowUp: () => move(0, 1),
  ArrowDown: () => move(0, -1),
  '+': () => zoom(ZOOM),
  '-': () => zoom(1 / ZOOM),
  Home: () => request(WHOLE),
};

function listen() {
  element('in').onclick = () => zoom(ZOOM);
  element('out').onclick = () => zoom(1 / ZOOM);
  element('home').onclick = () => request(WHOLE);
  canvas.onclick = (event) => zoom(ZOOM, pointAt(event));
  canvas.onkeydown = (event) => {
    if (!Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    KEYS[event.key]();
  };
  for (const button of document.querySelectorAll('button')) button.disabled = false;
}

try {
  const obstacle = await isolate();
  if (obstacle) throw new Error(`${obstacle.reason} ${obstacle.remedy}`);
  picture = await Picture.create(await load('mandelbrot.wasm'), width, height, palette(COLOURS));
  listen();
  await draw(WHOLE);
} catch (error) {
  fail(error);
}
