// Functions of the page that a program calls: the worker's half of the protocol of page-functions.js.
// Loaded for programs that are given such functions, or send and take messages.

import { Called } from './control.js';
import { BY_NAME, CALL, POST, RECEIVE, SEND, TAKE } from './page-functions.js';
import * as S from './seat-words.js';

/** Bytes of an answer that need no larger buffer. */
const BUFFER_BYTES = 4096;

/** The imports of a seat, by module and name. */
export function pageImports(seat, { functions, takesBytes }) {
  const imports = {};
  const into = (module) => (imports[module] ??= {});
  functions.forEach(({ module, name, waits }, number) => {
    into(module)[name] = (...args) => {
      if (!waits) return void tell(seat, { number, args });
      const values = ask(seat, { number, args });
      return values.length > 1 ? values : values[0];
    };
  });
  if (takesBytes) Object.assign(into(BY_NAME), bytesImports(seat));
  return imports;
}

function bytesImports(seat) {
  let buffer = null;
  let answered = 0;
  const copy = (at, length) => guestBytes(seat, at, length).slice();
  const message = (at, length, data, size) => ({
    handler: new TextDecoder().decode(copy(at, length)),
    bytes: copy(data, size),
  });
  const askForBytes = (call) => {
    buffer ??= new SharedArrayBuffer(BUFFER_BYTES);
    let values = ask(seat, { ...call, buffer });
    if (seat.control.words[seat.at + S.CALLED] & Called.LARGER) {
      buffer = new SharedArrayBuffer(values[0]);
      values = ask(seat, { buffer });
    }
    const [length, isError] = values;
    answered = length;
    return isError ? -1 - length : length;
  };
  return {
    [CALL]: (...args) => askForBytes(message(...args)),
    [RECEIVE]: (nanoseconds) => askForBytes({ timeout: nanoseconds < 0n ? Infinity : Number(nanoseconds) / 1e6 }),
    [SEND]: (data, size) => {
      seat.environment.check();
      seat.post({ sent: { message: copy(data, size) } });
    },
    [TAKE]: (at) => {
      const target = guestBytes(seat, at, answered);
      if (answered > 0) target.set(new Uint8Array(buffer, 0, answered));
      // One that was made for a large answer is not kept.
      if (buffer?.byteLength > BUFFER_BYTES) buffer = null;
      answered = 0;
    },
    [POST]: (...args) => tell(seat, message(...args)),
  };
}

function guestBytes({ memory }, at, length) {
  try {
    return memory.bytes(at, length);
  } catch {
    throw new WebAssembly.RuntimeError('memory access out of bounds');
  }
}

function tell({ environment, post, join }, call) {
  environment.check();
  post({ called: { ...call, index: join.index } });
}

/** Asks the page, sleeps until it has answered, and returns the values. */
function ask({ control, at, environment, post, join }, call) {
  const { words } = control;
  environment.check();
  // Another than that of the worker before, whose answer may still come.
  const asked = ((words[at + S.CALLED] & ~Called.MASK) + Called.ONE) | Called.ASKED;
  Atomics.store(words, at + S.CALLED, asked);
  post({ called: { ...call, index: join.index, asked } });
  environment.blocking(() => {
    // An end that came before this was stored has woken nobody here.
    while (Atomics.load(words, at + S.CALLED) === asked && !environment.isOver) {
      Atomics.wait(words, at + S.CALLED, asked);
    }
  });
  environment.check();
  // Its error stays with the page, which knows whose it is.
  if (words[at + S.CALLED] & Called.FAILED) throw new PageError(join.index);
  return control.values(at);
}

/** A function of the page failed, and the thread cannot go on. */
class PageError extends Error {
  constructor(page) {
    super('a function of the page failed');
    this.page = page;
  }
}
