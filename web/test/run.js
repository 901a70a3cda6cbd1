// Runs the tests: `node test/run.js [--host HOST]... [--filter TEXT] [--repeat N] [--skip-build]`,
// in Node, Chromium and Firefox by default; `webkit`, `deno` and `bun` are hosts as well.
// THREADWORK_FULL=1 runs the long forms, WASI_TESTSUITE=FOLDER the official tests of WASI as well.
//
// Needs what `npm ci` installs. The guests are built first, into the repository's target folder or
// CARGO_TARGET_DIR.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isPage, startHost } from './hosts.js';
import { serve } from './server.js';
import { testsOf } from './wasi-testsuite.js';

/** How long a case may take; browsers take a second to end a worker that computes. */
const PATIENCE = process.env.THREADWORK_FULL === '1' ? 300_000 : 60_000;
/** Pages in a row: WebKit's address space is full before it collects what is in it. */
const PARTS = { webkit: 10 };
const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
const TARGET = process.env.CARGO_TARGET_DIR ?? join(REPOSITORY, 'target');

const C_GUEST = join(TARGET, 'guests/wasm32-wasip1-threads/release/page-c.wasm');

const { values } = parseArgs({
  options: {
    host: { type: 'string', multiple: true, default: ['node', 'chromium', 'firefox'] },
    filter: { type: 'string', default: '' },
    repeat: { type: 'string', default: '1' },
    'skip-build': { type: 'boolean', default: false },
  },
});
const isFull = process.env.THREADWORK_FULL === '1';

if (!values['skip-build']) build();
const mandelbrot = drawNatively();
/** Random programs, by their seeds. */
const filePrograms = process.env.FILE_PROGRAMS ?? (isFull ? '0..10000' : '0..100');
/** A copy of the official tests of WASI, which run as well. */
const wasiTestsuite = process.env.WASI_TESTSUITE;
let report = () => {};
const server = await serve({
  guests: join(TARGET, 'guests/wasm32-wasip1-threads/release'),
  repository: REPOSITORY,
  wasiTestsuite,
  report: (message) => report(message),
  native: runNatively,
});
let failed = 0;
for (const host of values.host) failed += await runOn(host);
if (values.host.includes('chromium') && values.filter === '') failed += testPackage() + testPage();
server.close();
process.exit(failed === 0 ? 0 : 1);

/** Builds the guests and the rewriter. */
function build() {
  const cargo = (folder, ...args) => {
    const { status } = spawnSync('cargo', ['build', '--release', '--quiet', ...args], {
      cwd: join(REPOSITORY, folder),
      stdio: 'inherit',
    });
    if (status !== 0) throw new Error(`${folder} does not build: see above`);
  };
  const packages = ['conformance', 'library', 'pi', 'merge-sort', 'pipeline', 'mandelbrot'];
  const selected = packages.flatMap((name) => ['--package', name]);
  const target = ['--target', 'wasm32-wasip1-threads', '--target-dir', join(TARGET, 'guests')];
  cargo('guests', ...selected, ...target);
  cargo('guests', '--package', 'file-programs', ...target, '--target', machine());
  buildC();
  buildExample();
  const { status } = spawnSync(join(REPOSITORY, 'web/rewriter/build.sh'), { stdio: 'inherit' });
  if (status !== 0) {
    throw new Error('the rewriter does not build: rustup target add wasm32-unknown-unknown');
  }
}

/** Builds the guest in C, where there is a clang that makes WebAssembly; as C++, too, but that is not run. */
function buildC() {
  const source = join(REPOSITORY, 'guests/c/page.c');
  const flags = ['--target=wasm32', '-nostdlib', '-O2', '-Wall', '-Wextra', '-Werror'];
  const features = ['-matomics', '-mbulk-memory', '-mmutable-globals'];
  const link = ['--no-entry', '--import-memory', '--shared-memory', '--max-memory=16777216', '--export=__stack_pointer'];
  rmSync(C_GUEST, { force: true });
  const { error } = spawnSync('clang', ['--version']);
  if (error) return void console.log('# page.h: skipped, there is no clang');
  const ways = [['-x', 'c++', '-fsyntax-only'], [...link.map((flag) => `-Wl,${flag}`), '-o', C_GUEST]];
  for (const way of ways) {
    const { status } = spawnSync('clang', [...flags, ...features, ...way, source], { stdio: 'inherit' });
    if (status !== 0) throw new Error('guests/c/page.c does not build: see above');
  }
}

/** What this machine's target is called. */
function machine() {
  const { stdout } = spawnSync('rustc', ['-vV'], { encoding: 'utf8' });
  return stdout.match(/^host: (.*)$/m)[1];
}

