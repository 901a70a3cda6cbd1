// Reads what the binary format of WebAssembly is made of.
//
// Nothing is validated here, and a read past the end is the end.

/** The bits of a memory's limits. */
export const SHARED = 2;
const WIDE = 4;

const text = new TextDecoder();

export class Reader {
  constructor(bytes, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  byte() {
    return this.bytes[this.at++] ?? 0;
  }

  /** An unsigned LEB128 number. */
  number() {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128 || this.at > this.bytes.length) return value;
    }
  }

  skipNumber() {
    while (this.byte() >= 128 && this.at <= this.bytes.length);
  }

  name() {
    const length = this.number();
    this.at += length;
    return text.decode(this.bytes.slice(this.at - length, this.at));
  }

  limits() {
    const place = this.at;
    const flags = this.byte();
    const minimum = this.number();
    const maximum = flags & 1 ? this.number() : undefined;
    return { minimum, maximum, shared: !!(flags & SHARED), wide: !!(flags & WIDE), place };
  }

  /** Skips a constant expression. */
  expression() {
    for (;;) {
      const op = this.byte();
      if (op === 0x0b || this.at >= this.end) return;
      // i32.const, i64.const, global.get, ref.null, ref.func have one number; arithmetic none.
      if (op === 0x41 || op === 0x42 || op === 0x23 || op === 0xd0 || op === 0xd2) this.skipNumber();
      else if (op === 0x43) this.at += 4;
      else if (op === 0x44) this.at += 8;
    }
  }
}
