// Modules that the rewriter has made, kept by the browser for the next visit.
//
// Compiled modules cannot be kept: browsers have given up storing them. What is kept here saves making the
// rewriter ready, and rewriting.
//
// Invariant: an entry's address is a digest of all that its bytes depend on, the rewriter's own bytes
// among them; so what is found is what would be made.

const NAME = 'threadwork';
/** Entries; the oldest go first. */
const MOST = 32;
/** Nobody asks this address: it is a name. */
const PLACE = 'https://threadwork.invalid/';

/** The place of one module; undefined where nothing can be kept. */
export async function placeOf(parts) {
  try {
    const digests = await Promise.all(parts.map((part) => crypto.subtle.digest('SHA-256', part)));
    const whole = await crypto.subtle.digest('SHA-256', await new Blob(digests).arrayBuffer());
    const name = Array.from(new Uint8Array(whole), (byte) => byte.toString(16).padStart(2, '0')).join('');
    return new Place(await caches.open(NAME), `${PLACE}${name}`);
  } catch {
    // The page is not secure, or its user keeps nothing.
    return undefined;
  }
}

class Place {
  #cache;
  #address;

  constructor(cache, address) {
    this.#cache = cache;
    this.#address = address;
  }

  /** The bytes, if they are there. */
  async find() {
    try {
      const found = await this.#cache.match(this.#address);
      return found && new Uint8Array(await found.arrayBuffer());
    } catch {
      return undefined;
    }
  }

  /** Keeps them, if there is room. */
  async put(bytes) {
    try {
      await this.#cache.put(this.#address, new Response(bytes, { headers: { 'Content-Type': 'application/wasm' } }));
      const entries = await this.#cache.keys();
      for (const old of entries.slice(0, Math.max(0, entries.length - MOST))) await this.#cache.delete(old);
    } catch {
      // Then it is made anew the next time.
    }
  }
}
