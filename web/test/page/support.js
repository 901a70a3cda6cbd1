// What the tests of the page stand on: `threadwork serve` and `bundle` as they are built, a
// real Chromium, and a static server that sets no headers.
//
// THREADWORK names the binary, GUESTS the folder of the guests; by default both are where
// the repository's tests build them. SCREENSHOTS names a folder for pictures to look at.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url));
const TARGET = process.env.CARGO_TARGET_DIR ?? join(REPOSITORY, 'target');
export const THREADWORK = process.env.THREADWORK ?? join(TARGET, 'release/threadwork');
const GUESTS = process.env.GUESTS ?? join(TARGET, 'guests/wasm32-wasip1-threads/release');

/** After this time something that should show counts as missing. */
export const PATIENCE = 60_000;

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

// ---- Programs ----

export const guest = (name) => join(GUESTS, `${name}.wasm`);

/** A folder that goes away when the tests end. */
export function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'threadwork-page-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The text of a module that calls WASI's `fd_write` with this text, `times` times. */
export function printer(text, { times = 1, fd = 1 } = {}) {
  const bytes = [...new TextEncoder().encode(text)];
  const data = bytes.map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join('');
  return `(module
    (import "wasi_snapshot_preview1" "fd_write"
      (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\\10\\00\\00\\00")
    (data (i32.const 16) "${data}")
    (func (export "_start") (local $left i32)
      (i32.store (i32.const 4) (i32.const ${bytes.length}))
      (local.set $left (i32.const ${times}))
      (loop $again
        (drop (call $write (i32.const ${fd}) (i32.const 0) (i32.const 1) (i32.const 8)))
        (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))`;
}

/** A file with this text in a folder of its own. */
export function file(name, text) {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, text);
  return path;
}

// ---- Servers ----

/** `threadwork serve`; its address, and how to end it. */
export async function serve(program, { options = [], args = [] } = {}) {
  if (!existsSync(THREADWORK)) throw new Error(`build ${THREADWORK} first: cargo build --release`);
  const words = ['serve', '--port', '0', ...options, program, '--', ...args];
  const child = spawn(THREADWORK, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface(child.stdout)) {
    const address = /http:\S+/.exec(line);
    if (address) return { address: address[0], close: () => child.kill() };
  }
  throw new Error(`threadwork serve ${program} gives no address`);
}

/** `threadwork bundle` into a folder, whose path is the result. */
export function bundle(program, { options = [], args = [] } = {}) {
  const folder = join(temporaryFolder(), 'dist');
  const words = ['bundle', '-o', folder, ...options, program, '--', ...args];
  const { status, stderr } = spawnSync(THREADWORK, words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return folder;
}

/** A host like many: it knows media types and nothing else. */
export async function plainHost(folder, prefix = '/') {
  const types = {
    '.html': 'text/html',
    '.js': 'text/javascript',
    '.css': 'text/css',
    '.svg': 'image/svg+xml',
    '.json': 'application/json',
    '.wasm': 'application/wasm',
  };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const path = join(folder, normalize(`/${decodeURIComponent(pathname.slice(prefix.length))}`));
    const found = [path, join(path, 'index.html')].find(
      (name) => existsSync(name) && statSync(name).isFile(),
    );
    if (!pathname.startsWith(prefix) || !found) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, {
      'Content-Type': types[extname(found)] ?? 'application/octet-stream',
    });
    response.end(readFileSync(found));
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address();
  return { port, address: `http://127.0.0.1:${port}${prefix}`, close: () => server.close() };
}

// ---- Browser ----

let browser = null;

/** A page in a browser profile of its own; what goes wrong in it is in `page.mistakes`. */
export async function open(address, options = {}) {
  browser ??= await launch();
  const context = await browser.newContext({ viewport: { width: 1280, height: 820 }, ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.mistakes = [];
  page.on('pageerror', (error) => page.mistakes.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') page.mistakes.push(message.text());
  });
  page.requests = [];
  page.on('request', (request) => page.requests.push(request.url()));
  await page.goto(address);
  return page;
}

async function launch(extra = []) {
  const found = ['chromium', 'chromium-browser', 'google-chrome'].find(
    (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0,
  );
  if (!found) throw new Error('there is no Chromium here: install the package chromium');
  const path = spawnSync('sh', ['-c', `command -v ${found}`], { encoding: 'utf8' }).stdout.trim();
  return chromium.launch({ executablePath: path, args: [...FLAGS, ...extra] });
}

/** A browser that takes this name for this machine. */
export async function openAs(name, address) {
  const own = await launch([`--host-resolver-rules=MAP ${name} 127.0.0.1`]);
  const page = await own.newPage();
  await page.goto(address);
  return { page, close: () => own.close() };
}

export async function closeBrowser() {
  await browser?.close();
}

/** Waits until the status says something like this. */
export async function status(page, pattern) {
  await page.waitForFunction(
    ([source]) => new RegExp(source).test(document.getElementById('status-text').textContent),
    [pattern.source],
    { timeout: PATIENCE },
  );
  return page.locator('#status').getAttribute('data-state');
}

export const output = (page) => page.locator('#terminal').innerText();

/** A picture for people, if they want any. */
export async function picture(page, name) {
  const folder = process.env.SCREENSHOTS;
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`) });
}

/** How many pixels of the timeline have each of its colours. */
export function timelinePixels(page) {
  return page.evaluate(() => {
    const canvas = document.getElementById('canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const style = getComputedStyle(canvas);
    const wanted = {};
    for (const name of ['running', 'waiting', 'idle']) {
      const probe = document.createElement('canvas').getContext('2d');
      probe.fillStyle = style.getPropertyValue(`--${name}`).trim();
      probe.fillRect(0, 0, 1, 1);
      wanted[name] = [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3);
    }
    const counts = { running: 0, waiting: 0, idle: 0 };
    for (let i = 0; i < data.length; i += 4) {
      for (const [name, [red, green, blue]] of Object.entries(wanted)) {
        if (data[i] === red && data[i + 1] === green && data[i + 2] === blue) counts[name] += 1;
      }
    }
    return counts;
  });
}
