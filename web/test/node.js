// Runs the cases in Node.

import { host, run } from './harness.js';

const settings = JSON.parse(process.argv[2]);
Object.assign(host, settings);
await import('./cases.js');

const post = (message) =>
  fetch(new URL('/report', settings.base), { method: 'POST', body: JSON.stringify(message) });

await run(settings, post);
await post({ done: true });
