// The package as it is published: by itself in Node and in a real Chromium, and what Vite and
// webpack make of it under the strict policy. Also the Mandelbrot page on a host that sends no
// headers. `node test/package.js`, with the guests and the Mandelbrot example built before.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { neededSize } from '../bench/sizes.js';
import { closeBrowser, guest, open, PATIENCE, plainHost, temporaryFolder } from './page/support.js';
import { serve } from './server.js';

const PACKAGE = fileURLToPath(new URL('..', import.meta.url));
const EXAMPLES = join(PACKAGE, 'examples');
/** How npm says that there is no registry. */
const OFFLINE = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|E40[13]/;

let server;
before(async () => {
  const { status } = spawnSync(process.execPath, [join(PACKAGE, 'build.js')], { stdio: 'inherit' });
  assert.equal(status, 0, 'the package is built');
  server = await serve({ guests: dirname(guest('hello')) });
});
after(() => {
  server.close();
  return closeBrowser();
});

test('the package has no mistakes that its users would meet', () => {
  const npx = (...args) => spawnSync('npx', ['--no-install', ...args], { cwd: PACKAGE, encoding: 'utf8' });
  for (const [tool, ...args] of [
    ['publint', 'dist', '--strict'],
    // What has types at all; the others are not for TypeScript to import.
    ['attw', '--pack', 'dist', '--profile', 'esm-only', '--exclude-entrypoints', 'worker', 'rewriter.wasm'],
  ]) {
    const { status, stdout, stderr } = npx(tool, ...args);
    assert.equal(status, 0, `${tool}: ${stdout}${stderr}`);
  }
  const { stdout } = spawnSync('npm', ['pack', '--dry-run', '--json', './dist'], { cwd: PACKAGE, encoding: 'utf8' });
  const names = JSON.parse(stdout)[0].files.map(({ path }) => path);
  assert.deepEqual(names.filter((name) => /\.(png|jpg|gif)$/.test(name)), []);
});

