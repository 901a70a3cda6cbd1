// Shared memory from JavaScript, and the primitives of `threadwork-sync` in it.

export { ThreadworkError } from './src/errors.js';
export { AtomicBatch } from './src/sync/batch.js';
export { Barrier } from './src/sync/barrier.js';
export { Condvar } from './src/sync/condvar.js';
export { Latch, Once, WaitGroup } from './src/sync/latch.js';
export { MemoryError, SharedMemory } from './src/sync/memory.js';
export { Mutex } from './src/sync/mutex.js';
export { RwLock } from './src/sync/rwlock.js';
export { Semaphore } from './src/sync/semaphore.js';
