// The page of `threadwork serve` and `threadwork bundle`, in a real Chromium:
// `node --test test/page`, with the binary and the guests built before.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  bundle,
  closeBrowser,
  file,
  guest,
  open,
  openAs,
  output,
  picture,
  plainHost,
  printer,
  serve,
  status,
  temporaryFolder,
  timelinePixels,
} from './support.js';

const SORT = { args: ['--threads', '{threads}', '--size', '1000000'] };

after(closeBrowser);

/** A page of a served program, which is closed with its server after the test. */
async function served(t, program, { page: options, ...rest } = {}) {
  const server = await serve(program, rest);
  t.after(server.close);
  const page = await open(server.address, options);
  t.after(() => page.context().close());
  page.address = server.address;
  return page;
}

// ---- Running ----

test('a program runs: its output, its end, its threads and figures', async (t) => {
  const page = await served(t, guest('merge-sort'), SORT);
  assert.equal(await status(page, /^Finished after .*: exit code 0$/), 'good');
  assert.match(
    await output(page),
    /sorting 1000000 numbers\nsorted: yes\nresult: \w+ .* threads: \d/,
  );
  assert.equal(await page.locator('#name').innerText(), 'merge-sort.wasm');
  assert.match(await page.locator('#elapsed').innerText(), /^[\d.]+ m?s$/);
  assert.ok(Number(await page.locator('#started').innerText()) >= 2);
  assert.ok(Number.parseFloat(await page.locator('#average').innerText()) > 0.5);
  const pixels = await timelinePixels(page);
  assert.ok(pixels.running > 500 && pixels.waiting > 100, JSON.stringify(pixels));
  assert.deepEqual(page.mistakes, []);
  await picture(page, 'finished');
});

test('everything comes from the server itself', async (t) => {
  const page = await served(t, guest('hello'));
  await status(page, /^Finished/);
  const foreign = page.requests.filter((url) => !url.startsWith(page.address));
  assert.deepEqual(foreign, []);
  assert.ok(page.requests.some((url) => url.endsWith('/runtime/index.js')));
});

test('Stop ends a program that computes, and Run starts it again', async (t) => {
  const page = await served(t, guest('endings'), { args: ['main', 'exit:3', 'compute'] });
  assert.equal(await status(page, /^Exited with code 3/), 'warn');
  await page.fill('#arguments', "thread 'return' compute");
  await page.click('#run');
  // Main joins a thread that returns, and returns: that ends the others, too.
  await status(page, /^Finished/);

  const args = ['--threads', '{threads}', '--size', '4000000000'];
  const computing = await served(t, guest('pi'), { args });
  await status(computing, /^Running/);
  await computing.waitForFunction(() => document.getElementById('started').textContent >= '2');
  await picture(computing, 'running');
  await computing.click('#stop');
  assert.equal(await status(computing, /^Stopped after/), 'idle');
  assert.equal(await computing.getAttribute('#stop', 'aria-disabled'), 'true');
  await computing.fill('#arguments', '--size 1000');
  await computing.click('#run');
  await status(computing, /^Finished/);
  assert.match(await output(computing), /^result: /m);
});

test('input: lines, and its end', async (t) => {
  const page = await served(t, guest('stdio'));
  await status(page, /^Running/);
  await page.fill('#input', 'one line');
  await page.press('#input', 'Enter');
  await page.fill('#input', 'another');
  await page.click('#send');
  await page.click('#end-input');
  await status(page, /^Finished/);
  const text = await output(page);
  assert.match(text, /echo one line\necho another\n/);
  assert.match(text, /lines=2 bytes=17/);
  assert.equal(await page.getAttribute('#send', 'aria-disabled'), 'true');
});

test('files of --dir, and the environment', async (t) => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'given.txt'), 'given');
  const options = ['--dir', `${folder}::/data`];
  const page = await served(t, guest('files'), { options, args: ['/data'] });
  await status(page, /^Finished/);
  assert.match(await output(page), /ok files/);
  const hello = await served(t, guest('hello'), { options: ['--env', 'WHO=me'], args: ['a b'] });
  await status(hello, /^Finished/);
  assert.match(await output(hello), /arg 1: a b\n[^]*WHO=me/);
});

