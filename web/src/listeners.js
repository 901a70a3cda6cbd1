// What listens for a process, and the sockets of its connections: Node's, on the supervisor's event
// loop. See sockets.js for what its threads see of them.

import { nodeModule } from './platform.js';
import { C, Connection, Listener, MOST_CONNECTIONS, Shut, State } from './sockets.js';
import * as E from './wasi/errno.js';
import * as W from './words.js';

/** How long a program's last bytes have to get away once it has ended, in ms. */
const LAST_BYTES = 1000;

/** A connection and its socket. */
class Live {
  #owner;
  #socket;
  #queue = [];
  /** Nothing more comes. */
  #isOver = false;

  constructor(owner, connection, socket) {
    this.#owner = owner;
    this.#socket = socket;
    this.connection = connection;
    socket.setNoDelay(true);
    this.#share();
    socket.on('data', (chunk) => {
      this.#queue.push(chunk);
      this.look();
      if (this.#queue.length > 0) socket.pause();
    });
    socket.on('end', () => {
      this.#isOver = true;
      this.look();
    });
    for (const event of ['drain', 'finish']) socket.on(event, () => this.look());
    socket.on('error', ({ code }) => {
      Atomics.store(connection.words, C.ERROR, E[String(code).slice(1)] ?? E.IO);
    });
    socket.on('close', () => this.#gone());
  }

  /** Lets threads write to the socket until it is closed. Node has no name for its number. */
  #share() {
    const socket = this.#socket;
    const { words, lock } = this.connection;
    const number = socket._handle?.fd;
    if (!(number >= 0)) return;
    Atomics.store(words, C.SOCKET, number + 1);
    const destroy = socket._destroy;
    socket._destroy = (...args) => {
      lock.take();
      Atomics.store(words, C.SOCKET, 0);
      lock.give();
      destroy.apply(socket, args);
    };
  }

  /** Moves what there is to move. */
  look() {
    const { connection } = this;
    this.#fill();
    this.#drain();
    if (connection.get(C.STATE) !== State.LEFT) return;
    // Who has no descriptor any more does not wait for the other end.
    if (connection.isGone) this.#owner.free(connection);
    else if (this.#socket.writableFinished) this.#socket.destroy();
  }

  #fill() {
    const { input, words } = this.connection;
    let moved = this.#move();
    if (this.#queue.length > 0) {
      // Who makes room from now on says so; who has made some just now did not.
      Atomics.store(words, C.MORE, 1);
      moved += this.#move();
    }
    if (this.#queue.length === 0) Atomics.store(words, C.MORE, 0);
    if (this.#queue.length > 0) return void (moved > 0 && this.#owner.changed());
    if (this.#socket.isPaused()) this.#socket.resume();
    const ends = this.#isOver && !input.isFinished;
    if (ends) input.finish();
    if (ends || moved > 0) this.#owner.changed();
  }

  /** Moves from the queue to the ring what there is room for; how much that was. */
  #move() {
    const { connection } = this;
    const nobodyReads = connection.get(C.STATE) === State.LEFT || connection.get(C.SHUT) & Shut.READ;
    let moved = 0;
    while (this.#queue.length > 0) {
      const count = nobodyReads ? this.#queue[0].length : connection.input.write(this.#queue[0]);
      moved += count;
      this.#queue[0] = this.#queue[0].subarray(count);
      if (this.#queue[0].length > 0) break;
      this.#queue.shift();
    }
    return moved;
  }

  #drain() {
    const { connection } = this;
    const { output, words } = connection;
    let moved = 0;
    while (output.filled > 0 && !this.#socket.writableNeedDrain && this.#socket.writable) {
      Atomics.store(words, C.PENDING, 1);
      const bytes = new Uint8Array(output.filled);
      moved += output.read(bytes);
      this.#socket.write(bytes, this.#written);
    }
    if (moved > 0) this.#owner.changed();
    const isLast = connection.get(C.STATE) === State.LEFT || connection.get(C.SHUT) & Shut.WRITE;
    if (isLast && output.filled === 0 && !this.#socket.writableEnded) this.#socket.end();
  }

  #written = () => {
    if (this.#socket.writableLength === 0) Atomics.store(this.connection.words, C.PENDING, 0);
  };

  /** Kept when there is no socket any more. */
  gone() {
    return new Promise((done) => (this.connection.isGone ? done() : this.#socket.once('close', done)));
  }

  destroy() {
    this.#socket.destroy();
  }

  #gone() {
    const { connection } = this;
    this.#isOver = true;
    Atomics.store(connection.words, C.GONE, 1);
    connection.output.finish();
    connection.output.disturb();
    this.#owner.changed();
    this.look();
  }
}

export class Listeners {
  #buffer;
  #words;
  #servers = [];
  #listeners = [];
  #live = new Map();
  #orders = 0;
  /** Sockets for which there is no place yet. */
  #late = [];

  constructor(buffer, words) {
    this.#buffer = buffer;
    this.#words = words;
  }

  /** Kept when all of them listen. */
  async open(sources) {
    const { createServer } = nodeModule('node:net');
    for (const [number, source] of sources.entries()) {
      const server = createServer({ allowHalfOpen: true }, (socket) => this.#admit(number, socket));
      this.#servers.push(server);
      this.#listeners.push(new Listener(this.#buffer, number));
      await new Promise((listens, fails) => {
        server.once('error', fails);
        server.listen(source, listens);
      });
      // One that fails to accept goes on.
      server.on('error', () => {});
    }
  }

  #admit(number, socket) {
    const index = this.#freePlace();
    if (index < 0) {
      socket.on('error', () => {});
      return void this.#late.push([number, socket.pause()]);
    }
    const connection = new Connection(this.#buffer, index);
    const { words } = connection;
    words[C.LISTENER] = number;
    words[C.ORDER] = this.#orders = (this.#orders + 1) | 0;
    this.#live.set(index, new Live(this, connection, socket));
    Atomics.store(words, C.STATE, State.WAITING);
    this.#listeners[number].arrived();
    this.changed();
  }

  #freePlace() {
    for (let index = 0; index < MOST_CONNECTIONS; index++) if (!this.#live.has(index)) return index;
    return -1;
  }

  /** Wakes who polls. */
  changed() {
    Atomics.add(this.#words, W.CHANGED, 1);
    // Who sleeps has said so before it compared.
    if (Atomics.load(this.#words, W.POLLERS) > 0) Atomics.notify(this.#words, W.CHANGED);
  }

  /** A place can be used again. */
  free({ index, words, input, output }) {
    for (const all of [input.words, output.words, words]) all.fill(0);
    this.#live.delete(index);
    // Some may be gone meanwhile.
    const next = this.#late.find(([, socket]) => !socket.destroyed);
    this.#late = next ? this.#late.slice(this.#late.indexOf(next) + 1) : [];
    if (next) this.#admit(...next);
  }

  /** Threads have written, read, shut down or closed. */
  look() {
    this.#servers.forEach((server, number) => {
      if (this.#listeners[number].isOver && server.listening) server.close();
    });
    for (const live of [...this.#live.values()]) {
      const { words } = live.connection;
      // Nobody will accept it.
      const isLost = this.#listeners[words[C.LISTENER]].isOver;
      if (isLost && Atomics.compareExchange(words, C.STATE, State.WAITING, State.LEFT) === State.WAITING) live.destroy();
      live.look();
    }
  }

  /** The process ends: wakes all who wait for a socket. */
  wake() {
    for (const server of this.#servers) server.close();
    for (const listener of this.#listeners) listener.end();
    for (const { connection } of this.#live.values()) {
      connection.input.close();
      connection.output.close();
    }
  }

  /** The threads are gone: what they have written still goes out if somebody takes it. Kept then. */
  async close(isInHaste) {
    const sent = [];
    for (const live of [...this.#live.values()]) {
      sent.push(live.gone());
      if (isInHaste || live.connection.get(C.STATE) === State.WAITING) live.destroy();
      Atomics.store(live.connection.words, C.STATE, State.LEFT);
      live.look();
    }
    for (const [, socket] of this.#late) socket.destroy();
    let timer;
    const late = new Promise((done) => (timer = setTimeout(done, LAST_BYTES)));
    await Promise.race([Promise.all(sent), late]);
    clearTimeout(timer);
    for (const live of this.#live.values()) live.destroy();
  }
}
