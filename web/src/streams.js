// The host's ends of the standard streams. Nothing here blocks: what does not fit into a ring
// waits in JavaScript, and what the guest writes waits in its ring until its target is ready.

import { bytesOf, callOut } from './foreign.js';
import { nodeModule } from './platform.js';
import { Ring } from './ring.js';

/** Writes each line to the console; where the host is Node, bytes to its own streams. */
function inherit(number) {
  const own = [null, globalThis.process?.stdout, globalThis.process?.stderr][number];
  if (nodeModule('node:worker_threads') && own) return (bytes) => void own.write(bytes);
  const text = new TextDecoder();
  const say = number === 2 ? console.error : console.log;
  let line = '';
  return (bytes, isLast) => {
    const lines = (line + text.decode(bytes, { stream: !isLast })).split('\n');
    line = lines.pop();
    for (const whole of lines) say(whole);
    if (isLast && line) say(line);
  };
}

/** The host's end of standard output or error. */
export class Output {
  /** Of 'pipe'. */
  stream = null;
  #chunks = [];
  #becameReady;
  #write = () => {};
  #isReady = () => true;
  #finish = () => {};

  /**
   * @param {string | Function | WritableStream} target
   * @param {number} number 1 or 2
   * @param {() => void} becameReady called when a target that was not ready is again
   * @param {(error: unknown) => void} broken called with what a function throws
   */
  constructor(target, number, becameReady, broken) {
    this.#becameReady = becameReady;
    if (typeof target === 'function') {
      const failed = (error) => {
        this.#giveUp();
        broken(error);
      };
      this.#write = (bytes) => callOut(failed, target, bytes);
    } else if (target === 'inherit') {
      this.#write = inherit(number);
      this.#finish = () => this.#write(new Uint8Array(0), true);
    } else if (target === 'null') {
      // As it is.
    } else if (target === 'collect') {
      this.#write = (bytes) => this.#chunks.push(bytes);
    } else if (target === 'pipe') {
      this.#pipe();
    } else if (typeof target?.getWriter === 'function') {
      this.#pass(target.getWriter());
    } else {
      throw new TypeError('this is no target of a standard stream');
    }
  }

  #pipe() {
    let controller;
    this.stream = new ReadableStream(
      {
        start: (given) => void (controller = given),
        pull: () => this.#becameReady(),
        cancel: () => this.#giveUp(),
      },
      { highWaterMark: Ring.CAPACITY, size: (chunk) => chunk.length },
    );
    this.#write = (bytes) => controller.enqueue(bytes);
    this.#isReady = () => controller.desiredSize > 0;
    this.#finish = () => controller.close();
  }

  #pass(writer) {
    const stop = () => this.#giveUp();
    callOut(stop, () => writer.closed);
    this.#write = (bytes) => {
      callOut(stop, () => writer.write(bytes));
      if (!(writer.desiredSize > 0)) callOut(stop, () => writer.ready.then(this.#becameReady));
    };
    this.#isReady = () => writer.desiredSize > 0;
    this.#finish = () => callOut(stop, () => writer.close());
  }

  /** Nobody takes it any more: what comes is forgotten. */
  #giveUp() {
    this.#write = this.#finish = () => {};
    this.#isReady = () => true;
    this.#becameReady();
  }

  /** Takes what is in the ring, as far as the target is ready; all of it at the end. */
  drain(ring, isLast = false) {
    while (ring.filled > 0 && (isLast || this.#isReady())) {
      const bytes = new Uint8Array(ring.filled);
      ring.read(bytes);
      this.#write(bytes);
    }
  }

  /** Bytes that come without a ring. */
  take(bytes) {
    this.#write(bytes);
  }

  finish(ring) {
    this.drain(ring, true);
    this.#finish();
  }

  /** Of 'collect': all that was written so far. */
  get collected() {
    const whole = new Uint8Array(this.#chunks.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.#chunks) {
      whole.set(part, at);
      at += part.length;
    }
    this.#chunks = [whole];
    return whole;
  }
}

