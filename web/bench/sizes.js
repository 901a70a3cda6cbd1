// What users load: scripts, and of peers the glue; never the program.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, gzipSync } from 'node:zlib';

const PACKAGE = fileURLToPath(new URL('..', import.meta.url));
const MODULES = fileURLToPath(new URL('./node_modules', import.meta.url));

const scripts = (folder) =>
  readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.js')).map((name) => join(folder, name));

function size(name, files, more = {}) {
  const missing = files.find((file) => !existsSync(file));
  if (files.length === 0 || missing) return { name, reason: `not here: ${relative(PACKAGE, missing ?? PACKAGE)}` };
  const contents = files.map((file) => readFileSync(file));
  const sum = (length) => contents.reduce((sum, content) => sum + length(content), 0);
  return {
    name,
    files: files.length,
    plain: sum((content) => content.length),
    gzip: sum((content) => gzipSync(content, { level: 9 }).length),
    brotli: sum((content) => brotliCompressSync(content).length),
    ...more,
  };
}

/** What a page loads of the built package that loads a program with threads and runs it without files. */
export function neededSize() {
  const needed = new Set();
  const take = (name) => {
    const file = join(PACKAGE, 'dist/src', name);
    if (needed.has(file)) return;
    needed.add(file);
    for (const [, imported] of readFileSync(file, 'utf8').matchAll(/(?:from|import)"\.\/([^"]+)"/g)) take(imported);
  };
  // The page's, the workers', and what finds out whether an instance can be used again.
  ['run.js', 'worker.js', 'reusable.js'].forEach(take);
  return size('threadwork: load, Process and threads', [...needed], { isNeeded: true });
}

export function packageSizes({ out }) {
  const built = scripts(join(PACKAGE, 'dist/src'));
  const site = join(PACKAGE, 'examples/vite/dist/assets');
  const util = join(MODULES, '@tybys/wasm-util/dist/wasm-util.esm.min.js');
  return [
    neededSize(),
    size('threadwork, all of it', built),
    size('threadwork, by Vite (examples/vite)', existsSync(site) ? scripts(site) : []),
    size('@emnapi/wasi-threads + wasm-util', [join(MODULES, '@emnapi/wasi-threads/dist/wasi-threads.js'), util]),
    size('Emscripten', ['bench.js', 'bench.worker.js'].map((name) => join(out, 'emscripten', name))),
    size('wasm-bindgen-rayon', existsSync(join(out, 'wasm-bindgen-rayon')) ? scripts(join(out, 'wasm-bindgen-rayon')) : []),
  ];
}
