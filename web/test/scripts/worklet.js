// A thread that makes sound: it meets others at a mutex. What it finds out is in the memory, since
// messages may come no more once the rendering is over.

import { Mutex, SharedMemory } from '../../sync.js';

/** Whether it got the mutex at once, what it counted, and how a wait went: each plus one; that it is there. */
const [TOOK, ADDED, LATE, READY] = [68, 72, 76, 80];
const LATE_WORDS = [false, true, 'MAY_NOT_BLOCK'];

registerProcessor(
  'meet',
  class extends AudioWorkletProcessor {
    constructor({ processorOptions: { memory, offset } }) {
      super();
      this.memory = SharedMemory.of(memory);
      this.mutex = new Mutex(this.memory, offset);
      this.memory.store(READY, 1);
    }

    process() {
      const { memory, mutex } = this;
      memory.store(TOOK, 1 + Number(mutex.tryLock()));
      memory.store(ADDED, 1 + memory.add(64, 1));
      // It is held now.
      const late = mutex.lockAsync(5).catch(({ code }) => code);
      late.then((late) => memory.store(LATE, 1 + LATE_WORDS.indexOf(late)));
      return false;
    }
  },
);
