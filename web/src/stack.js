// A stack and thread-local data for an instance that was not started by libc: in a runtime,
// exported functions run on several workers, each with an instance of its own.
//
// Linkers leave three things to whoever makes an instance for a thread: a stack, whose top
// `__stack_pointer` holds; a block for thread-local data, which `__wasm_init_tls` fills; and
// one initialization for the whole program. That is done here as far as the module exports
// them.

import { ThreadworkError } from './errors.js';
import { take } from './host-area.js';
import * as S from './seat-words.js';

const PAGE = 65536;
/** The global that holds the least that the stack pointer may be, in modules that check it. */
const STACK_LOW = 'threadwork:stack-low';
/** The global that holds how large the stack is, beside it. */
const STACK_SIZE = 'threadwork:stack-size';
/** Bytes below the stack pointer that a function may use. */
const RED_ZONE = 128;
/** What a stack is aligned to by the tools' convention. */
const ALIGNMENT = 16;

/** Runs what runs once for a program, on the program's own stack. */
export function initialize({ instance }) {
  const { _initialize, __wasm_call_ctors } = instance.exports;
  // Without the first, linkers count on the second being called.
  (_initialize ?? __wasm_call_ctors)?.();
}

/**
 * Gives the instance of a seat a stack and a block of thread-local data of its own, which
 * are the host's bytes, taken for the seat's first instance and used again for its later
 * ones.
 */
export function settle(seat) {
  const { __stack_pointer, __wasm_init_tls, __wasi_init_tp, __tls_base, __tls_align } =
    seat.instance.exports;
  const up = (size, align) => Math.ceil(size / align) * align;
  const tls = tlsSize(seat);
  const align = Math.max(ALIGNMENT, __tls_align?.value ?? 0);
  const stack = __stack_pointer ? up(seat.join.stackSize, align) : 0;
  if (stack + tls === 0) return;
  const { words } = seat.control;
  const place = seat.at + S.STACK;
  const memory = seat.join.memories[0]?.memory ?? seat.instance.exports.memory;
  const size = stack + tls + align;
  words[place] ||= up(take(words, size) ?? grow(memory, size), align);
  // The stack is below, so that running out of it does not reach the data.
  const base = (words[place] >>> 0) + stack;
  if (__stack_pointer) __stack_pointer.value = base;
  const { [STACK_LOW]: low, [STACK_SIZE]: stackSize } = seat.instance.exports;
  if (low && stack > 0) {
    low.value = base - stack + RED_ZONE;
    stackSize.value = stack;
  }
  if (tls === 0) return;
  new Uint8Array(memory.buffer, base, tls).fill(0);
  if (__wasm_init_tls) __wasm_init_tls(base);
  else __tls_base.value = base;
  // wasi-libc keeps what it knows of a thread in thread-local data.
  if (__wasm_init_tls) __wasi_init_tp?.();
}

function tlsSize({ instance, join }) {
  const { __wasm_init_tls, __tls_size, __tls_base } = instance.exports;
  if (!__wasm_init_tls) return __tls_base ? join.tlsSize : 0;
  if (__tls_size) return __tls_size.value;
  throw new ThreadworkError(
    'THREAD_DATA',
    'the module exports __wasm_init_tls, but no global __tls_size: link it with --export=__tls_size',
  );
}

/** Bytes at the end of the memory, where `memorySize` has left none for the host. */
function grow(memory, size) {
  try {
    return memory.grow(Math.ceil(size / PAGE)) * PAGE;
  } catch (error) {
    throw new ThreadworkError(
      'OUT_OF_MEMORY',
      `there is no room for the ${size} bytes of a worker's stack and thread-local data: raise ` +
        "the module's maximum (--max-memory) or its limit, or lower stackSize",
      { cause: error },
    );
  }
}
