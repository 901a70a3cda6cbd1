// What threads of JavaScript do where they meet those of the guest `meet`: the same rounds.
// Runs in workers, which block, and on the main thread, which does not.

import {
  Barrier,
  Condvar,
  Latch,
  Mutex,
  Once,
  RwLock,
  Semaphore,
  SharedMemory,
  WaitGroup,
} from '../sync.js';

export const PERMITS = 3;

/** The guest's `Place`. */
export class Place {
  constructor(memory, at) {
    this.memory = SharedMemory.of(memory);
    this.barrier = new Barrier(this.memory, at);
    this.rwlock = new RwLock(this.memory, at + 16);
    this.semaphore = new Semaphore(this.memory, at + 32);
    this.condvar = new Condvar(this.memory, at + 40);
    this.mutex = new Mutex(this.memory, at + 48);
    this.go = new Latch(this.memory, at + 52);
    this.hosts = new WaitGroup(this.memory, at + 56);
    this.once = new Once(this.memory, at + 60);
    // Two counters, the turn, permits inside, faults, threads that are here, runs.
    this.words = this.memory.view('u32', at + 64, 7);
  }

  check(holds) {
    if (!holds) Atomics.add(this.words, 4, 1);
  }

  /** Plainly, under a lock. */
  count() {
    const before = this.words[0];
    this.words[0] = before + 1;
    this.check(this.words[1] === before);
    this.words[1] = before + 1;
  }

  look() {
    this.check(this.words[0] === this.words[1]);
  }
}

function enter(place, permits) {
  place.check(Atomics.add(place.words, 3, permits) + permits <= PERMITS);
  Atomics.add(place.words, 6, 1);
  Atomics.sub(place.words, 3, permits);
}

function pass(place, round, isLeader) {
  if (isLeader) Atomics.add(place.words, 6, 1);
  place.check(Atomics.load(place.words, 5) >= (round + 1) * place.barrier.parties);
}

/** After a write: goes on reading now and then. */
function writeAndGo(place, round) {
  place.count();
  if (round % 16 !== 0) return place.rwlock.unlockWrite();
  place.rwlock.downgrade();
  place.look();
  return place.rwlock.unlockRead();
}

function readAndGo(place) {
  place.look();
  place.rwlock.unlockRead();
}

/** What the guest's threads wait for in `queue`. */
function bring({ words, condvar, mutex }) {
  words[2] += 1;
  mutex.unlock();
  condvar.notifyOne();
}

function takeTurn(place) {
  place.words[2] += 1;
  place.count();
  place.mutex.unlock();
  place.condvar.notifyAll();
}

/** A round of each scenario, blocking. */
const blocking = {
  mutex: (place) => place.mutex.withLock(() => place.count()),
  rwlock: (place, round) => {
    if (round % 4 === 0) {
      place.rwlock.write();
      writeAndGo(place, round);
    } else {
      place.rwlock.read();
      readAndGo(place);
    }
  },
  semaphore: (place, round) => {
    const permits = 1 + (round % PERMITS);
    place.semaphore.acquire(permits);
    enter(place, permits);
    place.semaphore.release(permits);
  },
  barrier: (place, round) => {
    Atomics.add(place.words, 5, 1);
    pass(place, round, place.barrier.wait());
  },
  condvar: (place, _, me, parties) => {
    place.mutex.lock();
    place.condvar.waitWhile(place.mutex, () => place.words[2] % parties !== me);
    takeTurn(place);
  },
  queue: (place) => {
    place.mutex.lock();
    bring(place);
  },
  once: (place) => {
    place.once.callOnce(() => Atomics.add(place.words, 6, 1));
    place.check(Atomics.load(place.words, 6) === 1);
  },
};

/** The same as a promise. */
const promising = {
  mutex: (place) => place.mutex.withLockAsync(() => place.count()),
  rwlock: async (place, round) => {
    if (round % 4 === 0) {
      await place.rwlock.writeAsync();
      writeAndGo(place, round);
    } else {
      await place.rwlock.readAsync();
      readAndGo(place);
    }
  },
  semaphore: async (place, round) => {
    const permits = 1 + (round % PERMITS);
    await place.semaphore.acquireAsync(permits);
    enter(place, permits);
    place.semaphore.release(permits);
  },
  barrier: async (place, round) => {
    Atomics.add(place.words, 5, 1);
    pass(place, round, await place.barrier.waitAsync());
  },
  condvar: async (place, _, me, parties) => {
    await place.mutex.lockAsync();
    await place.condvar.waitWhileAsync(place.mutex, () => place.words[2] % parties !== me);
    takeTurn(place);
  },
  queue: async (place) => {
    await place.mutex.lockAsync();
    bring(place);
  },
  once: async (place) => {
    await place.once.callOnceAsync(() => Atomics.add(place.words, 6, 1));
    place.check(Atomics.load(place.words, 6) === 1);
  },
};

/** All rounds of a thread that blocks. */
export function play(place, scenario, rounds, me, parties) {
  place.go.wait();
  for (let round = 0; round < rounds; round++) blocking[scenario](place, round, me, parties);
  place.hosts.done();
}

/** All rounds of one that does not. */
export async function playAsync(place, scenario, rounds, me, parties) {
  await place.go.waitAsync();
  for (let round = 0; round < rounds; round++) await promising[scenario](place, round, me, parties);
  place.hosts.done();
}
