// A worker that the host has started before the supervisor was there: the host's end, and the
// supervisor's. What the worker says to the supervisor, and the supervisor to it, the host passes on, since
// only who has started a worker hears it and can end it. A host that is busy passes it on late; but
// threads start threads, and sleep and wake each other, by shared words, and need nobody for it.
//
// Invariant: the supervisor hears of a worker only after it has been told that there is one.

import { postToParent } from './platform.js';

/** The host's end. */
export class Lent {
  #number;
  #child;
  #unsaid = [];
  #tell = (news) => void this.#unsaid.push(news);

  /**
   * @param {number} number
   * @param {(to: object) => import('./platform.js').Child} start
   * @param {(message: object) => void} receive what is for the host
   */
  constructor(number, start, receive) {
    this.#number = number;
    /** Kept when it has started or failed. */
    this.isReady = new Promise((ready) => {
      const say = (news) => {
        this.#tell({ from: number, ...news });
        ready();
      };
      const message = (message) => {
        const isForSupervisor = message.ending || message.left || message.sleeper;
        return isForSupervisor ? say({ message }) : receive(message);
      };
      this.#child = start({ started: (message) => say({ message }), message, failed: (failed) => say({ failed }) });
    });
  }

  get number() {
    return this.#number;
  }

  /** The supervisor knows it from now on, and is told by `tell`. */
  handOver(tell) {
    this.#tell = tell;
    this.#unsaid.splice(0).forEach(tell);
  }

  /** To the worker, as soon as it has started. */
  async post(message) {
    await this.isReady;
    this.#child.post(message);
  }

  async end() {
    await this.#child.terminate();
    this.#tell({ from: this.#number, isGone: true });
  }

  /** Leaves it to the supervisor whether the program stays alive, where hosts end by themselves. */
  unref() {
    this.#child.keepAlive(false);
  }
}

/** The supervisor's end; used like a `Child`. */
export class Borrowed {
  /** By their numbers. */
  static all = new Map();
  #number;
  #to;
  #gone;
  #isGone = new Promise((gone) => (this.#gone = gone));

  constructor(number, to) {
    this.#number = number;
    this.#to = to;
    Borrowed.all.set(number, this);
  }

  receive({ message, failed, isGone }) {
    if (isGone) {
      Borrowed.all.delete(this.#number);
      this.#gone();
    } else if (failed !== undefined) this.#to.failed(failed);
    else if (message.started) this.#to.started(message);
    else this.#to.message(message);
  }

  post(message) {
    postToParent({ to: this.#number, message });
  }

  terminate() {
    postToParent({ end: this.#number });
    return this.#isGone;
  }
}