test('a program that was built again is what Run runs', async (t) => {
  const program = file('program.wat', printer('first\n'));
  const page = await served(t, program);
  await status(page, /^Finished/);
  assert.equal((await output(page)).trim(), 'first');
  writeFileSync(program, printer('second\n'));
  await page.click('#run');
  await page.waitForFunction(() =>
    document.getElementById('terminal').textContent.includes('second'),
  );
  writeFileSync(program, '(module');
  await page.click('#run');
  assert.equal(await status(page, /program\.wat/), 'bad');
});

// ---- How programs end ----

test('a trap: who, why, where', async (t) => {
  const page = await served(t, guest('endings'), { args: ['thread', 'panic', 'wait'] });
  assert.equal(await status(page, /^Thread \d \(\d in Rust's messages\) trapped: unreachable/), 'bad');
  assert.match(await page.locator('#report-text').innerText(), /endings::end/);
  assert.match(await output(page), /panicked at/);
  await picture(page, 'trap');
});

test('a deadlock: who waits where', async (t) => {
  const page = await served(t, guest('deadlock'), { args: ['philosophers'] });
  assert.equal(await status(page, /^Deadlock: all 3 threads wait for ever/), 'bad');
  assert.match(
    await page.locator('#report-text').innerText(),
    /philosopher_left[^]*philosopher_right/,
  );
});

test('a program that cannot run says why', async (t) => {
  const page = await served(
    t,
    file('rockets.wat', '(module (import "env" "launch" (func)) (func (export "_start")))'),
  );
  assert.equal(await status(page, /env\.launch/), 'bad');
  const library = await served(t, file('library.wat', '(module (func (export "add")))'));
  assert.equal(await status(library, /_start/), 'bad');
});

// ---- Speed-up ----

test('the comparison with one thread', async (t) => {
  const page = await served(t, guest('pi'), {
    args: ['--threads', '{threads}', '--size', '40000000'],
  });
  await status(page, /^Finished/);
  await page.fill('#threads', '2');
  await page.click('#compare');
  await page.waitForSelector('#verdict b', { timeout: 60_000 });
  assert.match(
    await page.locator('#verdict').innerText(),
    /^\d+\.\d\d times as fast with 2 threads/,
  );
  assert.match(await output(page), /With 2 threads:[^]*threads: 2[^]*With 1 thread:[^]*threads: 1/);
  for (const bar of ['#many', '#one']) {
    assert.ok((await page.locator(bar).boundingBox()).width > 10, bar);
  }
  await picture(page, 'compared');
});

test('a program that does not ask how many threads is told so', async (t) => {
  const page = await served(t, guest('pi'), { args: ['--threads', '2', '--size', '40000000'] });
  await status(page, /^Finished/);
  await page.fill('#threads', '2');
  await page.click('#compare');
  await page.waitForFunction(() => document.getElementById('verdict').textContent !== '');
  assert.match(await page.locator('#verdict').innerText(), /same work\..*\{threads\}/);
});

// ---- The terminal ----

test('colours, progress bars and markup that is none', async (t) => {
  const text = '\x1b[1;31mred\x1b[0m <b>plain</b>\n10 %\r20 %\r\x1b[32m30 %\x1b[0m\n';
  const page = await served(t, file('colours.wat', printer(text)));
  await status(page, /^Finished/);
  assert.equal((await output(page)).trim(), 'red <b>plain</b>\n30 %');
  const red = page.locator('#terminal .bold');
  assert.equal(await red.innerText(), 'red');
  const colours = await red.evaluate((span) => [
    getComputedStyle(span).color,
    getComputedStyle(document.body).color,
  ]);
  assert.notEqual(colours[0], colours[1]);
  assert.deepEqual(page.mistakes, []);
});

test('a flood of output leaves the page usable', async (t) => {
  const line = `${'x'.repeat(76)}\n`;
  const page = await served(t, file('flood.wat', printer(line.repeat(40), { times: 2_000_000 })));
  await status(page, /^Running/);
  await page.waitForFunction(() => document.getElementById('terminal').childElementCount >= 4000);
  await page.click('#stop');
  await status(page, /^Stopped/);
  assert.ok((await page.locator('#terminal > div').count()) <= 5001);
});

// ---- For everybody ----

test('everything can be done by keyboard, and the focus is never lost', async (t) => {
  const page = await served(t, guest('stdio'));
  await status(page, /^Running/);
  const focus = () =>
    page.evaluate(() => document.activeElement.id || document.activeElement.tagName);
  const order = [];
  for (;;) {
    await page.keyboard.press('Tab');
    const at = await focus();
    // Past the last, the browser's own buttons would follow.
    if (at === 'BODY' || order.includes(at)) break;
    order.push(at);
    const outline = await page.evaluate(
      () => getComputedStyle(document.activeElement).outlineStyle,
    );
    assert.notEqual(outline, 'none', `${order.at(-1)} does not show that it has the focus`);
  }
  const expected = [
    'arguments',
    'threads',
    'run',
    'stop',
    'copy',
    'terminal',
    'input',
    'send',
    'end-input',
  ];
  assert.deepEqual(order.slice(0, expected.length), expected);
  assert.ok(order.includes('compare'), order.join());

  await page.focus('#input');
  await page.keyboard.type('typed');
  await page.keyboard.press('Enter');
  assert.equal(await focus(), 'input');
  await page.focus('#stop');
  await page.keyboard.press('Space');
  await status(page, /^Stopped/);
  assert.equal(await focus(), 'stop');
  await page.focus('#arguments');
  await page.keyboard.press('Enter');
  await status(page, /^Running/);
  await page.focus('#end-input');
  await page.keyboard.press('Enter');
  await status(page, /^Finished/);
  assert.equal(await focus(), 'end-input');
  await page.focus('#table > summary');
  await page.keyboard.press('Enter');
  assert.match(await page.locator('#rows').innerText(), /main\tended/);
});

test('screen readers get names, roles and news', async (t) => {
  const page = await served(t, guest('hello'));
  await status(page, /^Finished/);
  const tree = await page.locator('body').ariaSnapshot();
  for (const part of [
    'heading "hello.wasm" [level=1]',
    'form "Run the program"',
    'textbox "Arguments"',
    'spinbutton "Threads"',
    'button "Run"',
    'button "Stop" [disabled]',
    'status: "Finished',
    'log "Output"',
    'textbox "Input for the program, one line"',
    'heading "Threads over time" [level=2]',
    'img "Threads over time; the table below has the figures"',
    'button "Compare with one thread"',
  ]) {
    assert.ok(tree.includes(part), `no ${part} in\n${tree}`);
  }
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll('input, button')]
      .filter((element) => !(element.labels?.length || element.textContent.trim()))
      .map((element) => element.outerHTML),
  );
  assert.deepEqual(nameless, []);
});

for (const colorScheme of ['light', 'dark']) {
  test(`enough contrast in the ${colorScheme} scheme`, async (t) => {
    const page = await served(t, guest('merge-sort'), { ...SORT, page: { colorScheme } });
    await status(page, /^Finished/);
    const weak = await page.evaluate(weakContrasts);
    assert.deepEqual(weak, []);
    const [red] = (
      await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)
    ).match(/\d+/g);
    assert.equal(Number(red) > 128, colorScheme === 'light');
    await picture(page, colorScheme);
    await page.fill('#arguments', 'nonsense');
    await page.click('#run');
    await status(page, /^Exited with code 2/);
    assert.deepEqual(await page.evaluate(weakContrasts), []);
  });
}