/** What random programs of file calls say in a fresh folder of this machine. */
function runNatively(args) {
  const folder = mkdtempSync(join(tmpdir(), 'threadwork-native-'));
  const program = join(TARGET, 'guests', machine(), 'release/file-programs');
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: folder, encoding: 'utf8', maxBuffer: 1 << 30 });
  rmSync(folder, { recursive: true });
  if (status !== 0) throw new Error(`file-programs does not run natively: ${stderr}`);
  return stdout;
}

/** Builds the page of the Mandelbrot example. */
function buildExample() {
  const env = { ...process.env, CARGO_TARGET_DIR: join(TARGET, 'guests') };
  const { status } = spawnSync(join(REPOSITORY, 'web/examples/mandelbrot/build.sh'), { stdio: 'inherit', env });
  if (status !== 0) throw new Error('examples/mandelbrot does not build: see above');
}

/** What the Mandelbrot example's picture is natively. */
function drawNatively() {
  const [view, colours, width, height] = [{ re: -0.75, im: 0, width: 4 }, 500, 960, 600];
  const args = ['run', '--release', '--quiet', '--example', 'checksum', '--'];
  const { status, stdout, stderr } = spawnSync('cargo', [...args, ...Object.values(view), colours, width, height], {
    cwd: join(REPOSITORY, 'web/examples/mandelbrot'),
    env: { ...process.env, CARGO_TARGET_DIR: join(TARGET, 'guests') },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`examples/mandelbrot does not run natively: ${stderr}`);
  return { view, colours, width, height, checksum: stdout.trim() };
}

/** The types, the package as it is published, and the examples as sites; 1 if any of it fails. */
function testPackage() {
  const files = ['types.js', 'package.js'].map((name) => fileURLToPath(new URL(name, import.meta.url)));
  const { status } = spawnSync(process.execPath, ['--test', ...files], { stdio: 'inherit' });
  return status === 0 ? 0 : 1;
}

/** The page of `threadwork serve` and `bundle`, with the binary of the release profile; 1 if any of it fails. */
function testPage() {
  if (!existsSync(join(TARGET, 'release/threadwork'))) {
    console.log('# page: skipped, there is no release/threadwork: cargo build --release -p threadwork-cli');
    return 0;
  }
  const folder = fileURLToPath(new URL('./page/', import.meta.url));
  const files = ['parts.test.js', 'page.test.js'].map((name) => join(folder, name));
  const { status } = spawnSync(process.execPath, ['--test', ...files], { stdio: 'inherit' });
  return status === 0 ? 0 : 1;
}

/** Runs the cases on one host; how many failed. */
async function runOn(name) {
  const begin = performance.now();
  const counts = { passed: 0, failed: 0, skipped: 0 };
  console.log(`# ${name}`);
  const parts = values.filter === '' ? (PARTS[name] ?? 1) : 1;
  for (let part = 0; part < parts; part++) await runPart(name, { part, parts }, counts);
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  const { passed, failed, skipped } = counts;
  console.log(`# ${name}: ${passed} passed, ${failed} failed, ${skipped} not for this host, ${seconds} s\n`);
  return failed + (passed === 0 && values.filter === '' ? 1 : 0);
}

/** Runs some of the cases on one host. */
async function runPart(name, part, counts) {
  const settings = { name, base: server.base, isFull, isLinux: process.platform === 'linux', hasC: existsSync(C_GUEST), filePrograms, wasiTestsuite: wasiTestsuite ? testsOf(wasiTestsuite) : [], filter: values.filter, repeat: Number(values.repeat), patience: PATIENCE, mandelbrot, ...part };
  await new Promise((done) => {
    let last = performance.now();
    let isDone = false;
    report = (message) => {
      last = performance.now();
      if (message.settings) return JSON.stringify(settings);
      // What runs a script ends by itself.
      if (message.done) return void (isPage(name) ? host.stop() : (isDone = true));
      print(message, counts);
      return undefined;
    };
    const script = [fileURLToPath(new URL('./node.js', import.meta.url)), JSON.stringify(settings)];
    const host = startHost(name, { script, url: `${server.base}test/page.html` }, () => end());
    const watch = setInterval(() => {
      if (performance.now() - last < PATIENCE * 1.5) return;
      print({ name: `${name} itself`, error: isDone ? 'does not end when all is done' : 'says nothing any more' }, counts);
      host.stop();
    }, 1000);
    const end = () => {
      clearInterval(watch);
      done();
    };
  });
}

function print({ name, error, skipped, milliseconds }, counts) {
  if (skipped) {
    counts.skipped += 1;
  } else if (error) {
    counts.failed += 1;
    console.log(`not ok  ${name}\n${error.replace(/^/gm, '        ')}`);
  } else {
    counts.passed += 1;
    console.log(`ok      ${name} (${milliseconds.toFixed(0)} ms)`);
  }
}
