// What each thread did when, in memory that does not grow with time.
//
// Time is cut into equal spans, BUCKETS of them. When the run outgrows them, neighbours
// are merged and each span is twice as long. A lane is a row of the picture: one worker,
// and on it one thread after another.

/** Spans in a lane: more than there are pixels across most pictures. */
const BUCKETS = 2048;
/** The first spans, in milliseconds. */
const FIRST_SPAN = 0.25;
/** Threads that are told apart; a program may start millions. */
const MOST_THREADS = 500;

/** @typedef {"running" | "waiting"} State */

class Lane {
  running = new Float32Array(BUCKETS);
  waiting = new Float32Array(BUCKETS);
  /** What the worker does now; null if it has no thread. @type {State | null} */
  state = null;
  since = 0;
  /** The thread that it has. */
  thread = null;

  /** @param {State} state */
  add(state, from, to, span) {
    const times = this[state];
    const last = Math.min(Math.floor(to / span), BUCKETS - 1);
    for (let bucket = Math.floor(from / span); bucket <= last; bucket += 1) {
      const overlap = Math.min(to, (bucket + 1) * span) - Math.max(from, bucket * span);
      times[bucket] += Math.max(0, overlap);
    }
  }

  merge() {
    for (const times of [this.running, this.waiting]) {
      for (let i = 0; i < BUCKETS / 2; i += 1) times[i] = times[2 * i] + times[2 * i + 1];
      times.fill(0, BUCKETS / 2);
    }
  }
}

export class History {
  /** Rows, from the top. @type {Lane[]} */
  lanes = [];
  /** How long a bucket is, in milliseconds. */
  span = FIRST_SPAN;
  /** How long the run has taken. */
  now = 0;
  /** How many threads have been seen. */
  started = 0;
  /** What all threads together did, in milliseconds. */
  totals = { running: 0, waiting: 0 };
  /** The first threads: id to what each does and did. */
  threads = new Map();

  /**
   * A worker's thread does something else from `at` on; null if the worker has none any
   * more. Times are milliseconds since the start of the run.
   * @param {number} worker
   * @param {number} thread
   * @param {State | null} state
   * @param {number} at
   */
  set(worker, thread, state, at) {
    while (this.lanes.length <= worker) this.lanes.push(new Lane());
    const lane = this.lanes[worker];
    this.#account(lane, at);
    if (state === null || lane.thread?.id !== thread) this.#leave(lane);
    if (state !== null && lane.thread === null) this.#enter(lane, thread);
    lane.state = state;
    if (lane.thread !== null) lane.thread.state = state;
  }

  /**
   * Time goes on. What happened since is told later, so nothing is taken for granted: who
   * did something when last heard of does it still only for who looks now.
   */
  advance(at) {
    this.now = Math.max(this.now, at);
  }

  /** The run is over: no thread lives on. */
  end(at) {
    for (const lane of this.lanes) {
      this.#account(lane, at);
      this.#leave(lane);
      lane.state = null;
    }
    this.advance(at);
  }

  /** How many threads ran at one time, on average. */
  get average() {
    const running = this.lanes.filter(({ state }) => state === 'running');
    const still = running.reduce((sum, { since }) => sum + Math.max(0, this.now - since), 0);
    return this.now === 0 ? 0 : (this.totals.running + still) / this.now;
  }

  /** How long a thread of `threads` has run and waited. */
  timesOf({ state, since, running, waiting }) {
    const times = { running, waiting };
    if (state !== null) times[state] += Math.max(0, this.now - since);
    return times;
  }

  /** What part of a span of time a lane ran and waited: two numbers from 0 to 1. */
  shares(lane, from, to) {
    const first = Math.floor(from / this.span);
    const last = Math.max(first + 1, Math.min(Math.ceil(to / this.span), BUCKETS));
    // The newest bucket is not over yet.
    const begin = first * this.span;
    const end = Math.min(last * this.span, this.now);
    if (end <= begin) return { running: 0, waiting: 0 };
    const times = { running: 0, waiting: 0 };
    for (let bucket = first; bucket < last; bucket += 1) {
      times.running += lane.running[bucket];
      times.waiting += lane.waiting[bucket];
    }
    if (lane.state !== null) times[lane.state] += Math.max(0, end - Math.max(begin, lane.since));
    const share = (time) => Math.min(1, time / (end - begin));
    return { running: share(times.running), waiting: share(times.waiting) };
  }

  #enter(lane, id) {
    lane.thread = { id, state: null, since: lane.since, running: 0, waiting: 0 };
    this.started += 1;
    if (this.threads.size < MOST_THREADS) this.threads.set(id, lane.thread);
  }

  #leave(lane) {
    if (lane.thread === null) return;
    lane.thread.state = null;
    lane.thread = null;
  }

  /** Adds what a worker did since it was last heard of. */
  #account(lane, at) {
    const { state, since } = lane;
    // After a look around, older news may still come.
    const until = Math.max(at, since);
    lane.since = until;
    if (lane.thread !== null) lane.thread.since = until;
    this.now = Math.max(this.now, until);
    if (state === null || until === since) return;
    while (until > this.span * BUCKETS) this.#zoomOut();
    lane.add(state, since, until, this.span);
    lane.thread[state] += until - since;
    this.totals[state] += until - since;
  }

  #zoomOut() {
    this.span *= 2;
    for (const lane of this.lanes) lane.merge();
  }
}
