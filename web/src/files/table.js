// The file table of a process, and the calls of WASI that use it.
//
// One party serves all threads of a process, one call at a time: the supervisor, or the
// only thread itself where memory is not shared. The calls are generators which yield what
// may be a promise; who runs them decides whether it can wait for one.
//
// What a directory or a file is, is up to a backend (memory.js, node.js, opfs.js):
//
//   node       kind ('file' | 'directory' | 'symlink'), stat(), setTimes({atime, mtime})
//   directory  lookup(name), list(), createFile(name), createDirectory(name),
//              createSymlink(name, target), link(name, file), removeFile(name),
//              removeDirectory(name), rename(name, toDirectory, toName)
//   file       open({read, write}) -> read(at, bytes), write(at, bytes), size(),
//              resize(size), sync(), close()
//   symlink    target()
//
// Each may return a promise, and throws an Errno. Paths are walked here, one component at a
// time: `..` never leads out of the directory that was granted, nor does a symbolic link.

import { E, Errno, FDFLAGS, FILE_TYPES, OFLAGS, RIGHTS } from '../wasi/abi.js';

const MOST_LINKS = 40;
const utf8 = new TextEncoder();

/** Runs a call to its end, where nothing may be waited for. */
export function runNow(call) {
  let step = call.next();
  while (!step.done) {
    if (typeof step.value?.then === 'function') throw new Errno(E.NOTSUP);
    step = call.next(step.value);
  }
  return step.value;
}

/** Runs a call to its end. */
export async function run(call) {
  let step = call.next();
  while (!step.done) {
    let value = step.value;
    if (typeof value?.then === 'function') {
      try {
        value = await value;
      } catch (error) {
        step = call.throw(error);
        continue;
      }
    }
    step = call.next(value);
  }
  return step.value;
}

/** A standard stream: read and written elsewhere. */
class Stream {
  constructor(number, isTerminal) {
    this.number = number;
    this.type = isTerminal ? FILE_TYPES.terminal : FILE_TYPES.unknown;
  }
}

class OpenDirectory {
  type = FILE_TYPES.directory;
  listing = null;
  /** @param trail the directories from the granted one to this one */
  constructor(trail, preopen = null) {
    this.trail = trail;
    this.preopen = preopen;
  }
  get node() {
    return this.trail.at(-1);
  }
}

class OpenFile {
  type = FILE_TYPES.file;
  position = 0n;
  constructor(node, handle, access, flags) {
    this.node = node;
    this.handle = handle;
    this.access = access;
    this.flags = flags;
  }
}

export class FileTable {
  #fds = new Map();
  #memory;
  #mostOpen;
  #limitMet;
  #streamMoved;

  /**
   * @param {import('../guest-memory.js').GuestMemory} memory
   * @param {{preopens: [string, object][], terminals: boolean[], mostOpen?: number,
   *   limitMet?: () => void, streamMoved?: (stream: number, fd: number) => void}} options
   */
  constructor(memory, { preopens, terminals, mostOpen = Infinity, limitMet, streamMoved }) {
    this.#memory = memory;
    for (const stream of [0, 1, 2]) this.#fds.set(stream, new Stream(stream, terminals[stream]));
    for (const [path, directory] of preopens) {
      this.#fds.set(this.#fds.size, new OpenDirectory([directory], utf8.encode(path)));
    }
    this.#mostOpen = this.#fds.size + mostOpen;
    this.#limitMet = limitMet;
    this.#streamMoved = streamMoved;
  }

  /** The generator of a call; its value is the call's errno. */
  *call(name, args) {
    try {
      yield* this[name](...args);
      return E.SUCCESS;
    } catch (error) {
      if (error instanceof Errno) return error.errno;
      throw error;
    }
  }

  /** Closes everything. */
  *closeAll() {
    for (const open of this.#fds.values()) {
      if (open instanceof OpenFile) yield open.handle.close();
    }
    this.#fds.clear();
  }

  // ---- Descriptors ----

