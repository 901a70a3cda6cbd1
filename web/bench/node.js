// The cases in Node: `node node.js BASE`.

import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { runAll } from './host.js';

const base = process.argv[2];
const require = createRequire(import.meta.url);

class HostWorker extends Worker {
  constructor(url) {
    super(url);
  }
}

await runAll(base, {
  withWorker(start) {
    globalThis.Worker = HostWorker;
    try {
      return start();
    } finally {
      delete globalThis.Worker;
    }
  },
  // What is not loaded afresh keeps the state of the last one.
  script(path) {
    const file = require.resolve(`${process.argv[3]}/${path}`);
    delete require.cache[file];
    return require(file);
  },
});
process.exit();
