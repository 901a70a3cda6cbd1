// A thread that makes sound: it meets others at a mutex.

import { Mutex, SharedMemory } from '../../sync.js';

registerProcessor(
  'meet',
  class extends AudioWorkletProcessor {
    constructor({ processorOptions: { memory, offset } }) {
      super();
      this.memory = SharedMemory.of(memory);
      this.mutex = new Mutex(this.memory, offset);
    }

    process() {
      const [took, added] = [this.mutex.tryLock(), this.memory.add(64, 1)];
      // It is held now.
      const late = this.mutex.lockAsync(5).catch(({ code }) => code);
      late.then((late) => this.port.postMessage({ took, added, late }));
      return false;
    }
  },
);
