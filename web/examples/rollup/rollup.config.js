// Rollup leaves `new URL('./worker.js', import.meta.url)` as it is, so what stands there has to be there:
// the workers' script beside the page's, and the files that are fetched. Whatever serves
// dist/ has to send the headers of shared memory: see the package's README.

import resolve from '@rollup/plugin-node-resolve';
import { cpSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const found = (path) => fileURLToPath(import.meta.resolve(path));

/** Puts the files there that are no scripts. */
const files = {
  name: 'files',
  buildStart: () => rmSync(here('dist'), { recursive: true, force: true }),
  closeBundle() {
    cpSync(here('public'), here('dist'), { recursive: true });
    cpSync(here('src/hello.wasm'), here('dist/app/hello.wasm'));
    // Where `load` looks for it, from the scripts.
    cpSync(found('threadwork/rewriter.wasm'), here('dist/rewriter/rewriter.wasm'));
  },
};

export default {
  input: {
    main: here('src/main.js'),
    worker: found('threadwork/worker'),
  },
  output: { dir: here('dist/app'), format: 'es' },
  plugins: [resolve({ browser: true }), files],
};
