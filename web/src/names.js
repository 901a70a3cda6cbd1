// The names of a module's functions, from its custom section `name`, for engines that leave them
// out of a stack: JavaScriptCore writes the number of a function in their place, as long as it has
// compiled that function only while the module was still arriving, before the names.
//
// Invariant: what is wrong with the section costs names, never an error.

const FUNCTION_NAMES = 1;

/** A map from a function's index to its name; empty where the module tells none. */
export function functionNames(module) {
  const names = new Map();
  for (const section of WebAssembly.Module.customSections(module, 'name')) {
    try {
      readInto(names, new Reader(new Uint8Array(section)));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  return names;
}

function readInto(names, reader) {
  while (!reader.isAtEnd) {
    const kind = reader.number();
    const part = reader.part(reader.number());
    if (kind !== FUNCTION_NAMES) continue;
    for (let left = part.number(); left > 0; left--) names.set(part.number(), part.text());
  }
}

/** Reads what the binary format is made of; what is beyond the end is a `RangeError`. */
class Reader {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  get isAtEnd() {
    return this.#at === this.#bytes.length;
  }

  /** An unsigned number of 32 bits in LEB128. */
  number() {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const [byte] = this.#take(1);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new RangeError('a number is too long');
  }

  text() {
    return new TextDecoder().decode(this.#take(this.number()));
  }

  part(length) {
    return new Reader(this.#take(length));
  }

  #take(length) {
    if (length > this.#bytes.length - this.#at) throw new RangeError('the section ends too early');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