/** Texts that stand out less from what is behind them than WCAG's AA asks for. */
function weakContrasts() {
  const rgb = (colour) => {
    const pen = document.createElement('canvas').getContext('2d');
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (colour) => {
    const [red, green, blue] = rgb(colour).map((part) => {
      const share = part / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const background = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (rgb(colour)[3] === 255) return colour;
    }
    return 'white';
  };
  const weak = [];
  const check = (name, front, back) => {
    const [bright, dark] = [luminance(front), luminance(back)].sort((a, b) => b - a);
    const ratio = (bright + 0.05) / (dark + 0.05);
    if (ratio < 4.5) weak.push(`${name}: ${ratio.toFixed(2)}`);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const isShown = walker.currentNode.data.trim() !== '' && element.checkVisibility();
    if (!isShown || element.closest('[aria-disabled="true"], noscript')) continue;
    check(walker.currentNode.data.trim(), getComputedStyle(element).color, background(element));
  }
  const style = getComputedStyle(document.documentElement);
  const terminal = style.getPropertyValue('--terminal');
  for (let index = 0; index < 16; index += 1)
    check(`ansi ${index}`, style.getPropertyValue(`--ansi-${index}`), terminal);
  return weak;
}

test('nothing moves for those who do not want it', async (t) => {
  const page = await served(t, guest('stdio'), { page: { reducedMotion: 'reduce' } });
  await status(page, /^Running/);
  assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
  await page.click('#end-input');
  await status(page, /^Finished/);
  const still = await served(t, guest('stdio'));
  await status(still, /^Running/);
  assert.ok((await still.evaluate(() => document.getAnimations().length)) > 0);
});

test('windows of any width', async (t) => {
  const page = await served(t, guest('merge-sort'), SORT);
  await status(page, /^Finished/);
  for (const width of [320, 700, 1000, 1800]) {
    await page.setViewportSize({ width, height: 800 });
    const [scroll, client] = await page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      return [scrollWidth, clientWidth];
    });
    assert.equal(scroll, client);
    await picture(page, `width-${width}`);
    const pixels = await timelinePixels(page);
    assert.ok(pixels.running > 100, `${width}: ${JSON.stringify(pixels)}`);
  }
});

