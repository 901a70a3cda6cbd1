import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

// Whatever serves dist/ has to send the headers of shared memory: see the package's README.
export default {
  mode: 'production',
  entry: here('src/main.js'),
  output: { path: here('dist'), filename: 'main.js', publicPath: 'auto', clean: true },
};
