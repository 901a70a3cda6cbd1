// esbuild leaves `new URL('./worker.js', import.meta.url)` as it is, so what stands there has to be there:
// the workers' script beside the page's, and the files that are fetched. Whatever serves
// dist/ has to send the headers of shared memory: see the package's README.

import { build } from 'esbuild';
import { cpSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const found = (path) => fileURLToPath(import.meta.resolve(path));

rmSync(here('dist'), { recursive: true, force: true });
await build({
  entryPoints: {
    main: here('src/main.js'),
    worker: found('threadwork/worker'),
  },
  bundle: true,
  format: 'esm',
  minify: true,
  outdir: here('dist/app'),
  splitting: true,
});
cpSync(here('public'), here('dist'), { recursive: true });
cpSync(here('src/hello.wasm'), here('dist/app/hello.wasm'));
// Where `load` looks for it, from the scripts.
cpSync(found('threadwork/rewriter.wasm'), here('dist/rewriter/rewriter.wasm'));
