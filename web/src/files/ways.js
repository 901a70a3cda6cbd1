// The directories that the last paths led through, kept open, so that the next path through one of
// them is not walked name by name. They have slots of the table, without numbers: whoever closes
// all files closes them.
//
// Whether a way still leads to the same directory is asked for each path, of the system.

/** As many directories are kept by one worker. */
const MOST = 16;
/** A path with a component that is none, or not a name. */
const ODD = /(^|\/)\.{0,2}(\/|$)/;

export class Ways {
  /** By where they start and how they go; the one that was used last is the last one. */
  #kept = new Map();
  #descriptors;

  constructor(descriptors) {
    this.#descriptors = descriptors;
  }

  #key({ at, generation }, way) {
    return `${at}:${generation}/${way}`;
  }

  /** The directory of a path's last name, if it is kept, and that name. */
  find(start, path) {
    const cut = path.lastIndexOf('/');
    if (cut < 1 || this.#kept.size === 0 || ODD.test(path)) return undefined;
    const way = path.slice(0, cut);
    const key = this.#key(start, way);
    const open = this.#kept.get(key);
    if (!open) return undefined;
    this.#kept.delete(key);
    if (!start.resource.leadsTo(way, open.resource)) {
      this.#descriptors.release(open);
      return undefined;
    }
    this.#kept.set(key, open);
    return { directory: open.resource, name: path.slice(cut + 1) };
  }

  /** Takes over a directory that was walked to without a link; false if the path is odd. */
  keep(start, path, directory) {
    if (ODD.test(path)) return false;
    const key = this.#key(start, path.slice(0, path.lastIndexOf('/')));
    if (this.#kept.has(key)) return false;
    if (this.#kept.size === MOST) {
      const [[oldest, open]] = this.#kept;
      this.#kept.delete(oldest);
      this.#descriptors.release(open);
    }
    this.#kept.set(key, this.#descriptors.keep(directory));
    return true;
  }
}
