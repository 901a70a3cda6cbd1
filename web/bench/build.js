// Builds what is measured, into the repository's target folder or CARGO_TARGET_DIR. Nothing is
// installed.

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
const HERE = fileURLToPath(new URL('.', import.meta.url));
const WASM = 'wasm32-wasip1-threads';

/** @emnapi/wasi-threads calls these, for every spawn. */
const EXPORTS = '-Clink-arg=--export=malloc -Clink-arg=--export=free';
/** From the documentation of wasm-bindgen-rayon. */
const RAYON_FLAGS = [
  '-Ctarget-feature=+atomics,+bulk-memory',
  ...['--shared-memory', '--max-memory=1073741824', '--import-memory'].map((flag) => `-Clink-arg=${flag}`),
  ...['__wasm_init_tls', '__tls_size', '__tls_align', '__tls_base'].map((name) => `-Clink-arg=--export=${name}`),
].join(' ');
const EMSCRIPTEN_FLAGS = [
  '-O2',
  '-pthread',
  '-sPTHREAD_POOL_SIZE=Module["pool"]',
  '-sMODULARIZE',
  '-sEXPORT_NAME=createBench',
  '-sENVIRONMENT=web,worker,node',
  '-sEXPORTED_RUNTIME_METHODS=PThread',
];

/** Where things are, and which peers. */
export function buildAll() {
  const out = join(process.env.CARGO_TARGET_DIR ?? join(REPOSITORY, 'target'), 'web-bench');
  const wasm = join(out, WASM, 'release');
  const native = join(out, 'release');
  cargo(join(HERE, 'guest'), out, ['--lib', '--target', WASM], EXPORTS);
  cargo(join(HERE, 'guest'), out, ['--example', 'native']);
  const programs = ['--package', 'mandelbrot', '--package', 'merge-sort'];
  cargo(join(REPOSITORY, 'guests'), out, [...programs, '--target', WASM], EXPORTS);
  cargo(join(REPOSITORY, 'guests'), out, programs);
  copyFileSync(join(native, 'examples/native'), join(native, 'native'));
  run('node', [join(REPOSITORY, 'web/build.js')]);
  return { out, wasm, native, peers: { ...emnapi(), ...emscripten(out), ...rayon(out) } };
}

function cargo(folder, target, args, flags = '') {
  const env = { ...process.env, CARGO_TARGET_DIR: target, RUSTFLAGS: flags };
  run('cargo', ['build', '--release', '--quiet', ...args], { cwd: folder, env });
}

function run(command, args, options) {
  const { status, error, stderr } = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr}`);
}

const emnapi = () => ({ emnapi: existsSync(join(HERE, 'node_modules/@emnapi/wasi-threads')) });

/** Whatever goes wrong is why a peer is not here. */
function attempt(name, why, body) {
  try {
    body();
    return { [name]: true };
  } catch (error) {
    return { [name]: false, [why]: `cannot be built: ${error.message.split('\n').slice(0, 3).join(' ')}` };
  }
}

function emscripten(out) {
  return attempt('emscripten', 'whyNoEmscripten', () => {
    const folder = join(out, 'emscripten');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{ "type": "commonjs" }\n');
    if (existsSync(join(folder, 'bench.js'))) return;
    // Debian's emcc does not find Debian's acorn by itself.
    const env = { ...process.env, NODE_PATH: '/usr/share/nodejs' };
    run('emcc', [...EMSCRIPTEN_FLAGS, join(HERE, 'emscripten/bench.c'), '-o', join(folder, 'bench.js')], { env });
  });
}

function rayon(out) {
  return attempt('rayon', 'whyNoRayon', () => {
    const folder = join(out, 'wasm-bindgen-rayon');
    const target = join(out, 'rayon');
    if (!existsSync(join(folder, 'bench_rayon.js'))) {
      const env = { ...process.env, CARGO_TARGET_DIR: target, RUSTFLAGS: RAYON_FLAGS };
      const args = ['+nightly', 'build', '--release', '-Zbuild-std=panic_abort,std', '--target', 'wasm32-unknown-unknown'];
      run('cargo', args, { cwd: join(HERE, 'wasm-bindgen-rayon'), env });
      const module = join(target, 'wasm32-unknown-unknown/release/bench_rayon.wasm');
      run('wasm-bindgen', ['--target', 'web', '--out-dir', folder, module]);
    }
    copyFileSync(join(HERE, 'wasm-bindgen-rayon/main.js'), join(folder, 'main.js'));
  });
}
