// Reads what the host must know of a module that JavaScript's API does not tell: the
// limits of its memory. Changes what is a byte or a section: whether the memory is shared
// or imported, and data that every instance would write.
//
// The bytes are a module that the engine accepts, or it will be refused when compiled: so
// nothing is validated here, and a read past the end is the end.

import { Reader, SHARED } from './reader.js';

const IMPORT = 2;
const MEMORY = 5;
const EXPORT = 7;
const DATA = 11;
const TAG = 13;

/** Where each section is. */
export function* sections(bytes) {
  const reader = new Reader(bytes, 8);
  while (reader.at < bytes.length) {
    const begin = reader.at;
    const id = reader.byte();
    const length = reader.number();
    yield { id, begin, body: reader.at, end: reader.at + length };
    reader.at += length;
  }
}

/** The memories that a module imports or defines, in order. */
export function memories(bytes) {
  const found = [];
  for (const { id, body, end } of sections(bytes)) {
    const reader = new Reader(bytes, body);
    // What is no module yet may count more than there is.
    const isIn = () => reader.at < Math.min(end, bytes.length);
    if (id === IMPORT) {
      for (let count = reader.number(); count > 0 && isIn(); count--) {
        const module = reader.name();
        const name = reader.name();
        switch (reader.byte()) {
          case 0:
            reader.number();
            break;
          case 1:
            reader.byte();
            reader.limits();
            break;
          case 2:
            found.push({ module, name, ...reader.limits() });
            break;
          case 3:
            reader.at += 2;
            break;
          default:
            reader.byte();
            reader.number();
        }
      }
    } else if (id === MEMORY) {
      for (let count = reader.number(); count > 0 && isIn(); count--) found.push(reader.limits());
    }
  }
  return found;
}

/** The number of the memory that WASI works on: the one exported as `memory`, or the first. */
export function wasiMemory(bytes) {
  for (const { id, body } of sections(bytes)) {
    if (id !== EXPORT) continue;
    const reader = new Reader(bytes, body);
    for (let count = reader.number(); count > 0; count--) {
      const name = reader.name();
      const kind = reader.byte();
      const index = reader.number();
      if (name === 'memory' && kind === 2) return index;
    }
  }
  return 0;
}

/** Whether it defines exceptions. */
export const hasTags = (bytes) => [...sections(bytes)].some(({ id }) => id === TAG);

/** The same module with memories that are not shared: atomic instructions may use those. */
export function unshare(bytes) {
  const copy = bytes.slice();
  for (const { shared, place } of memories(bytes)) if (shared) copy[place] &= ~SHARED;
  return copy;
}

/**
 * The same module with its own shared memory as an import, so that all its instances can
 * have the same; undefined if it has none.
 */
export function importMemory(bytes, module, name) {
  const [memory, ...others] = memories(bytes);
  if (others.length > 0 || !memory?.shared || memory.module !== undefined) return undefined;
  const all = [...sections(bytes)];
  const own = all.find(({ id }) => id === MEMORY);
  const count = new Reader(bytes, own.body);
  count.number();
  const text = (string) => [string.length, ...new TextEncoder().encode(string)];
  const entry = [...text(module), ...text(name), 2, ...bytes.subarray(count.at, own.end)];
  const imports = all.find(({ id }) => id === IMPORT);
  const reader = new Reader(bytes, imports?.body);
  const before = imports ? reader.number() : 0;
  const rest = imports ? bytes.subarray(reader.at, imports.end) : [];
  const body = concat([leb(before + 1), rest, entry]);
  // Types come first, and custom sections may be anywhere.
  const at = imports?.begin ?? all.find(({ id }) => id > IMPORT).begin;
  return concat([
    bytes.subarray(0, at),
    [IMPORT],
    leb(body.length),
    body,
    bytes.subarray(imports?.end ?? at, own.begin),
    bytes.subarray(own.end),
  ]);
}

function leb(number) {
  const bytes = [];
  do {
    bytes.push((number & 127) | (number > 127 ? 128 : 0));
    number = Math.floor(number / 128);
  } while (number > 0);
  return bytes;
}

/**
 * The same module without the data that each of its instances would write into shared
 * memory, for all instances but the first: they would undo what running threads have
 * written. Undefined if there is none, as from compilers that know of threads.
 */
export function withoutActiveData(bytes) {
  const all = memories(bytes);
  for (const { id, begin, body, end } of sections(bytes)) {
    if (id !== DATA) continue;
    const reader = new Reader(bytes, body, end);
    const count = reader.number();
    const segments = [leb(count)];
    let isChanged = false;
    for (let n = 0; n < count; n++) {
      const from = reader.at;
      const flags = reader.number();
      const memory = flags === 2 ? reader.number() : 0;
      if (flags !== 1) reader.expression();
      const length = reader.number();
      reader.at += length;
      const isDropped = flags !== 1 && all[memory]?.shared;
      // An empty passive segment keeps the numbers of the others.
      segments.push(isDropped ? [1, 0] : bytes.subarray(from, reader.at));
      isChanged ||= isDropped;
    }
    if (!isChanged) return undefined;
    const section = concat(segments);
    return concat([
      bytes.subarray(0, begin),
      [DATA],
      leb(section.length),
      section,
      bytes.subarray(end),
    ]);
  }
  return undefined;
}

function concat(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