  #get(fd) {
    const open = this.#fds.get(fd >>> 0);
    if (!open) throw new Errno(E.BADF);
    return open;
  }

  #file(fd) {
    const open = this.#get(fd);
    if (open instanceof OpenFile) return open;
    throw new Errno(open instanceof OpenDirectory ? E.ISDIR : E.SPIPE);
  }

  #readable(fd) {
    const file = this.#file(fd);
    if (!file.access.read) throw new Errno(E.BADF);
    return file;
  }

  #writable(fd) {
    const file = this.#file(fd);
    if (!file.access.write) throw new Errno(E.BADF);
    return file;
  }

  #directory(fd) {
    const open = this.#get(fd);
    if (!(open instanceof OpenDirectory)) throw new Errno(E.NOTDIR);
    return open;
  }

  /** The lowest free descriptor. */
  #checkRoom() {
    if (this.#fds.size >= this.#mostOpen) {
      this.#limitMet?.();
      throw new Errno(E.MFILE);
    }
  }

  #add(open) {
    let fd = 0;
    while (this.#fds.has(fd)) fd += 1;
    this.#fds.set(fd, open);
    return fd;
  }

  *#close(fd) {
    const open = this.#get(fd);
    this.#fds.delete(fd >>> 0);
    if (open instanceof Stream) this.#streamMoved?.(open.number, -1);
    if (open instanceof OpenFile) yield open.handle.close();
  }

  *fd_close(fd) {
    yield* this.#close(fd);
  }

  *fd_renumber(from, to) {
    const open = this.#get(from);
    this.#get(to);
    if (from >>> 0 === to >>> 0) return;
    yield* this.#close(to);
    this.#fds.delete(from >>> 0);
    this.#fds.set(to >>> 0, open);
    if (open instanceof Stream) this.#streamMoved?.(open.number, to >>> 0);
  }

  *fd_fdstat_get(fd, result) {
    const open = this.#get(fd);
    let rights = RIGHTS.ALL;
    if (open instanceof Stream) rights &= ~(RIGHTS.SEEK | RIGHTS.TELL);
    if (open instanceof OpenFile) {
      if (!open.access.read) rights &= ~RIGHTS.READ;
      if (!open.access.write) rights &= ~(RIGHTS.WRITE | RIGHTS.ALLOCATE | RIGHTS.RESIZE);
    }
    this.#memory.bytes(result, 24).fill(0);
    this.#memory.setU8(result, open.type);
    this.#memory.setU16(result + 2, open.flags ?? 0);
    this.#memory.setU64(result + 8, rights);
    this.#memory.setU64(result + 16, open instanceof OpenDirectory ? RIGHTS.ALL : 0n);
  }

  *fd_fdstat_set_flags(fd, flags) {
    const open = this.#get(fd);
    if (open instanceof OpenFile) open.flags = flags & 0xffff;
  }

  *fd_fdstat_set_rights(fd) {
    this.#get(fd);
  }

  *fd_prestat_get(fd, result) {
    const { preopen } = this.#get(fd);
    if (!preopen) throw new Errno(E.BADF);
    this.#memory.setU32(result, 0);
    this.#memory.setU32(result + 4, preopen.length);
  }

  *fd_prestat_dir_name(fd, at, length) {
    const { preopen } = this.#get(fd);
    if (!preopen) throw new Errno(E.BADF);
    if (length >>> 0 < preopen.length) throw new Errno(E.NAMETOOLONG);
    this.#memory.bytes(at, preopen.length).set(preopen);
  }

  // ---- Reading and writing ----

  *#transfer(vectors, each) {
    let moved = 0;
    for (const bytes of vectors) {
      if (bytes.length === 0) continue;
      const count = yield each(bytes, moved);
      moved += count;
      if (count < bytes.length) break;
    }
    return moved;
  }

  *#read(file, at, vectors) {
    return yield* this.#transfer(vectors, (bytes, moved) =>
      file.handle.read(Number(at) + moved, bytes),
    );
  }

  *#write(file, at, vectors) {
    const moved = yield* this.#transfer(vectors, (bytes, moved) =>
      file.handle.write(Number(at) + moved, bytes),
    );
    if (file.flags & (FDFLAGS.DSYNC | FDFLAGS.SYNC)) yield file.handle.sync();
    return moved;
  }

  *fd_read(fd, at, count, result) {
    const file = this.#readable(fd);
    const moved = yield* this.#read(file, file.position, this.#memory.vectors(at, count));
    file.position += BigInt(moved);
    this.#memory.setU32(result, moved);
  }

  *fd_pread(fd, at, count, offset, result) {
    const file = this.#readable(fd);
    const moved = yield* this.#read(file, unsigned(offset), this.#memory.vectors(at, count));
    this.#memory.setU32(result, moved);
  }

  *fd_write(fd, at, count, result) {
    const file = this.#writable(fd);
    if (file.flags & FDFLAGS.APPEND) file.position = BigInt(yield file.handle.size());
    const moved = yield* this.#write(file, file.position, this.#memory.vectors(at, count));
    file.position += BigInt(moved);
    this.#memory.setU32(result, moved);
  }

  *fd_pwrite(fd, at, count, offset, result) {
    const file = this.#writable(fd);
    const moved = yield* this.#write(file, unsigned(offset), this.#memory.vectors(at, count));
    this.#memory.setU32(result, moved);
  }

  *fd_seek(fd, offset, whence, result) {
    const file = this.#file(fd);
    const base = [() => 0n, () => file.position, null][whence];
    if (base === undefined) throw new Errno(E.INVAL);
    const from = base ? base() : BigInt(yield file.handle.size());
    const position = from + BigInt(offset);
    if (position < 0n || position > BigInt(Number.MAX_SAFE_INTEGER)) throw new Errno(E.INVAL);
    file.position = position;
    this.#memory.setU64(result, position);
  }

  *fd_tell(fd, result) {
    this.#memory.setU64(result, this.#file(fd).position);
  }

  *fd_sync(fd) {
    const open = this.#get(fd);
    if (open instanceof OpenFile) yield open.handle.sync();
  }

  *fd_datasync(fd) {
    yield* this.fd_sync(fd);
  }

  *fd_advise(fd) {
    this.#get(fd);
  }

  *fd_allocate(fd, offset, length) {
    const { handle } = this.#writable(fd);
    const end = Number(unsigned(offset) + unsigned(length));
    if (!Number.isSafeInteger(end)) throw new Errno(E.FBIG);
    if ((yield handle.size()) < end) yield handle.resize(end);
  }

  *fd_filestat_set_size(fd, size) {
    const { handle } = this.#writable(fd);
    const wanted = Number(unsigned(size));
    if (!Number.isSafeInteger(wanted)) throw new Errno(E.FBIG);
    yield handle.resize(wanted);
  }

  // ---- What files are ----

  *#stat(node, result) {
    const stat = yield node.stat();
    this.#memory.bytes(result, 64).fill(0);
    this.#memory.setU64(result, stat.dev ?? 0n);
    this.#memory.setU64(result + 8, stat.ino);
    this.#memory.setU8(result + 16, FILE_TYPES[node.kind]);
    this.#memory.setU64(result + 24, stat.nlink ?? 1);
    this.#memory.setU64(result + 32, stat.size ?? 0);
    this.#memory.setU64(result + 40, stat.atime ?? 0n);
    this.#memory.setU64(result + 48, stat.mtime ?? 0n);
    this.#memory.setU64(result + 56, stat.ctime ?? 0n);
  }

  *fd_filestat_get(fd, result) {
    const open = this.#get(fd);
    if (!(open instanceof Stream)) return yield* this.#stat(open.node, result);
    this.#memory.bytes(result, 64).fill(0);
    this.#memory.setU8(result + 16, open.type);
  }

  *#setTimes(node, atime, mtime, flags) {
    const now = BigInt(Date.now()) * 1_000_000n;
    const pick = (time, given, current) => {
      if ((flags & given) !== 0 && (flags & current) !== 0) throw new Errno(E.INVAL);
      if (flags & given) return unsigned(time);
      return flags & current ? now : undefined;
    };
    yield node.setTimes({ atime: pick(atime, 1, 2), mtime: pick(mtime, 4, 8) });
  }

  *fd_filestat_set_times(fd, atime, mtime, flags) {
    const { node } = this.#get(fd);
    if (!node) throw new Errno(E.BADF);
    yield* this.#setTimes(node, atime, mtime, flags);
  }

  *path_filestat_get(fd, lookup, at, length, result) {
    const { node } = yield* this.#find(fd, at, length, lookup & 1);
    yield* this.#stat(node, result);
  }

  *path_filestat_set_times(fd, lookup, at, length, atime, mtime, flags) {
    const { node } = yield* this.#find(fd, at, length, lookup & 1);
    yield* this.#setTimes(node, atime, mtime, flags);
  }

  *fd_readdir(fd, at, length, cookie, result) {
    const directory = this.#directory(fd);
    if (unsigned(cookie) === 0n || !directory.listing) {
      const own = { name: '.', kind: 'directory', ino: (yield directory.node.stat()).ino };
      const entries = yield directory.node.list();
      directory.listing = [own, { ...own, name: '..' }, ...entries];
    }
    const room = this.#memory.bytes(at, length);
    let used = 0;
    for (let n = Number(unsigned(cookie)); n < directory.listing.length; n++) {
      const entry = directoryEntry(n + 1, directory.listing[n]);
      const part = entry.subarray(0, room.length - used);
      room.set(part, used);
      used += part.length;
      if (used === room.length) break;
    }
    this.#memory.setU32(result, used);
  }

  // ---- Paths ----

  /**
   * Walks to the last component of a path: the directories on the way, its name, and the
   * node if there is one. `follow` says whether a symbolic link there is followed.
   */
  *#walk(trail, path, follow) {
    if (path === '' || path.includes('\0')) throw new Errno(path === '' ? E.NOENT : E.INVAL);
    if (path.startsWith('/')) throw new Errno(E.PERM);
    trail = [...trail];
    const todo = path.split('/').reverse();
    let links = 0;
    let must = false;
    while (todo.length > 0) {
      const name = todo.pop();
      if (name === '' || name === '.') {
        must = true;
        continue;
      }
      if (name === '..') {
        if (trail.length === 1) throw new Errno(E.PERM);
        trail.pop();
        must = true;
        continue;
      }
      const isLast = todo.every((rest) => rest === '' || rest === '.');
      must = todo.length > 0;
      const node = yield trail.at(-1).lookup(name);
      if (node?.kind === 'symlink' && (!isLast || follow || must)) {
        links += 1;
        if (links > MOST_LINKS) throw new Errno(E.LOOP);
        const target = yield node.target();
        if (target.startsWith('/')) throw new Errno(E.PERM);
        todo.push(...target.split('/').reverse());
        continue;
      }
      if (isLast) {
        if (must && node && node.kind !== 'directory') throw new Errno(E.NOTDIR);
        return { trail, name, node, must };
      }
      if (!node) throw new Errno(E.NOENT);
      if (node.kind !== 'directory') throw new Errno(E.NOTDIR);
      trail.push(node);
    }
    // The path named a directory on the way, such as `a/..`.
    return { trail: trail.slice(0, -1), name: null, node: trail.at(-1), must: true };
  }

  *#resolve(fd, at, length, follow) {
    const directory = this.#directory(fd);
    return yield* this.#walk(directory.trail, this.#memory.text(at, length), follow);
  }

  /** What a path names. */
  *#find(fd, at, length, follow) {
    const found = yield* this.#resolve(fd, at, length, follow);
    if (!found.node) throw new Errno(E.NOENT);
    return found;
  }

  /** Where something can be made that is not there yet. */
  *#vacancy(fd, at, length) {
    const place = yield* this.#resolve(fd, at, length, false);
    if (place.node || place.name === null) throw new Errno(E.EXIST);
    return { directory: place.trail.at(-1), ...place };
  }

  *path_open(fd, lookup, at, length, oflags, rights, _inheriting, flags, result) {
    this.#checkRoom();
    const access = {
      read: (rights & RIGHTS.READ) !== 0n,
      write: (rights & (RIGHTS.WRITE | RIGHTS.ALLOCATE | RIGHTS.RESIZE)) !== 0n,
    };
    let { trail, name, node, must } = yield* this.#resolve(fd, at, length, lookup & 1);
    const isNew = !node;
    if (isNew) {
      if (!(oflags & OFLAGS.CREAT)) throw new Errno(E.NOENT);
      if (must || oflags & OFLAGS.DIRECTORY) throw new Errno(E.INVAL);
      node = yield trail.at(-1).createFile(name);
    } else if (oflags & OFLAGS.CREAT && oflags & OFLAGS.EXCL) {
      throw new Errno(E.EXIST);
    }
    if (node.kind === 'symlink') throw new Errno(E.LOOP);
    let open;
    if (node.kind === 'directory') {
      if (oflags & (OFLAGS.TRUNC | OFLAGS.CREAT)) throw new Errno(E.ISDIR);
      open = new OpenDirectory([...trail, node]);
    } else {
      if (oflags & OFLAGS.DIRECTORY) throw new Errno(E.NOTDIR);
      const handle = yield node.open({ ...access, write: access.write || !!(oflags & OFLAGS.TRUNC) });
      if (oflags & OFLAGS.TRUNC && !isNew) yield handle.resize(0);
      open = new OpenFile(node, handle, access, flags & 0xffff);
    }
    this.#memory.setU32(result, this.#add(open));
  }

  *path_create_directory(fd, at, length) {
    const { directory, name } = yield* this.#vacancy(fd, at, length);
    yield directory.createDirectory(name);
  }

  *path_symlink(target, targetLength, fd, at, length) {
    const text = this.#memory.text(target, targetLength);
    if (text.startsWith('/')) throw new Errno(E.PERM);
    const { directory, name, must } = yield* this.#vacancy(fd, at, length);
    if (must) throw new Errno(E.NOENT);
    yield directory.createSymlink(name, text);
  }

  *path_link(fd, lookup, at, length, toFd, toAt, toLength) {
    const { node } = yield* this.#find(fd, at, length, lookup & 1);
    if (node.kind === 'directory') throw new Errno(E.PERM);
    const { directory, name, must } = yield* this.#vacancy(toFd, toAt, toLength);
    if (must) throw new Errno(E.NOENT);
    yield directory.link(name, node);
  }

  *path_readlink(fd, at, length, buffer, bufferLength, result) {
    const { node } = yield* this.#find(fd, at, length, false);
    if (node.kind !== 'symlink') throw new Errno(E.INVAL);
    const target = utf8.encode(yield node.target()).subarray(0, bufferLength >>> 0);
    this.#memory.bytes(buffer, target.length).set(target);
    this.#memory.setU32(result, target.length);
  }

  *path_unlink_file(fd, at, length) {
    const { trail, name, node, must } = yield* this.#find(fd, at, length, false);
    if (node.kind === 'directory') throw new Errno(E.ISDIR);
    if (must) throw new Errno(E.NOTDIR);
    yield trail.at(-1).removeFile(name);
  }

  *path_remove_directory(fd, at, length) {
    const { trail, name, node } = yield* this.#find(fd, at, length, false);
    if (node.kind !== 'directory') throw new Errno(E.NOTDIR);
    if (name === null) throw new Errno(E.INVAL);
    yield trail.at(-1).removeDirectory(name);
  }

  *path_rename(fd, at, length, toFd, toAt, toLength) {
    const from = yield* this.#find(fd, at, length, false);
    const to = yield* this.#resolve(toFd, toAt, toLength, false);
    if (from.name === null || to.name === null) throw new Errno(E.BUSY);
    const source = from.trail.at(-1);
    const target = to.trail.at(-1);
    if (source === target && from.name === to.name) return;
    // A directory cannot become a part of itself.
    if (to.trail.includes(from.node)) throw new Errno(E.INVAL);
    if (from.node.kind === 'directory') {
      if (to.node && to.node.kind !== 'directory') throw new Errno(E.NOTDIR);
    } else {
      if (to.node?.kind === 'directory') throw new Errno(E.ISDIR);
      if (to.must) throw new Errno(E.NOTDIR);
    }
    if (source.constructor !== target.constructor) throw new Errno(E.XDEV);
    yield source.rename(from.name, target, to.name);
  }
}

const unsigned = (number) => BigInt.asUintN(64, BigInt(number));

/** A `dirent` and its name. */
function directoryEntry(next, { name, kind, ino }) {
  const text = utf8.encode(name);
  const bytes = new Uint8Array(24 + text.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(next), true);
  view.setBigUint64(8, BigInt(ino), true);
  view.setUint32(16, text.length, true);
  bytes[20] = FILE_TYPES[kind];
  bytes.set(text, 24);
  return bytes;
}
