// Whether one instance can run one thread after another. A thread has a right to an instance
// that is as new; making one costs several times what a spawn does otherwise. What an instance
// keeps for itself are globals, tables and dropped segments. Compilers' modules change no
// table, drop segments when they start only, and set all their globals (the stack pointer, the
// thread-local base) first of all in `wasi_thread_start`: nothing of the thread before is left.
// Their start function, which a new instance would run, asks an atomic first whether another
// instance has done its work, and then does nothing.
//
// Invariant: an instruction that is not known here makes the answer no.

import { Reader } from './reader.js';
import { sections } from './sections.js';

const Section = { IMPORT: 2, FUNCTION: 3, GLOBAL: 6, EXPORT: 7, START: 8, CODE: 10 };
const Kind = { FUNCTION: 0, TABLE: 1, MEMORY: 2, GLOBAL: 3 };

/** Larger modules would be looked at for too long. */
const MOST = 8 << 20;

// What follows an opcode: a number of LEB numbers, or one of these.
const [MEMORY_ARGUMENT, LANE, MEMORY_LANE, BYTES_4, BYTES_8, BYTES_16, TARGETS, TYPES, DROP] = [-1, -2, -3, -4, -5, -6, -7, -8, -9];

const OPERANDS = new Map();
const all = (from, to, operands, prefix = 0) => {
  for (let op = from; op <= to; op++) OPERANDS.set(prefix * 256 + op, operands);
};
all(0x00, 0x01, 0);
all(0x02, 0x04, 1);
OPERANDS.set(0x05, 0).set(0x0b, 0).set(0x0c, 1).set(0x0d, 1).set(0x0e, TARGETS).set(0x0f, 0);
OPERANDS.set(0x10, 1).set(0x11, 2).set(0x12, 1).set(0x13, 2).set(0x1a, 0).set(0x1b, 0).set(0x1c, TYPES);
// All but `table.set`.
all(0x20, 0x25, 1);
all(0x28, 0x3e, MEMORY_ARGUMENT);
all(0x3f, 0x42, 1);
OPERANDS.set(0x43, BYTES_4).set(0x44, BYTES_8);
all(0x45, 0xc4, 0);
OPERANDS.set(0xd0, 1).set(0xd1, 0).set(0xd2, 1);
all(0, 7, 0, 0xfc);
OPERANDS.set(0xfc08, 2).set(0xfc09, DROP).set(0xfc0a, 2).set(0xfc0b, 1).set(0xfc10, 1);
all(0, 11, MEMORY_ARGUMENT, 0xfd);
OPERANDS.set(0xfd0c, BYTES_16).set(0xfd0d, BYTES_16);
all(14, 20, 0, 0xfd);
all(21, 34, LANE, 0xfd);
all(35, 83, 0, 0xfd);
all(84, 91, MEMORY_LANE, 0xfd);
all(92, 93, MEMORY_ARGUMENT, 0xfd);
all(94, 255, 0, 0xfd);
all(0, 2, MEMORY_ARGUMENT, 0xfe);
OPERANDS.set(0xfe03, 1);
all(0x10, 0x4e, MEMORY_ARGUMENT, 0xfe);

const PREFIXES = new Set([0xfc, 0xfd, 0xfe]);
const Op = {
  BLOCK: 0x02,
  IF: 0x04,
  END: 0x0b,
  BR_TABLE: 0x0e,
  LOCAL_GET: 0x20,
  GLOBAL_SET: 0x24,
  I32_LOAD: 0x28,
  I32_CONST: 0x41,
};
const DATA_DROP = 9;
const NO_TYPE = 0x40;

/** Whether an instance of this module is as new when `wasi_thread_start` has returned. */
export function isReusable(bytes) {
  if (bytes.length > MOST) return false;
  const module = outline(bytes);
  if (!module || module.entry === undefined) return false;
  const code = new Reader(bytes, module.code);
  const count = code.number();
  for (let index = module.imported; index < module.imported + count; index++) {
    const end = code.number() + code.at;
    skipLocals(code);
    const isEntry = index === module.entry;
    const isStart = index === module.start;
    if (isEntry && !setsAll(new Reader(bytes, code.at), module.globals)) return false;
    if (isStart && !worksOnce(new Reader(bytes, code.at, end))) return false;
    while (code.at < end) if (!pass(code, isStart)) return false;
  }
  return true;
}

