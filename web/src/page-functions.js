// Functions of the page that a program calls from any of its threads: the page's half of the
// protocol. The worker's is in page-calls.js.
//
// A thread that calls one posts a message, and sleeps on its seat's word CALLED until the answer is
// there: numbers stand in the seat's words; bytes in a buffer that came with the message, or, if they
// are more than that holds, in a larger one that is sent for them.
//
// Invariant: an answer reaches the call that it is of, or nobody: the word also counts the calls of
// its seat. The page forgets a call when the worker of its seat is replaced, and all when the
// process ends, which wakes whoever sleeps.

import { Called, MOST_VALUES } from './control.js';
import { ThreadworkError } from './errors.js';
import { bytesOf, textOf } from './foreign.js';
import { Inbox } from './messages.js';

/** The import module of the functions that take bytes, and their names: see the crate `threadwork-page`. */
export const BY_NAME = 'page';
export const CALL = 'call';
export const TAKE = 'take';
export const POST = 'post';
export const SEND = 'send';
export const RECEIVE = 'receive';

export class PageFunctions {
  #functions;
  #handlers;
  #control;
  #broken;
  /** By the index of the seat that asks. */
  #calls = new Map();
  #errors = new Map();
  #inbox = new Inbox();
  #takesMessages;

  /**
   * @param {{functions: {module: string, name: string, waits: boolean, call: Function}[],
   *   handlers: Map<string, Function>}} given see preopens.js
   * @param {import('./control.js').Control} control
   * @param {{name: string, module: string}[]} imports the program's
   * @param {(what: string, error: unknown) => void} broken what fails while nobody waits for it
   */
  constructor({ functions, handlers }, control, imports, broken) {
    this.#functions = functions;
    this.#handlers = handlers;
    this.#control = control;
    this.#broken = broken;
    const own = (module, name) => this.#functions.some((known) => known.module === module && known.name === name);
    this.#takesMessages = imports.some(({ module, name }) => isOfMessages(module, name) && !own(module, name));
  }

  /** Whether it has a function that a program imports. */
  defines(module, name) {
    if (module === BY_NAME && this.#handlers.size > 0 && [CALL, POST].includes(name)) return true;
    if (module === BY_NAME && name === TAKE && this.#handlers.size + this.#takesMessages > 0) return true;
    if (isOfMessages(module, name)) return true;
    return this.#functions.some((known) => known.module === module && known.name === name);
  }

  /** What workers have to know of it; undefined if there is nothing. */
  get plan() {
    const takesBytes = this.#handlers.size > 0 || this.#takesMessages;
    if (this.#functions.length === 0 && !takesBytes) return undefined;
    const functions = this.#functions.map(({ module, name, waits }) => ({ module, name, waits }));
    return { functions, takesBytes };
  }

  /** A message for the next thread that asks for one. */
  send(bytes) {
    this.#inbox.put(bytes);
  }

  /** A thread calls. */
  receive({ index, number, args, handler, bytes, timeout, buffer, asked }) {
    if (timeout !== undefined) return this.#await(index, timeout, { isHandler: true, buffer, asked });
    if (handler === undefined && number === undefined) return this.#fill(index, buffer, asked);
    const isHandler = handler !== undefined;
    const call = { isHandler, buffer, asked };
    const waits = asked !== undefined;
    if (waits) this.#calls.set(index, call);
    const what = isHandler ? `the handler \`${handler}\`` : `\`${this.#functions[number].module}.${this.#functions[number].name}\``;
    const body = () => (isHandler ? this.#handle(handler, bytes) : this.#functions[number].call(...args));
    // A promise keeps or breaks once, whatever it is given.
    new Promise((resolve) => resolve(body())).then(
      (value) => waits && this.#answer(index, call, value, what),
      (error) => (waits ? this.#fail(index, call, error, what) : this.#broken(what, error)),
    );
  }

  /** A thread asks for a message. */
  #await(index, timeout, call) {
    this.#calls.set(index, call);
    this.#inbox.take(timeout, (bytes) => {
      if (this.#calls.get(index) !== call) return false;
      if (bytes) this.#give(index, call, bytes, false);
      else this.#give(index, call, NONE, true);
      return true;
    });
  }

  #handle(name, bytes) {
    const handler = this.#handlers.get(name);
    if (!handler) throw new Error(`the page has no handler \`${name}\``);
    return handler(bytes);
  }

  #answer(index, call, value, what) {
    try {
      const answer = call.isHandler ? bytesOf(value ?? '') : valuesOf(value);
      if (call.isHandler) this.#give(index, call, answer, false);
      else this.#settle(index, call, Called.ANSWERED, answer);
    } catch (error) {
      this.#fail(index, call, error, what);
    }
  }

  /** Who asks a handler is told of its error; in another function's place there is nothing to tell. */
  #fail(index, call, error, what) {
    if (call.isHandler) return this.#give(index, call, bytesOf(textOf(error)), true);
    if (this.#calls.get(index) !== call) return;
    const message = `${what}, a function of the page, failed: ${textOf(error)}`;
    this.#errors.set(index, new ThreadworkError('HOST_FUNCTION', message, { cause: error }));
    this.#settle(index, call, Called.FAILED, []);
  }

  #give(index, call, bytes, isError) {
    Object.assign(call, { bytes, isError });
    if (bytes.length <= call.buffer.byteLength) this.#write(index, call);
    else if (this.#calls.get(index) === call) this.#store(index, call, Called.LARGER, [bytes.length]);
  }

  /** There is a buffer for an answer that did not fit. */
  #fill(index, buffer, asked) {
    const call = this.#calls.get(index);
    if (call) this.#write(index, Object.assign(call, { buffer, asked }));
  }

  #write(index, call) {
    const { buffer, bytes, isError } = call;
    if (this.#calls.get(index) === call) new Uint8Array(buffer).set(bytes);
    this.#settle(index, call, Called.ANSWERED, [bytes.length, Number(isError)]);
  }

  #settle(index, call, state, values) {
    // Nobody waits for it any more.
    if (this.#calls.get(index) !== call) return;
    this.#calls.delete(index);
    this.#store(index, call, state, values);
  }

  #store(index, { asked }, state, values) {
    const seat = this.#control.seat(index);
    this.#control.setValues(seat, values);
    this.#control.answer(seat, asked, state);
  }

  /** The error that a thread on this seat could not go on after. */
  takeError(index) {
    const error = this.#errors.get(index);
    this.#errors.delete(index);
    return error;
  }

  /** Nobody on this seat waits any more. */
  forget(index) {
    this.#calls.delete(index);
    this.#errors.delete(index);
  }

  close() {
    this.#calls.clear();
    this.#errors.clear();
    this.#inbox.close();
  }
}

const NONE = new Uint8Array(0);

const isOfMessages = (module, name) => module === BY_NAME && (name === SEND || name === RECEIVE);

/** The results that a function's value is. */
function valuesOf(value) {
  const values = value === undefined ? [] : [value].flat();
  if (values.length > MOST_VALUES) throw new RangeError(`at most ${MOST_VALUES} results`);
  return values.map((one) => {
    if (typeof one === 'bigint' && one === BigInt.asIntN(64, one)) return one;
    if (typeof one === 'bigint' && one === BigInt.asUintN(64, one)) return BigInt.asIntN(64, one);
    if (typeof one === 'number' || typeof one === 'boolean') return Number(one);
    throw new TypeError(`its result is neither a number nor a bigint of 64 bits: ${textOf(one)}`);
  });
}
