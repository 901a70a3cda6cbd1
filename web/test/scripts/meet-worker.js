// A worker that plays rounds with the guest's threads: it blocks, or, as an old page's main
// thread, polls.

import { onMessage, postToParent } from '../../src/platform.js';
import { Place, play, playAsync } from '../meet.js';

onMessage(async ({ memory, at, scenario, rounds, me, parties, polls }) => {
  try {
    if (polls) delete Atomics.waitAsync;
    const begin = polls ? playAsync : play;
    await begin(new Place(memory, at), scenario, rounds, me, parties);
    postToParent({ done: true });
  } catch (error) {
    postToParent({ error: `${error}\n${error.stack}` });
  }
});

postToParent({ started: true });
