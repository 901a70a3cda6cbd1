// The examples as sites, in a real Chromium: what Vite and webpack make of the package under
// the strict policy, and the Mandelbrot page on a host that sends no headers. `node
// test/bundlers.js`, with the guests and the Mandelbrot example built before.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { closeBrowser, guest, open, PATIENCE, plainHost } from './page/support.js';
import { serve } from './server.js';

const EXAMPLES = fileURLToPath(new URL('../examples', import.meta.url));
/** How npm says that there is no registry. */
const OFFLINE = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|E40[13]/;

let server;
before(async () => void (server = await serve({})));
after(() => {
  server.close();
  return closeBrowser();
});

/** Installs what the lock file says, unless it is there; false if no registry answers. */
function install(folder) {
  const there = join(folder, 'node_modules/.package-lock.json');
  const age = (path) => statSync(path).mtimeMs;
  if (existsSync(there) && age(there) > age(join(folder, 'package-lock.json'))) return true;
  const { status, stderr } = spawnSync('npm', ['ci'], { cwd: folder, encoding: 'utf8' });
  if (status !== 0 && !OFFLINE.test(stderr)) throw new Error(stderr);
  return status === 0;
}

function build(folder) {
  copyFileSync(guest('hello'), join(folder, 'src/hello.wasm'));
  const { status, stdout, stderr } = spawnSync('npm', ['run', 'build'], { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${stdout}\n${stderr}`);
}

for (const bundler of ['vite', 'webpack']) {
  test(`the package in a site made by ${bundler}`, async (t) => {
    const folder = join(EXAMPLES, bundler);
    if (!install(folder)) return t.skip(`npm ci reaches no registry, so ${bundler} is not tried`);
    build(folder);
    // Modules that a bundler missed would be at their old places.
    const names = readdirSync(join(folder, 'dist'), { recursive: true });
    assert.deepEqual(names.filter((name) => /(^|\/)(worker|supervisor)\.js$/.test(name)), []);
    for (const observed of ['', '?observed']) {
      const page = await open(`${server.base}strict/examples/${bundler}/dist/index.html${observed}`);
      await page.waitForFunction(() => document.title !== 'Running', null, { timeout: PATIENCE });
      assert.equal(await page.title(), 'exited with code 0');
      assert.match(await page.textContent('output'), /hello from a thread\n(.*\n)*ok hello\n$/);
      assert.deepEqual(page.mistakes.filter((text) => !/favicon|404/.test(text)), []);
      const rewriters = page.requests.filter((url) => /\.wasm$/.test(url)).length;
      assert.equal(rewriters, observed ? 2 : 1, 'the rewriter is fetched when it is wanted');
      await page.context().close();
    }
  });
}

test('the Mandelbrot page on a host without headers', async (t) => {
  const host = await plainHost(join(EXAMPLES, 'mandelbrot/dist'), '/somewhere/');
  t.after(host.close);
  const page = await open(host.address);
  await page.waitForFunction(() => /done|failed/.test(document.body.dataset.state), null, { timeout: PATIENCE });
  assert.match(await page.textContent('#status'), /960 x 600 pixels, \d+ threads/);
  await page.focus('canvas');
  await page.keyboard.press('+');
  await page.waitForFunction(() => document.body.dataset.state === 'done');
  assert.match(await page.getAttribute('canvas', 'aria-label'), /2 wide/);
});