// ---- Bundles ----

test('a bundle runs on a host without headers, through its service worker', async (t) => {
  const folder = bundle(guest('merge-sort'), SORT);
  const host = await plainHost(folder, '/some/where/');
  t.after(host.close);
  const page = await open(host.address);
  t.after(() => page.context().close());
  await status(page, /^Finished/);
  assert.match(await output(page), /sorted: yes/);
  assert.ok(await page.evaluate(() => globalThis.crossOriginIsolated));
  assert.ok(await page.evaluate(() => navigator.serviceWorker.controller !== null));
  // Later visits need no reload, and one that goes past the service worker mends itself.
  const before = page.requests.length;
  await page.reload();
  await status(page, /^Finished/);
  const documents = page.requests.slice(before).filter((url) => url === host.address);
  assert.equal(documents.length, 1);
  await picture(page, 'bundle');
});

test('without service workers: what to do, and programs without threads run', async (t) => {
  for (const [program, end] of [
    ['fib-single', /^Finished after/],
    ['hello', /^The main thread trapped/],
  ]) {
    const host = await plainHost(bundle(guest(program)));
    t.after(host.close);
    const page = await open(host.address, { serviceWorkers: 'block' });
    t.after(() => page.context().close());
    await page.waitForSelector('#notice:not([hidden])');
    assert.match(await page.locator('#notice').innerText(), /Cross-Origin-Opener-Policy/);
    await status(page, end);
    await page.click('#compare');
    assert.match(await page.locator('#verdict').innerText(), /one thread already/);
    await picture(page, `alone-${program}`);
  }
});

test('a page that came without https is told what to do', async (t) => {
  const host = await plainHost(bundle(guest('hello')));
  t.after(host.close);
  const own = await openAs('app.test', `http://app.test:${host.port}/`);
  t.after(own.close);
  await own.page.waitForSelector('#notice:not([hidden])');
  assert.match(await own.page.locator('#notice').innerText(), /https/);
});
