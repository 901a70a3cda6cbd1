// A stack and thread-local data for an instance that was not started by libc: modules
// without WASI, whose exported functions run on several workers.

const PAGE = 65536;

/**
 * Gives the instance of a seat a stack and a block of thread-local data of its own, in
 * pages that are added to the memory for the seat's first instance and used again for its
 * later ones. Does nothing where the module does not export what it takes.
 */
export function settle(seat) {
  const { __stack_pointer: pointer, __wasm_init_tls: initTls, __tls_size, __tls_align } =
    seat.instance.exports;
  const tls = (initTls && __tls_size?.value) || 0;
  if (!pointer && tls === 0) return;
  const align = Math.max(16, __tls_align?.value ?? 0);
  const up = (size) => Math.ceil(size / align) * align;
  const stack = pointer ? up(seat.join.stackSize) : 0;
  if (seat.stackAt === undefined) {
    const memory = seat.join.memories[0]?.memory ?? seat.instance.exports.memory;
    const pages = Math.ceil((stack + up(tls) + align) / PAGE);
    seat.stackAt = up(memory.grow(pages) * PAGE);
  }
  // The stack is below, so that running out of it does not reach the data.
  if (pointer) pointer.value = seat.stackAt + stack;
  if (tls > 0) initTls(seat.stackAt + stack);
}
