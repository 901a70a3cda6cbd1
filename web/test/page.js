// Runs the cases in a browser.

import { host, run } from './harness.js';

const post = (message) => fetch('/report', { method: 'POST', body: JSON.stringify(message) });

const settings = await (await post({ settings: true })).json();
Object.assign(host, settings);
try {
  await import('./cases.js');
  await run(settings, post);
} catch (error) {
  await post({ name: 'loading the cases', error: String(error) });
}
await post({ done: true });
