// Gets itself isolated by the service worker, and says what a redirected script is then; at the
// end takes the service worker back.

import { isolate, release } from './isolate.js';

const answers = new BroadcastChannel('site');
const { hash } = location;
if (!crossOriginIsolated && hash !== '#after') await isolate('./sw.js', { pages: ['page.html'] });
const { at } = await import('./old.js');
const other = await (await fetch('other.html')).text();
const frame = document.createElement('iframe');
frame.src = 'other.html';
const isOtherIsolated = await new Promise((answer) => {
  addEventListener('message', ({ data }) => answer(data));
  document.body.append(frame);
  // An isolated page shows no frame that is not isolated.
  if (crossOriginIsolated) setTimeout(() => answer('not shown'), 1000);
});
const told = { isolated: crossOriginIsolated, at: new URL(at).pathname.split('/').at(-1), other: other.length > 0, isOtherIsolated };
if (hash !== '#after') told.released = await release('./sw.js');
answers.postMessage(told);