test('who runs a program with threads and without files loads little', () => {
  const { gzip, files } = neededSize();
  assert.ok(gzip < 38_500, `${gzip} bytes, compressed`);
  assert.equal(files, 5);
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

/** Programs and features that need all files of the package: how each ended, and what it printed. */
async function tour({ entry, guests, script }) {
  const { describe, load, Process } = await import(entry);
  const { Mutex, SharedMemory } = await import(entry.replace('index.js', 'sync.js'));
  const decoder = new TextDecoder();
  const run = async (name, loadOptions, options) => {
    const program = await load(`${guests}/${name}.wasm`, loadOptions);
    const process = new Process(program, { stdout: 'collect', stderr: 'null', ...options });
    return `${describe(await process.run())}: ${decoder.decode(process.stdoutBytes).trim().split('\n').at(-1)}`;
  };
  const memory = new SharedMemory(1);
  const mutex = new Mutex(memory, 64);
  return [
    await run('hello'),
    await run('hello', { deadlockDetection: true }),
    await run('hello', {}, { imports: script }),
    await run('fib-single', {}, { args: ['12'] }),
    mutex.tryLock() && !mutex.tryLock() ? 'locked' : 'not locked',
  ];
}

const TOUR = [...Array(3).fill('exited with code 0: ok hello'), 'exited with code 0: ok fib-single', 'locked'];

test('the package by itself, in Node', () => {
  const settings = {
    entry: pathToFileURL(join(PACKAGE, 'dist/src/index.js')),
    guests: dirname(guest('hello')),
    script: pathToFileURL(join(PACKAGE, 'test/stage.js')),
  };
  const text = `${tour}\nconsole.log(JSON.stringify(await tour(${JSON.stringify(settings)})));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', text], { encoding: 'utf8' });
  assert.deepEqual({ stderr, ends: JSON.parse(stdout) }, { stderr: '', ends: TOUR });
});

test('the package, packed, in an empty project that installs it', () => {
  const folder = temporaryFolder();
  const npm = (...args) => {
    const { status, stdout, stderr } = spawnSync('npm', args, { cwd: folder, encoding: 'utf8' });
    assert.equal(status, 0, `npm ${args}: ${stdout}${stderr}`);
    return stdout;
  };
  const [{ filename }] = JSON.parse(npm('pack', '--json', join(PACKAGE, 'dist')));
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  // It needs nothing from a registry.
  npm('install', '--offline', '--no-audit', '--no-fund', `./${filename}`);
  const text = `import { describe, load, Process } from 'threadwork';
    import { Mutex, SharedMemory } from 'threadwork/sync';
    const program = new Process(await load(process.argv[1]), { stdout: 'null' });
    console.log(describe(await program.run()), new Mutex(new SharedMemory(1), 64).tryLock());`;
  const args = ['--input-type=module', '--eval', text, guest('hello')];
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  assert.deepEqual([stdout, stderr], ['exited with code 0 true\n', '']);
});

test('the package by itself, by require() where Node has it for modules', (t) => {
  const text = `const { load, Process } = require(${JSON.stringify(join(PACKAGE, 'dist/src/index.js'))});
    load(${JSON.stringify(guest('hello'))}).then((program) => new Process(program, { stdout: 'null' }).run()).then(console.log);`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--eval', text], { encoding: 'utf8' });
  if (/ERR_REQUIRE_ESM/.test(stderr)) {
    // Node before 20.19 and 22.12 says what to do instead.
    assert.match(stderr, /dynamic import\(\)/);
    return t.skip('this Node requires no modules');
  }
  // Node 20 warns that this is experimental.
  assert.deepEqual([status, stdout], [0, "{ kind: 'exited', code: 0 }\n"], stderr);
});

test('what is for files, runtimes and rewritten modules is loaded when it is used', async () => {
  const page = await open(`${server.base}strict/package.json`);
  const loaded = await page.evaluate(async () => {
    const { load, Process } = await import('/strict/dist/src/run.js');
    await new Process(await load('/guests/hello.wasm'), { stdout: 'null' }).run();
    const names = () => performance.getEntriesByType('resource').map(({ name }) => name.split('/').at(-1));
    return names();
  });
  const workers = page.requests.map((url) => url.split('/').at(-1));
  const later = ['files.js', 'observed.js', 'page-calls.js', 'page-functions.js', 'rewriter.js', 'solo.js', 'stack.js', 'sync.js'];
  assert.deepEqual([...loaded, ...workers].filter((name) => later.includes(name)), []);
  assert.ok(loaded.includes('run.js') && loaded.includes('reusable.js'));
  await page.context().close();
});

test('the package by itself, in a page', async () => {
  const page = await open(`${server.base}strict/package.json`);
  const settings = { entry: '/strict/dist/src/index.js', guests: '/guests', script: '/test/stage.js' };
  assert.deepEqual(await page.evaluate(`(${tour})(${JSON.stringify(settings)})`), TOUR);
  await page.context().close();
});

test('the package by itself, where memory cannot be shared', async () => {
  const page = await open(`${server.base}plain/package.json`);
  const status = page.evaluate(async () => {
    const { load, Process } = await import('/plain/dist/src/index.js');
    return new Process(await load('/guests/fib-single.wasm'), { args: ['12'], stdout: 'null' }).run();
  });
  assert.deepEqual(await status, { kind: 'exited', code: 0 });
  await page.context().close();
});

/** Those that find the workers by themselves, and those that are told of them. */
const FINDING = ['vite', 'webpack'];
const TOLD = process.env.THREADWORK_FULL === '1' ? ['esbuild', 'rollup'] : ['esbuild'];

for (const bundler of [...FINDING, ...TOLD]) {
  test(`the package in a site made by ${bundler}`, async (t) => {
    const folder = join(EXAMPLES, bundler);
    if (!install(folder)) return t.skip(`npm ci reaches no registry, so ${bundler} is not tried`);
    build(folder);
    // Modules that a bundler missed would be at their old places.
    const names = readdirSync(join(folder, 'dist'), { recursive: true });
    if (FINDING.includes(bundler)) assert.deepEqual(names.filter((name) => /(^|\/)worker\.js$/.test(name)), []);
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

// Its builder follows no links out of its folder: so it gets the package as npm would. 150 MB.
test('the package in a site made by Next', { skip: process.env.THREADWORK_FULL !== '1' }, async (t) => {
  const folder = join(EXAMPLES, 'next');
  const run = (command, ...args) => spawnSync(command, args, { cwd: folder, encoding: 'utf8', env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1' } });
  const { stdout: name } = run('npm', 'pack', '--silent', join(PACKAGE, 'dist'));
  renameSync(join(folder, name.trim()), join(folder, 'threadwork.tgz'));
  const installed = run('npm', 'install', '--no-package-lock');
  if (installed.status !== 0 && OFFLINE.test(installed.stderr)) return t.skip('npm install reaches no registry');
  assert.equal(installed.status, 0, installed.stderr);
  mkdirSync(join(folder, 'public'), { recursive: true });
  copyFileSync(guest('hello'), join(folder, 'public/hello.wasm'));
  const built = run('npm', 'run', 'build');
  assert.equal(built.status, 0, `${built.stdout}\n${built.stderr}`);
  const site = spawn(join(folder, 'node_modules/.bin/next'), ['start', '--port', '0'], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  t.after(() => process.kill(-site.pid));
  let address;
  for await (const line of createInterface(site.stdout)) {
    address = /http:\/\/localhost:\d+/.exec(line)?.[0];
    if (address) break;
  }
  for (const observed of ['', '?observed']) {
    const page = await open(`${address}/${observed}`);
    await page.waitForFunction(() => document.title !== 'Running', null, { timeout: PATIENCE });
    assert.equal(await page.title(), 'exited with code 0');
    assert.match(await page.textContent('output'), /hello from a thread\n(.*\n)*ok hello\n$/);
    await page.context().close();
  }
});

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
