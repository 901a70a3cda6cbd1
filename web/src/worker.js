// A worker: runs the threads of one process after another. Or, if the first message is the settings
// of an engine, that engine's supervisor: one script, which is fetched and compiled once.
//
// A message tells it which process. It makes an instance over the process's memory, and
// from then on sleeps on its seat's mailbox in the control block. When the process ends it
// comes back to its event loop, and can be given to the next one.

import { onMessage, postToParent } from './platform.js';
import { live } from './runtime/life.js';
import { Seat } from './seat.js';
import { receive } from './supervisor.js';

const { name, isAlive } = live();
let solo = null;
let isSupervisor = false;

onMessage(async (message) => {
  isSupervisor ||= message.settings !== undefined;
  if (isSupervisor) return receive(message);
  const { join, call } = message;
  if (call) return solo?.call(call);
  if (join.isSolo) {
    const { Solo } = await import('./solo.js');
    solo = new Solo(join, postToParent);
    return solo.serve();
  }
  await isAlive;
  const post = (message) => postToParent({ ...message, id: join.id });
  const seat = new Seat(join, post);
  await seat.serve();
  post({ left: { files: seat.localFiles?.finish() } });
});

postToParent({ started: true, life: name });
