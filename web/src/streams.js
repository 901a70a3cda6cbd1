// The host's ends of the standard streams. Nothing here blocks: what does not fit into a ring
// waits in JavaScript, and what the guest writes waits in its ring until its target is ready.

import { nodeModule } from './platform.js';
import { Ring } from './ring.js';

const utf8 = new TextEncoder();

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
  #write;
  #isReady = () => true;
  #finish = () => {};

  /**
   * @param {string | Function | WritableStream} target
   * @param {number} number 1 or 2
   * @param {() => void} becameReady called when a target that was not ready is again
   */
  constructor(target, number, becameReady) {
    if (typeof target === 'function') {
      this.#write = (bytes) => target(bytes);
    } else if (target === 'inherit') {
      this.#write = inherit(number);
      this.#finish = () => this.#write(new Uint8Array(0), true);
    } else if (target === 'null') {
      this.#write = () => {};
    } else if (target === 'collect') {
      this.#write = (bytes) => this.#chunks.push(bytes);
    } else if (target === 'pipe') {
      this.#pipe(becameReady);
    } else if (typeof target?.getWriter === 'function') {
      this.#pass(target.getWriter(), becameReady);
    } else {
      throw new TypeError(`${String(target)} is no target of a standard stream`);
    }
  }

  #pipe(becameReady) {
    let controller;
    let isOpen = true;
    this.stream = new ReadableStream(
      {
        start: (given) => void (controller = given),
        pull: becameReady,
        // Nobody reads any more: the guest's output is forgotten.
        cancel: () => void (isOpen = false),
      },
      { highWaterMark: Ring.CAPACITY, size: (chunk) => chunk.length },
    );
    this.#write = (bytes) => isOpen && controller.enqueue(bytes);
    this.#isReady = () => !isOpen || controller.desiredSize > 0;
    this.#finish = () => isOpen && controller.close();
  }

  #pass(writer, becameReady) {
    let isOpen = true;
    const close = () => void (isOpen = false);
    writer.closed.catch(close);
    this.#write = (bytes) => {
      if (!isOpen) return;
      writer.write(bytes).catch(close);
      if (writer.desiredSize <= 0) writer.ready.then(becameReady, close);
    };
    this.#isReady = () => !isOpen || writer.desiredSize > 0;
    this.#finish = () => isOpen && writer.close().catch(close);
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
  #changed;
  #queue = [];
  #isFinished = false;
  #isOver = false;
  #stop = () => {};

  /**
   * @param {string | object} source
   * @param {import('./ring.js').Ring} ring
   */
  constructor(source, ring) {
    this.#ring = ring;
    if (source === 'null') this.#end();
    else if (source === 'pipe') this.#pipe();
    else if (source === 'inherit') this.#inherit();
    else this.#take(source);
  }

  async #take(source) {
    if (typeof source.text === 'string') source = utf8.encode(source.text);
    if (typeof Blob === 'function' && source instanceof Blob) source = source.stream();
    if (typeof source?.getReader === 'function') {
      const reader = source.getReader();
      this.#stop = () => reader.cancel().catch(() => {});
      try {
        for (;;) {
          const { done, value } = await reader.read();
          if (done || this.#isOver) break;
          await this.#send(value);
        }
      } finally {
        this.#end();
      }
      return;
    }
    const bytes = ArrayBuffer.isView(source)
      ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
      : new Uint8Array(source);
    this.#send(bytes);
    this.#end();
  }

  #pipe() {
    this.stream = new WritableStream({
      write: (chunk) => this.#send(typeof chunk === 'string' ? utf8.encode(chunk) : chunk),
      close: () => this.#end(),
      abort: () => this.#end(),
    });
  }

  /** Node's own standard input, read while the process runs. */
  #inherit() {
    const { stdin } = globalThis.process ?? {};
    if (!stdin) return this.#end();
    const data = async (bytes) => {
      stdin.pause();
      await this.#send(bytes);
      if (!this.#isOver) stdin.resume();
    };
    const end = () => this.#end();
    stdin.on('data', data).on('end', end);
    this.#stop = () => {
      stdin.off('data', data).off('end', end);
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
    while (this.#queue.length > 0) {
      const [first] = this.#queue;
      first.bytes = first.bytes.subarray(this.#ring.write(first.bytes));
      if (first.bytes.length > 0) return;
      this.#queue.shift();
      first.done();
    }
    if (this.#isFinished && !this.#ring.isFinished) this.#ring.finish();
  }

  /** The process is over. */
  close() {
    this.#isOver = true;
    this.#stop();
    for (const { done } of this.#queue.splice(0)) done();
  }
}