/** Imports, mutable globals, the start function and the entry; null if it keeps more state. */
function outline(bytes) {
  const found = { imported: 0, globals: new Set(), start: undefined, entry: undefined, code: 0 };
  let importedGlobals = 0;
  for (const { id, body } of sections(bytes)) {
    const reader = new Reader(bytes, body);
    if (id === Section.IMPORT) {
      for (let count = reader.number(); count > 0; count--) {
        reader.name();
        reader.name();
        const kind = reader.byte();
        if (kind === Kind.FUNCTION) {
          reader.number();
          found.imported += 1;
        } else if (kind === Kind.MEMORY) {
          reader.limits();
        } else if (kind === Kind.GLOBAL) {
          reader.skipNumber();
          importedGlobals += 1;
          if (reader.byte() === 1) return null;
        } else {
          return null;
        }
      }
    } else if (id === Section.GLOBAL) {
      const count = reader.number();
      for (let n = 0; n < count; n++) {
        reader.skipNumber();
        if (reader.byte() === 1) found.globals.add(importedGlobals + n);
        reader.expression();
      }
    } else if (id === Section.EXPORT) {
      for (let count = reader.number(); count > 0; count--) {
        const name = reader.name();
        const kind = reader.byte();
        const index = reader.number();
        if (kind === Kind.TABLE) return null;
        if (name === 'wasi_thread_start') found.entry = index;
      }
    } else if (id === Section.START) {
      found.start = reader.number();
    } else if (id === Section.CODE) {
      found.code = body;
    }
  }
  return found;
}

function skipLocals(reader) {
  for (let count = reader.number(); count > 0; count--) {
    reader.number();
    reader.skipNumber();
  }
}

/** Whether a function begins with setting all these globals to what it finds in memory. */
function setsAll(reader, globals) {
  const left = new Set(globals);
  while (left.size > 0) {
    const op = reader.byte();
    if (op === Op.LOCAL_GET) {
      reader.number();
    } else if (op === Op.I32_LOAD) {
      skipMemoryArgument(reader);
    } else if (op === Op.GLOBAL_SET) {
      left.delete(reader.number());
    } else {
      return false;
    }
  }
  return true;
}

/**
 * Whether a start function is the linker's: three blocks, a compare-and-exchange of 0 by 1, and
 * a jump, which for other results than 0 and 1 leads behind the blocks, where segments are
 * dropped and nothing else.
 */
function worksOnce(reader) {
  const begin = [Op.BLOCK, NO_TYPE, Op.BLOCK, NO_TYPE, Op.BLOCK, NO_TYPE, Op.I32_CONST];
  if (begin.some((byte) => reader.byte() !== byte)) return false;
  reader.skipNumber();
  const exchange = [Op.I32_CONST, 0, Op.I32_CONST, 1, 0xfe, 0x48];
  if (exchange.some((byte) => reader.byte() !== byte)) return false;
  skipMemoryArgument(reader);
  if ([Op.BR_TABLE, 2, 0, 1, 2].some((byte) => reader.byte() !== byte)) return false;
  for (let depth = 3; depth > 0; ) {
    const op = reader.bytes[reader.at];
    if (op >= Op.BLOCK && op <= Op.IF) depth += 1;
    if (op === Op.END) depth -= 1;
    if (reader.at >= reader.end || !pass(reader, true)) return false;
  }
  while (reader.at < reader.end - 1) {
    if (reader.byte() !== 0xfc || reader.number() !== DATA_DROP) return false;
    reader.number();
  }
  return true;
}

function skipMemoryArgument(reader) {
  // Where there are several memories, the alignment tells that a number of one follows.
  if (reader.number() & 64) reader.number();
  reader.skipNumber();
}

/** Passes one instruction; false if it may change what an instance keeps. */
function pass(reader, isStart) {
  let op = reader.byte();
  if (PREFIXES.has(op)) {
    const sub = reader.number();
    if (sub > 255) return false;
    op = op * 256 + sub;
  }
  const operands = OPERANDS.get(op);
  if (operands === undefined) return false;
  if (operands >= 0) {
    for (let n = 0; n < operands; n++) reader.skipNumber();
  } else if (operands === MEMORY_ARGUMENT) {
    skipMemoryArgument(reader);
  } else if (operands === MEMORY_LANE) {
    skipMemoryArgument(reader);
    reader.at += 1;
  } else if (operands === TARGETS) {
    for (let count = reader.number(); count >= 0; count--) reader.number();
  } else if (operands === TYPES) {
    for (let count = reader.number(); count > 0; count--) reader.skipNumber();
  } else if (operands === DROP) {
    reader.number();
    return isStart;
  } else {
    reader.at += { [LANE]: 1, [BYTES_4]: 4, [BYTES_8]: 8, [BYTES_16]: 16 }[operands];
  }
  return true;
}