/** The host's end of standard input. */
export class Input {
  /** Of 'pipe'. */
  stream = null;
  #ring;
  #filled;
  #queue = [];
  #isFinished = false;
  #isOver = false;
  #stop = () => {};
  /** Takes up a source that others may want, once the guest does. */
  #begin = null;

  /**
   * @param {string | object} source
   * @param {import('./ring.js').Ring} ring
   * @param {(error: unknown) => void} broken called when the source fails
   * @param {() => void} filled called when there is more in the ring
   */
  constructor(source, ring, broken, filled = () => {}) {
    this.#ring = ring;
    this.#filled = filled;
    if (typeof Blob === 'function' && source instanceof Blob) source = source.stream();
    if (source === 'null') this.#end();
    else if (source === 'pipe') this.#pipe();
    else if (source === 'inherit') this.#begin = () => this.#inherit();
    else if (typeof source?.getReader === 'function') this.#pump(source.getReader(), broken);
    else {
      this.#send(bytesOf(typeof source === 'string' ? undefined : (source?.text ?? source)));
      this.#end();
    }
  }

  async #pump(reader, broken) {
    const cancel = () => callOut(() => {}, () => reader.cancel());
    this.#stop = cancel;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done || this.#isOver) break;
        await this.#send(bytesOf(value));
      }
    } catch (error) {
      if (!this.#isOver) broken(error);
      cancel();
    }
    this.#end();
  }

  #pipe() {
    this.stream = new WritableStream({
      write: (chunk) => {
        try {
          return this.#send(bytesOf(chunk));
        } catch (error) {
          // Who writes is told; nothing can be written any more.
          this.#end();
          throw error;
        }
      },
      close: () => this.#end(),
      abort: () => this.#end(),
    });
  }

  /** Node's own standard input, read from the guest's first look at it until the process ends. */
  #inherit() {
    const { stdin } = globalThis.process ?? {};
    if (!stdin || stdin.readableEnded || stdin.destroyed) return this.#end();
    const data = async (chunk) => {
      stdin.pause();
      // The program may have set an encoding.
      await this.#send(typeof chunk === 'string' ? Buffer.from(chunk, stdin.readableEncoding) : chunk);
      if (!this.#isOver) stdin.resume();
    };
    const end = () => this.#end();
    const events = { data, end, error: end, close: end };
    for (const [event, listener] of Object.entries(events)) stdin.on(event, listener);
    stdin.ref?.();
    stdin.resume();
    this.#stop = () => {
      for (const [event, listener] of Object.entries(events)) stdin.off(event, listener);
      // Others may read it, too.
      if (stdin.listenerCount('data') > 0) return void stdin.resume();
      stdin.pause();
      stdin.unref?.();
    };
  }

  /** Kept when the guest's ring has taken all of it, or the process is over. */
  #send(bytes) {
    if (this.#isOver || bytes.length === 0) return Promise.resolve();
    return new Promise((done) => {
      this.#queue.push({ bytes, done });
      this.fill();
    });
  }

  #end() {
    this.#isFinished = true;
    this.fill();
  }

  /** Moves what fits into the ring. */
  fill() {
    if (this.#begin && this.#ring.isWanted) {
      const begin = this.#begin;
      this.#begin = null;
      begin();
    }
    while (this.#queue.length > 0) {
      const [first] = this.#queue;
      first.bytes = first.bytes.subarray(this.#ring.write(first.bytes));
      this.#filled();
      if (first.bytes.length > 0) return;
      this.#queue.shift();
      first.done();
    }
    if (this.#isFinished && !this.#ring.isFinished) {
      this.#ring.finish();
      this.#filled();
    }
  }

  /** The process is over. */
  close() {
    this.#isOver = true;
    this.#stop();
    for (const { done } of this.#queue.splice(0)) done();
  }
}
