// The thread table of a process, in its control block: who may start a thread, and which
// seat runs it. A spawn is a lock, a store and a notify; it needs no turn of any event
// loop, and it never waits for a worker to start. If no seat is idle, the thread is queued
// for the next one, and the supervisor is asked for more.
//
// Invariant: every thread that was admitted is on a seat or in the queue, and while the
// queue is not empty, a seat is coming or the supervisor's bell has rung.

import { Activity, Job, LIMITS, Mailbox } from './control.js';
import * as S from './seat-words.js';
import * as W from './words.js';

/** Ids are in [1, 2^29), so that libc can use the other bits. */
const ID_END = 2 ** 29;

/** WASI's EAGAIN. wasi-libc makes EAGAIN of every negative number. */
const REFUSED = -6;

/**
 * How long a spawn at the limit waits for a thread that has ended, as far as the guest can
 * see, but whose worker is not done with it; in ms.
 */
const LINGER = 20;

/** Starts a thread: its id, or a negative number. */
export function spawn(control, argument, ringSupervisor) {
  if (!admit(control)) {
    // A process that ends refuses, too, and that is no limit.
    if (control.isEnding) return REFUSED;
    Atomics.add(control.words, W.REFUSED, 1);
    Atomics.or(control.words, W.LIMITS_MET, 1 << LIMITS.indexOf('threads'));
    return REFUSED;
  }
  const { words, lock } = control;
  // The lock is held.
  words[W.ALIVE] += 1;
  words[W.PEAK] = Math.max(words[W.PEAK], words[W.ALIVE]);
  words[W.STARTED] += 1;
  const id = nextId(control);
  let seat = -1;
  if (words[W.IDLE] > 0) {
    words[W.IDLE] -= 1;
    seat = control.seat(words[control.idle + words[W.IDLE]]);
  } else {
    const at = (words[W.PENDING_HEAD] + words[W.PENDING]) % control.seats;
    words[control.pending + at * 2] = id;
    words[control.pending + at * 2 + 1] = argument;
    words[W.PENDING] += 1;
  }
  const isShort = words[W.PENDING] > words[W.COMING];
  lock.release();
  if (seat >= 0) give(control, seat, id, argument);
  else if (isShort) ringSupervisor();
  return id;
}

/** Takes the lock when there is room for one more thread; false if there will be none. */
function admit({ words, lock }) {
  const until = performance.now() + LINGER;
  for (;;) {
    const ended = Atomics.load(words, W.ENDED);
    if (!lock.acquire()) return false;
    if (words[W.ALIVE] - 1 < words[W.MOST_THREADS]) return true;
    lock.release();
    const left = until - performance.now();
    if (left <= 0) return false;
    Atomics.wait(words, W.ENDED, ended, left);
  }
}

/** An id that no living thread has. */
function nextId(control) {
  const { words } = control;
  const isTaken = (id) => {
    for (let index = 0; index < control.seats; index++) {
      if (words[control.seat(index) + S.THREAD] === id) return true;
    }
    return false;
  };
  let id = words[W.NEXT_ID];
  do id = (id + 1) % ID_END || 1;
  while (isTaken(id));
  words[W.NEXT_ID] = id;
  return id;
}

/** Hands a thread to a seat that is idle, or was made for it. */
function give({ words }, seat, id, argument) {
  words[seat + S.JOB] = Job.THREAD;
  words[seat + S.THREAD] = id;
  words[seat + S.ARGUMENT] = argument;
  // A seat that was dismissed meanwhile belongs to a process that ends.
  if (
    Atomics.compareExchange(words, seat + S.MAILBOX, Mailbox.IDLE, Mailbox.JOB) === Mailbox.IDLE
  ) {
    Atomics.notify(words, seat + S.MAILBOX, 1);
  }
}

/**
 * Called by a worker whose seat has an instance: takes the next thread or call, waiting
 * for it if need be. The job is in the seat's words. False if the process ends.
 */
export function nextJob(control, index, takesThreads, ringHost) {
  const { words, lock } = control;
  const seat = control.seat(index);
  if (takesThreads) {
    if (!lock.acquire()) return false;
    words[W.COMING] -= 1;
    if (words[W.PENDING] > 0) {
      const at = words[W.PENDING_HEAD];
      words[W.PENDING_HEAD] = (at + 1) % control.seats;
      words[W.PENDING] -= 1;
      words[seat + S.JOB] = Job.THREAD;
      words[seat + S.THREAD] = words[control.pending + at * 2];
      words[seat + S.ARGUMENT] = words[control.pending + at * 2 + 1];
      Atomics.store(words, seat + S.MAILBOX, Mailbox.BUSY);
      lock.release();
      return true;
    }
    // Before it can be found in the stack.
    control.setActivity(seat, Activity.NONE);
    Atomics.store(words, seat + S.MAILBOX, Mailbox.IDLE);
    words[control.idle + words[W.IDLE]] = index;
    words[W.IDLE] += 1;
    lock.release();
  } else {
    control.setActivity(seat, Activity.NONE);
    Atomics.store(words, seat + S.MAILBOX, Mailbox.IDLE);
    // Its calls come from there.
    ringHost();
  }
  // An end that came before the mailbox said IDLE has not dismissed this seat.
  if (control.isEnding) return false;
  while (Atomics.load(words, seat + S.MAILBOX) === Mailbox.IDLE) {
    Atomics.wait(words, seat + S.MAILBOX, Mailbox.IDLE);
  }
  return Atomics.compareExchange(words, seat + S.MAILBOX, Mailbox.JOB, Mailbox.BUSY) === Mailbox.JOB;
}

/** The seat's thread has ended; its worker makes a new instance and comes back. */
export function threadEnded({ words, lock }, seat) {
  if (!lock.acquire()) return;
  words[W.ALIVE] -= 1;
  words[W.COMING] += 1;
  words[seat + S.THREAD] = 0;
  lock.release();
  Atomics.add(words, W.ENDED, 1);
  Atomics.notify(words, W.ENDED);
}

/** How many seats the supervisor has to add; they count as coming from now on. */
export function claimShortage({ words, lock }, most) {
  if (!lock.acquire()) return 0;
  const count = Math.max(0, Math.min(words[W.PENDING] - words[W.COMING], most));
  words[W.COMING] += count;
  lock.release();
  return count;
}
