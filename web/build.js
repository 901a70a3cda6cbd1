// Builds the package as it is published: `npm run build [-- FOLDER]`, by default into dist/.
//
// A worker asks for each of its modules again, and Chromium takes 2 ms for each answer, also
// from its cache. So the page's scripts and the worker's are one file each; they lie where their
// sources do, because they find each other by their places.

import { build } from 'esbuild';
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const AS_THEY_ARE = ['README.md', 'index.d.ts', 'run.d.ts', 'sync.d.ts', 'page', 'sw', 'rewriter/rewriter.wasm'];
const LICENCES = ['LICENSE-APACHE', 'LICENSE-MIT'];

const manifest = JSON.parse(readFileSync(join(HERE, 'package.json'), 'utf8'));
const out = resolve(process.argv[2] ?? join(HERE, 'dist'));

if (!existsSync(join(HERE, 'rewriter/rewriter.wasm'))) {
  console.error('missing: rewriter/rewriter.wasm (run rewriter/build.sh)');
  process.exit(1);
}
rmSync(out, { recursive: true, force: true });
const isPicture = (path) => path.endsWith('.png');
for (const name of AS_THEY_ARE) {
  cpSync(join(HERE, name), join(out, name), { recursive: true, filter: (path) => !isPicture(path) });
}
for (const name of LICENCES) cpSync(join(HERE, '..', name), join(out, name));

const options = {
  absWorkingDir: HERE,
  bundle: true,
  format: 'esm',
  minify: true,
  outdir: join(out, 'src'),
  platform: 'neutral',
  sourcemap: 'linked',
  target: 'es2022',
};
// What not every program needs is a file of its own, complete in itself: what two files share would be
// a third one, which pages and workers would have to ask for.
const LATER = {
  page: ['closing', 'page-functions', 'reusable', 'rewriter'],
  worker: ['files', 'observed', 'page-calls', 'solo', 'stack'],
};
const external = [...LATER.page, ...LATER.worker, 'imports', 'node'].map((name) => `./${name}.js`);
await build({ ...options, external, entryPoints: ['index.js', 'run.js', 'sync.js'], splitting: true });
// It exports nothing, and is a module all the same: that is what this says.
const footer = { js: 'export {};' };
await build({ ...options, external, footer, entryPoints: ['src/worker.js'] });
for (const name of [...LATER.page, ...LATER.worker]) {
  await build({ ...options, external: ['./imports.js', './node.js'], entryPoints: [`src/${name}.js`] });
}
// Browsers have no use for these. The second one lies where the bundles look for it.
await build({ ...options, external, entryPoints: ['src/worker.js'], format: 'cjs', outExtension: { '.js': '.cjs' } });
await build({ ...options, entryPoints: [{ in: 'src/files/node.js', out: 'node' }] });
// With its white space go the comments that tell bundlers to leave the user's script alone.
await build({ ...options, entryPoints: ['src/imports.js'], minify: false });

const { devDependencies, files, scripts, exports, ...rest } = manifest;
const built = JSON.parse(JSON.stringify(exports).replaceAll(/\.\/(index|run|sync)\.js/g, './src/$1.js'));
writeFileSync(join(out, 'package.json'), `${JSON.stringify({ ...rest, exports: built }, null, 2)}\n`);
