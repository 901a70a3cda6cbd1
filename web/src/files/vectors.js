// Reading and writing several buffers, one after another.

/** Moves the bytes of all vectors with `each`, until it moves less than one has. */
export function moveEach(vectors, at, each) {
  let moved = 0;
  for (const bytes of vectors) {
    if (bytes.length === 0) continue;
    let count;
    try {
      count = each(bytes, at + moved);
    } catch (error) {
      // What was moved before was moved.
      if (moved > 0) return moved;
      throw error;
    }
    moved += count;
    if (count < bytes.length) break;
  }
  return moved;
}

/** What is left of vectors after so many bytes. */
export function after(vectors, count) {
  let n = 0;
  while (n < vectors.length && count >= vectors[n].length) count -= vectors[n++].length;
  return count === 0 ? vectors.slice(n) : [vectors[n].subarray(count), ...vectors.slice(n + 1)];
}
