// The calls of WASI that use the file table of a process.
//
// Where files are the system's (Node on Linux) or in memory, every worker serves its own threads'
// calls, all at the same time. Other files have one owner, who serves all threads, one call at a
// time: the supervisor, or the only thread itself where memory is not shared. A worker finds out
// by the descriptor (ELSEWHERE), before a call has changed anything. The calls are generators which
// yield what may be a promise; who runs them decides whether it can wait for one.
//
// What a directory or a file is, is up to a backend (memory.js, node.js, opfs.js):
//
//   node       kind (of FILE_TYPES), stat(), setTimes({atime, mtime})
//   directory  lookup(name), list(), create(name, access) -> opened, createDirectory(name),
//              createSymlink(name, target), link(name, file), removeFile(name),
//              removeDirectory(name), rename(name, toDirectory, toName), open() -> opened;
//              where it has to be left: enter(name), a lookup of what is used until leave();
//              where the system does a name's call at once (isDirect): inodeOf(name),
//              openDirectly(name, access, isDirectory) -> opened with its kind
//   file       open(access) -> opened
//   symlink    target(); undefined if it is one no more
//   opened     {resource}, or {backend, handle, other} for `revive`, as Descriptors has them;
//              undefined if meanwhile the name stands for something else
//   resource   of a file: read(at, vectors), write(at, vectors), append(vectors) and then `ended`,
//              where that has ended, or later end(), if only the system knows; size(), resize(size),
//              allocate(end), sync(isDataOnly), setAppend(isSet); of a directory what it has
//              above; of both stat(), setTimes(), close()
//   access     {read, write, truncate, append, sync, dsync}
//   tree       of a directory, where there is one: a lock that a call with a path holds
//
// Files are not moved between directories whose `backend` differs.
// Each may return a promise, and throws an Errno. Paths are walked here, one component at a
// time: `..` never leads out of the directory that the path starts from, nor does a symbolic
// link.

import { CHANGES, Errno, FDFLAGS, FILE_TYPES, isErrno, OFLAGS, RIGHTS, RIGHTS_OF } from '../wasi/abi.js';
import * as E from '../wasi/errno.js';
import { Backend, Descriptors, Kind } from './descriptors.js';
import { Listing } from './listing.js';
import { rightsOfStream } from './plain.js';
import { Ways } from './ways.js';

const MOST_LINKS = 40;
/** As on Linux, the end included that C has. */
const LONGEST_PATH = 4095;
const LONGEST_NAME = 255;
/** How often a path is walked again because somebody else has changed it meanwhile. */
const MOST_TRIES = 100;
/** The rights that say how a file was opened. */
const ACCESS = RIGHTS.READ | RIGHTS.WRITE;
/** The position after the system has moved it: where `end()` says. */
const AT_END = -1n;
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

export class FileTable {
  #memory;
  #descriptors;
  #ways;
  /** The paths of the granted directories, encoded. */
  #preopens;
  #terminals;
  #listener;
  /** What the call that runs has in use, whose locks it has, and directories on its way. */
  #used = [];
  #locked = [];
  #entered = [];
  #trees = [];

  /**
   * @param {import('../guest-memory.js').GuestMemory} memory
   * @param {{preopens: [string, object][], terminals: boolean[], table?: SharedArrayBuffer}} files
   *   `table` is one that other workers use, too, and somebody has filled
   * @param {{revive?: ((open: object) => object)[], isOwner?: boolean, limitMet?: (limit: string) => void,
   *   streamMoved?: (stream: number, fd: number) => void,
   *   streamFlags?: (stream: number, flags: number) => void}} listener
   */
  constructor(memory, { preopens, terminals, table }, listener = {}) {
    this.#memory = memory;
    this.#preopens = preopens.map(([path]) => utf8.encode(path));
    this.#terminals = terminals;
    this.#listener = listener;
    this.#descriptors = new Descriptors(table ?? Descriptors.create(false), listener);
    this.#ways = new Ways(this.#descriptors);
  }

  /** Where the sockets of listeners and connections are found. */
  get descriptors() {
    return this.#descriptors;
  }

  /** Opens the standard streams, the granted directories and listeners; `closeAll` closes those, too. */
  fill(preopens, mostOpen = Infinity, listeners = 0) {
    this.#descriptors.limit(Infinity);
    for (const stream of [0, 1, 2]) {
      const access = stream === 0 ? RIGHTS.READ : RIGHTS.WRITE;
      const rights = rightsOfStream(stream);
      this.#descriptors.insert({ kind: Kind.STREAM, handle: stream, access, rights, inheriting: 0 });
    }
    preopens.forEach(([, directory, isReadOnly], n) => {
      this.#descriptors.keep(directory);
      const inheriting = RIGHTS_OF.directory | RIGHTS_OF.file;
      const rights = RIGHTS_OF.directory;
      const readonly = Number(isReadOnly);
      this.#descriptors.insert({ kind: Kind.DIRECTORY, ...directory.open(), rights, inheriting, preopen: n + 1, readonly });
    });
    for (let handle = 0; handle < listeners; handle++) {
      const [rights, inheriting] = [RIGHTS_OF.listener, RIGHTS_OF.connection];
      this.#descriptors.insert({ kind: Kind.LISTENER, backend: Backend.SOCKET, handle, access: RIGHTS.READ, rights, inheriting });
    }
    this.#descriptors.limit(mostOpen);
  }

  /** The generator of a call; its value is the call's errno. */
  *call(name, args) {
    try {
      try {
        yield* this[name](...args);
      } finally {
        this.#letGo();
      }
      return E.SUCCESS;
    } catch (error) {
      if (isErrno(error)) return error.errno;
      throw error;
    }
  }

  #letGo() {
    while (this.#trees.length > 0) this.#trees.pop().give();
    while (this.#locked.length > 0) this.#locked.pop().lock.give();
    while (this.#entered.length > 0) this.#entered.pop().leave?.();
    while (this.#used.length > 0) this.#descriptors.release(this.#used.pop());
  }

  /** Closes everything. */
  closeAll() {
    this.#descriptors.closeAll();
  }

  // ---- Descriptors ----

  #use(fd) {
    const open = this.#descriptors.use(fd >>> 0);
    this.#used.push(open);
    return open;
  }

  #check(open, rights) {
    if (rights & ACCESS & ~open.access) throw new Errno(E.BADF);
    if (open.readonly && rights & CHANGES) throw new Errno(E.ROFS);
    if (rights & ~open.rights) throw new Errno(E.NOTCAPABLE);
    return open;
  }

  /** A file, or else an error of directories. */
  #file(fd, rights, ofDirectories = E.BADF) {
    return this.#checkFile(this.#use(fd), rights, ofDirectories);
  }

  #checkFile(open, rights, ofDirectories = E.BADF) {
    if (open.kind === Kind.DIRECTORY) throw new Errno(ofDirectories);
    if (open.kind !== Kind.FILE) throw new Errno(E.SPIPE);
    return this.#check(open, rights);
  }

  #directory(fd, rights) {
    const open = this.#use(fd);
    if (open.kind !== Kind.DIRECTORY) throw new Errno(open.kind === Kind.FILE ? E.NOTDIR : E.BADF);
    this.#check(open, rights);
    const { tree } = open.resource;
    if (tree) {
      tree.take();
      this.#trees.push(tree);
    }
    return open;
  }

  /** Fails before it walks where both cannot be one tree: who has one's lock never waits for another. */
  #checkTrees(fd, other) {
    const [one, two] = [fd, other].map((number) => this.#descriptors.directoryBackend(number >>> 0));
    if (one !== undefined && two !== undefined && one !== two) throw new Errno(E.XDEV);
  }

  /** Nobody else moves its position, or changes its flags, until the call ends. */
  #lock(open) {
    open.lock.take();
    this.#locked.push(open);
    if (open.position === AT_END) open.position = BigInt(open.resource.end());
    return open;
  }

  *fd_close(fd) {
    this.#descriptors.remove(fd >>> 0, (open) => {
      if (open.kind === Kind.STREAM) this.#listener.streamMoved?.(open.handle, -1);
    });
  }

  *fd_renumber(from, to) {
    this.#descriptors.renumber(from >>> 0, to >>> 0, (open, replaced) => {
      if (replaced.kind === Kind.STREAM) this.#listener.streamMoved?.(replaced.handle, -1);
      if (open.kind === Kind.STREAM) this.#listener.streamMoved?.(open.handle, to >>> 0);
    });
  }

  #typeOf(open) {
    if (open.kind === Kind.FILE) return FILE_TYPES.file;
    if (open.kind === Kind.DIRECTORY) return FILE_TYPES.directory;
    if (open.kind !== Kind.STREAM) return FILE_TYPES.socket;
    return this.#terminals[open.handle] ? FILE_TYPES.character : FILE_TYPES.unknown;
  }

  *fd_fdstat_get(fd, result) {
    const open = this.#use(fd);
    this.#memory.bytes(result, 24).fill(0);
    this.#memory.setU8(result, this.#typeOf(open));
    this.#memory.setU16(result + 2, open.flags);
    this.#memory.setU64(result + 8, open.rights);
    this.#memory.setU64(result + 16, open.inheriting);
  }

  *fd_fdstat_set_flags(fd, flags) {
    const open = this.#check(this.#use(fd), RIGHTS.SET_FLAGS);
    // How writes are synchronised is settled when a file is opened.
    const changeable = FDFLAGS.APPEND | FDFLAGS.NONBLOCK;
    // Of a directory they mean nothing.
    checkFlags(flags, open.kind === Kind.DIRECTORY ? 31 : changeable);
    this.#lock(open);
    if (open.kind === Kind.FILE) open.resource.setAppend?.((flags & FDFLAGS.APPEND) !== 0);
    open.flags = (open.flags & ~changeable) | (flags & changeable);
    if (open.kind === Kind.STREAM) this.#listener.streamFlags?.(open.handle, open.flags);
  }

  /** Rights can be given up, and not be had again. */
  *fd_fdstat_set_rights(fd, rights, inheriting) {
    const open = this.#use(fd);
    this.#lock(open);
    const more = (unsigned(rights) & ~BigInt(open.rights)) | (unsigned(inheriting) & ~BigInt(open.inheriting));
    if (more !== 0n) throw new Errno(E.NOTCAPABLE);
    open.rights = Number(rights);
    open.inheriting = Number(inheriting);
  }

  #preopen(fd, ofOthers) {
    const { preopen } = this.#use(fd);
    if (!preopen) throw new Errno(ofOthers);
    return this.#preopens[preopen - 1];
  }

  *fd_prestat_get(fd, result) {
    const { length } = this.#preopen(fd, E.BADF);
    this.#memory.setU32(result, 0);
    this.#memory.setU32(result + 4, length);
  }

  *fd_prestat_dir_name(fd, at, length) {
    const path = this.#preopen(fd, E.NOTDIR);
    if (length >>> 0 < path.length) throw new Errno(E.NAMETOOLONG);
    this.#memory.bytes(at, path.length).set(path);
  }

  // ---- Reading and writing ----

  /** A file to move bytes, and buffers: those are looked at before what is open, as `readv` does. */
  #transfer(fd, right, at, count, ofDirectories) {
    const open = this.#use(fd);
    if (open.kind === Kind.FILE && right & open.access & ~open.rights) throw new Errno(E.NOTCAPABLE);
    const vectors = this.#memory.vectors(at, count);
    return { file: this.#checkFile(open, right, ofDirectories), vectors };
  }

  *fd_read(fd, at, count, result) {
    const { file, vectors } = this.#transfer(fd, RIGHTS.READ, at, count, E.ISDIR);
    const { position } = this.#lock(file);
    const moved = yield file.resource.read(within(Number(position)), vectors);
    file.position = position + BigInt(moved);
    this.#memory.setU32(result, moved);
  }

  *fd_pread(fd, at, count, offset, result) {
    const file = this.#file(fd, RIGHTS.READ, E.ISDIR);
    const vectors = this.#memory.vectors(at, count);
    this.#memory.setU32(result, yield file.resource.read(within(toOffset(offset)), vectors));
  }

  *fd_write(fd, at, count, result) {
    const { file, vectors } = this.#transfer(fd, RIGHTS.WRITE, at, count);
    const { flags, position, resource } = this.#lock(file);
    let moved;
    if (flags & FDFLAGS.APPEND) {
      moved = yield resource.append(vectors);
      if (moved > 0) file.position = BigInt(resource.ended ?? AT_END);
    } else {
      moved = yield resource.write(sizeOf(position), vectors);
      file.position = position + BigInt(moved);
    }
    if (!resource.syncs && flags & (FDFLAGS.DSYNC | FDFLAGS.SYNC)) yield resource.sync();
    this.#memory.setU32(result, moved);
  }

  *fd_pwrite(fd, at, count, offset, result) {
    const file = this.#file(fd, RIGHTS.WRITE);
    const vectors = this.#memory.vectors(at, count);
    const from = sizeOf(toOffset(offset));
    const { flags, resource } = file;
    // As on Linux, a file that is written at its end is written there whatever the offset.
    const append = flags & FDFLAGS.APPEND;
    // The position stays where it is, and the system's, by which it may have to be found, does not.
    if (append) this.#lock(file);
    const moved = yield append ? resource.append(vectors) : resource.write(from, vectors);
    if (!resource.syncs && flags & (FDFLAGS.DSYNC | FDFLAGS.SYNC)) yield resource.sync();
    this.#memory.setU32(result, moved);
  }

  *fd_seek(fd, offset, whence, result) {
    const file = this.#file(fd, RIGHTS.SEEK);
    if (whence >>> 0 > 2 || (whence === 0 && BigInt(offset) < 0n)) throw new Errno(E.INVAL);
    this.#memory.bytes(result, 8);
    this.#lock(file);
    const size = whence === 2 ? BigInt(yield file.resource.size()) : 0n;
    const position = [0n, file.position, size][whence] + BigInt(offset);
    if (position < 0n) throw new Errno(E.INVAL);
    if (position > 2n ** 63n - 1n) throw new Errno(E.OVERFLOW);
    file.position = position;
    this.#memory.setU64(result, position);
  }

  *fd_tell(fd, result) {
    this.#memory.setU64(result, this.#lock(this.#file(fd, RIGHTS.TELL)).position);
  }

  *#sync(fd, right) {
    const open = this.#use(fd);
    if (!hasNode(open)) throw new Errno(E.INVAL);
    this.#check(open, right);
    yield open.resource.sync?.(right === RIGHTS.DATASYNC);
  }

  *fd_sync(fd) {
    yield* this.#sync(fd, RIGHTS.SYNC);
  }

  *fd_datasync(fd) {
    yield* this.#sync(fd, RIGHTS.DATASYNC);
  }

  *fd_advise(fd, offset, length, advice) {
    const open = this.#use(fd);
    if (advice >>> 0 > 5) throw new Errno(E.INVAL);
    this.#checkFile(open, RIGHTS.ADVISE);
    toOffset(length);
  }

  *fd_allocate(fd, offset, length) {
    this.#use(fd);
    const end = toOffset(offset) + toOffset(length);
    if (toOffset(length) === 0) throw new Errno(E.INVAL);
    const file = this.#file(fd, RIGHTS.ALLOCATE);
    if (!(file.access & RIGHTS.WRITE)) throw new Errno(E.BADF);
    this.#lock(file);
    yield file.resource.allocate(sizeOf(end));
  }

  *fd_filestat_set_size(fd, size) {
    const wanted = toOffset(size);
    const file = this.#file(fd, RIGHTS.RESIZE, E.INVAL);
    if (!(file.access & RIGHTS.WRITE)) throw new Errno(E.INVAL);
    yield file.resource.resize(sizeOf(wanted));
  }

  // ---- What files are ----

  #putStat(result, kind, stat) {
    this.#memory.bytes(result, 64).fill(0);
    this.#memory.setU64(result, stat.dev ?? 0n);
    this.#memory.setU64(result + 8, stat.ino);
    this.#memory.setU8(result + 16, FILE_TYPES[kind]);
    this.#memory.setU64(result + 24, stat.nlink ?? 1);
    this.#memory.setU64(result + 32, stat.size ?? 0);
    this.#memory.setU64(result + 40, stat.atime ?? 0n);
    this.#memory.setU64(result + 48, stat.mtime ?? 0n);
    this.#memory.setU64(result + 56, stat.ctime ?? 0n);
  }

  *fd_filestat_get(fd, result) {
    const open = this.#use(fd);
    this.#check(open, RIGHTS.STAT);
    if (hasNode(open)) {
      return this.#putStat(result, open.kind === Kind.FILE ? 'file' : 'directory', yield open.resource.stat());
    }
    this.#memory.bytes(result, 64).fill(0);
    this.#memory.setU8(result + 16, this.#typeOf(open));
  }

  *#setTimes(node, atime, mtime, flags) {
    const now = BigInt(Date.now()) * 1_000_000n;
    const pick = (time, given, current) => {
      if (flags & given) return unsigned(time);
      return flags & current ? now : undefined;
    };
    yield node.setTimes({ atime: pick(atime, 1, 2), mtime: pick(mtime, 4, 8) });
  }

  *fd_filestat_set_times(fd, atime, mtime, flags) {
    const open = this.#use(fd);
    if (!setsTimes(flags)) return;
    if (!hasNode(open)) throw new Errno(E.BADF);
    this.#check(open, RIGHTS.SET_TIMES);
    yield* this.#setTimes(open.resource, atime, mtime, flags);
  }

  *path_filestat_get(fd, lookup, at, length, result) {
    const { node } = yield* this.#find(fd, RIGHTS.PATH_STAT, at, length, lookup);
    this.#putStat(result, node.kind, yield node.stat());
  }

  *path_filestat_set_times(fd, lookup, at, length, atime, mtime, flags) {
    if (!setsTimes(flags)) return;
    const { node } = yield* this.#find(fd, RIGHTS.PATH_SET_TIMES, at, length, lookup);
    yield* this.#setTimes(node, atime, mtime, flags);
  }

  *fd_readdir(fd, at, length, cookie, result) {
    const open = this.#directory(fd, RIGHTS.READDIR);
    const from = unsigned(cookie);
    const room = this.#memory.bytes(at, length);
    if (from === 0n || !open.listing) {
      const { ino } = yield open.resource.stat();
      open.listing = new Listing(yield open.resource.list(), ino);
    }
    this.#memory.setU32(result, yield* open.listing.write(room, from, open.resource));
  }

  // ---- Paths ----

  #path(at, length) {
    if (length === 0) throw new Errno(E.NOENT);
    if (length >>> 0 > LONGEST_PATH) throw new Errno(E.NAMETOOLONG);
    return this.#memory.path(at, length);
  }

  /** What a name stands for, if it stands for something. */
  #look(directory, name) {
    checkName(name);
    return directory.lookup(name);
  }

  /** The next directory on a way; it is left when the call ends. */
  #enter(directory, name) {
    if (!directory.enter) return directory.lookup(name);
    const node = directory.enter(name);
    if (node) this.#entered.push(node);
    return node;
  }

  /** Where a link leads; undefined if it is one no more. `links` counts them. */
  *#follow(node, links) {
    links.count += 1;
    if (links.count > MOST_LINKS) throw new Errno(E.LOOP);
    const target = yield node.target();
    return target === undefined ? undefined : componentsOf(target);
  }

  /** Goes on through these directories; `trail` has those on the way. */
  *#descend(trail, names, links) {
    const todo = names.reverse();
    while (todo.length > 0) {
      const name = todo.pop();
      if (name === '.') continue;
      if (name === '..') {
        if (trail.length === 1) throw new Errno(E.PERM);
        trail.pop();
        continue;
      }
      checkName(name);
      const node = yield this.#enter(trail.at(-1), name);
      if (!node) throw new Errno(E.NOENT);
      if (node.kind === 'symlink') {
        const way = yield* this.#follow(node, links);
        todo.push(...(way?.names.reverse() ?? [name]));
      } else if (node.kind === 'directory') {
        trail.push(node);
      } else {
        throw new Errno(E.NOTDIR);
      }
    }
  }

  /** Walks to the directory that has a path's last component, which may be `.` or `..`. */
  *#lead(start, path, mayKnow = true) {
    const known = mayKnow && this.#ways.find(start, path);
    if (known) {
      return { trail: [known.directory], name: known.name, hasSlash: false, isKnown: true };
    }
    const { names, hasSlash } = componentsOf(path);
    const trail = [start.resource];
    const links = { count: 0 };
    const name = names.pop();
    yield* this.#descend(trail, names, links);
    const directory = trail.at(-1);
    if (links.count === 0 && trail.length > 1 && directory.leave && this.#ways.keep(start, path, directory)) {
      this.#entered.splice(this.#entered.indexOf(directory), 1);
    }
    return { trail, name, hasSlash, links };
  }

  /**
   * Walks to what a path names: the directory that has it, the name there and the node, if
   * there is one. `follow` says whether a symbolic link there is followed, `creates` whether a
   * file is made if there is none.
   */
  *#walk(start, path, follow, creates = false) {
    let { trail, name, hasSlash, links, isKnown } = yield* this.#lead(start, path);
    for (;;) {
      if (name === '.' || name === '..') {
        yield* this.#descend(trail, [name], links);
        return { node: trail.at(-1), hasSlash };
      }
      if (creates && hasSlash) throw new Errno(E.ISDIR);
      const directory = trail.at(-1);
      const node = yield this.#look(directory, name);
      if (node?.kind !== 'symlink' || !(follow || hasSlash)) {
        if (hasSlash && node && node.kind !== 'directory') throw new Errno(E.NOTDIR);
        return { directory, name, node, hasSlash };
      }
      // A link is walked from where it is, with the directories above it.
      if (isKnown) ({ trail, name, hasSlash, links, isKnown } = yield* this.#lead(start, path, false));
      const way = yield* this.#follow(node, links);
      if (!way) continue;
      hasSlash ||= way.hasSlash;
      name = way.names.pop();
      yield* this.#descend(trail, way.names, links);
    }
  }

  /** Where a path's last name is and how it is called, if one call of the system's is all that is left. */
  #near(start, path) {
    const { resource } = start;
    if (!resource.isDirect) return undefined;
    return path.includes('/') || isDots(path) ? this.#ways.find(start, path) : { directory: resource, name: path };
  }

  /** What a path names, as `#walk` finds it, if there is no way to walk nor a link to follow. */
  #glance(start, path, follow) {
    const near = this.#near(start, path);
    if (!near) return undefined;
    const { directory, name } = near;
    const node = this.#look(directory, name);
    return follow && node?.kind === 'symlink' ? undefined : { directory, name, node, hasSlash: false };
  }

  /** What a path names. */
  *#find(fd, right, at, length, follow) {
    checkFlags(follow, 1);
    const path = this.#path(at, length);
    const start = this.#directory(fd, right);
    const found = this.#glance(start, path, follow) ?? (yield* this.#walk(start, path, follow));
    if (!found.node) throw new Errno(E.NOENT);
    return found;
  }

  /** The directory that has a path's last component. */
  *#parent(fd, right, path) {
    const { trail, name, hasSlash } = yield* this.#lead(this.#directory(fd, right), path);
    return { trail, directory: trail.at(-1), name, hasSlash };
  }

  /** Where something can be made that is not there yet. */
  *#vacancy(fd, right, path, mayHaveSlash) {
    const { directory, name, hasSlash } = yield* this.#parent(fd, right, path);
    if (isDots(name) || (yield this.#look(directory, name))) throw new Errno(E.EXIST);
    if (hasSlash && !mayHaveSlash) throw new Errno(E.NOENT);
    return { directory, name };
  }

  *path_open(fd, lookup, at, length, oflags, rights, _inheriting, flags, result) {
    checkFlags(lookup, 1);
    checkFlags(oflags, 15);
    checkFlags(flags, 31);
    if (oflags & OFLAGS.DIRECTORY && oflags & OFLAGS.CREAT) throw new Errno(E.INVAL);
    const path = this.#path(at, length);
    const base = this.#directory(fd, RIGHTS.OPEN);
    // Where nothing is created, what is there can be opened all the same.
    const wouldCreate = base.readonly && oflags & OFLAGS.CREAT;
    const creates = !wouldCreate && (oflags & OFLAGS.CREAT) !== 0;
    let needed = creates ? RIGHTS.CREATE_FILE : 0;
    if (oflags & OFLAGS.TRUNC) needed |= RIGHTS.PATH_RESIZE;
    this.#check(base, needed);
    const wanted = Number(BigInt.asUintN(30, BigInt(rights))) & ACCESS;
    if (base.readonly && wanted & RIGHTS.WRITE) throw new Errno(E.ROFS);
    this.#descriptors.checkRoom();
    if (wanted & ~base.inheriting) throw new Errno(E.NOTCAPABLE);
    // Before anything is opened that nobody would hear of.
    this.#memory.bytes(result, 4);
    const write = (wanted & RIGHTS.WRITE) !== 0;
    const access = {
      // What is not opened to be written is opened to be read, whatever the rights say.
      read: (wanted & RIGHTS.READ) !== 0 || !write,
      write,
      truncate: (oflags & OFLAGS.TRUNC) !== 0,
      append: (flags & FDFLAGS.APPEND) !== 0,
      dsync: (flags & FDFLAGS.DSYNC) !== 0,
      sync: (flags & FDFLAGS.SYNC) !== 0,
    };
    const isExclusive = oflags & OFLAGS.CREAT && oflags & OFLAGS.EXCL;
    const follow = lookup && !isExclusive;
    if (!(oflags & (OFLAGS.CREAT | OFLAGS.TRUNC))) {
      const near = this.#near(base, path);
      if (near) checkName(near.name);
      const opened = near?.directory.openDirectly(near.name, access, oflags & OFLAGS.DIRECTORY);
      if (opened) return this.#memory.setU32(result, this.#insert(opened, base, access, flags));
    }
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const found = yield* this.#walk(base, path, follow, creates);
      if (wouldCreate && !found.node) throw new Errno(E.ROFS);
      if (wouldCreate && isExclusive) throw new Errno(E.EXIST);
      const opened = yield* this.#open(found, oflags, access);
      // Else somebody was faster.
      if (opened) return this.#memory.setU32(result, this.#insert(opened, base, access, flags));
    }
    throw new Errno(E.AGAIN);
  }

  *#open({ directory, name, node }, oflags, access) {
    if (!node) {
      if (!(oflags & OFLAGS.CREAT)) throw new Errno(E.NOENT);
      const opened = yield directory.create(name, access);
      return opened && { ...opened, kind: 'file' };
    }
    if (oflags & OFLAGS.CREAT && oflags & OFLAGS.EXCL) throw new Errno(E.EXIST);
    if (node.kind === 'directory') {
      if (access.write || oflags & (OFLAGS.TRUNC | OFLAGS.CREAT)) throw new Errno(E.ISDIR);
    } else {
      if (oflags & OFLAGS.DIRECTORY) throw new Errno(E.NOTDIR);
      if (node.kind === 'symlink') throw new Errno(E.LOOP);
      if (node.kind === 'socket') throw new Errno(E.NXIO);
      // A device or a FIFO could block where nothing wakes the thread.
      if (node.kind !== 'file') throw new Errno(E.NOTSUP);
    }
    const opened = yield node.open(access);
    return opened && { ...opened, kind: node.kind };
  }

  #insert(opened, base, { read, write }, flags) {
    const isFile = opened.kind === 'file';
    const access = (read ? RIGHTS.READ : 0) | (write ? RIGHTS.WRITE : 0);
    const rights = isFile ? RIGHTS_OF.file & ~(ACCESS & ~access) : RIGHTS_OF.directory;
    const inheriting = isFile ? 0 : base.inheriting;
    const { handle, other, backend, resource } = opened;
    const kind = isFile ? Kind.FILE : Kind.DIRECTORY;
    const given = { access, rights: rights & base.inheriting, inheriting, flags, readonly: base.readonly };
    return this.#descriptors.insert({ kind, handle, other, backend, resource, ...given });
  }

  *path_create_directory(fd, at, length) {
    const { directory, name } = yield* this.#vacancy(fd, RIGHTS.CREATE_DIRECTORY, this.#path(at, length), true);
    yield directory.createDirectory(name);
  }

  *path_symlink(target, targetLength, fd, at, length) {
    const text = this.#path(target, targetLength);
    // It could lead out.
    if (text.startsWith('/')) throw new Errno(E.PERM);
    const { directory, name } = yield* this.#vacancy(fd, RIGHTS.SYMLINK, this.#path(at, length), false);
    yield directory.createSymlink(name, text);
  }

  *path_link(fd, lookup, at, length, toFd, toAt, toLength) {
    // Links to what links lead to are not made.
    checkFlags(lookup, 0);
    this.#checkTrees(fd, toFd);
    const { node } = yield* this.#find(fd, RIGHTS.LINK_SOURCE, at, length, false);
    const { directory, name } = yield* this.#vacancy(toFd, RIGHTS.LINK_TARGET, this.#path(toAt, toLength), false);
    if (node.kind === 'directory') throw new Errno(E.PERM);
    yield directory.link(name, node);
  }

  *path_readlink(fd, at, length, buffer, bufferLength, result) {
    // An empty path would be the descriptor itself, which is no link.
    if (length === 0) this.#use(fd);
    const { node } = yield* this.#find(fd, RIGHTS.READLINK, at, length, false);
    const text = node.kind === 'symlink' ? yield node.target() : undefined;
    if (text === undefined) throw new Errno(E.INVAL);
    const target = utf8.encode(text).subarray(0, bufferLength >>> 0);
    this.#memory.bytes(buffer, target.length).set(target);
    this.#memory.setU32(result, target.length);
  }

  *path_unlink_file(fd, at, length) {
    const { directory, name, hasSlash } = yield* this.#parent(fd, RIGHTS.UNLINK, this.#path(at, length));
    const node = isDots(name) ? directory : yield this.#look(directory, name);
    if (!node) throw new Errno(E.NOENT);
    if (node.kind === 'directory') throw new Errno(E.ISDIR);
    if (hasSlash) throw new Errno(E.NOTDIR);
    yield directory.removeFile(name);
  }

  *path_remove_directory(fd, at, length) {
    const { directory, name } = yield* this.#parent(fd, RIGHTS.REMOVE_DIRECTORY, this.#path(at, length));
    if (isDots(name)) throw new Errno(name === '.' ? E.INVAL : E.NOTEMPTY);
    const node = yield this.#look(directory, name);
    if (!node) throw new Errno(E.NOENT);
    if (node.kind !== 'directory') throw new Errno(E.NOTDIR);
    yield directory.removeDirectory(name);
  }

  *path_rename(fd, at, length, toFd, toAt, toLength) {
    this.#checkTrees(fd, toFd);
    const from = yield* this.#parent(fd, RIGHTS.RENAME_SOURCE, this.#path(at, length));
    const to = yield* this.#parent(toFd, RIGHTS.RENAME_TARGET, this.#path(toAt, toLength));
    if (from.directory.backend !== to.directory.backend) throw new Errno(E.XDEV);
    if (isDots(from.name) || isDots(to.name)) throw new Errno(E.BUSY);
    const node = yield this.#look(from.directory, from.name);
    if (!node) throw new Errno(E.NOENT);
    checkName(to.name);
    if (node.kind !== 'directory' && (from.hasSlash || to.hasSlash)) throw new Errno(E.NOTDIR);
    if (!node.backend.checksRenames) yield* this.#checkRename(node, to);
    if (from.directory === to.directory && from.name === to.name) return;
    yield from.directory.rename(from.name, to.directory, to.name);
  }

  /** What a system checks by itself. */
  *#checkRename(node, { trail, directory, name }) {
    const old = yield directory.lookup(name);
    if (node.kind === 'directory') {
      // A directory cannot become a part of itself.
      if (trail.includes(node)) throw new Errno(E.INVAL);
      if (old && old.kind !== 'directory') throw new Errno(E.NOTDIR);
    } else if (old?.kind === 'directory') {
      throw new Errno(E.ISDIR);
    }
  }
}

/** Whether it is in some directory. */
const hasNode = ({ kind }) => kind === Kind.FILE || kind === Kind.DIRECTORY;

/** The components of a path that has some. An absolute one starts from elsewhere. */
function componentsOf(path) {
  if (path.startsWith('/')) throw new Errno(E.PERM);
  return { names: path.split('/').filter((name) => name !== ''), hasSlash: path.endsWith('/') };
}

function checkName(name) {
  // A unit of 16 bits has at most three bytes.
  if (name.length * 3 <= LONGEST_NAME) return;
  if (name.length > LONGEST_NAME || utf8.encode(name).length > LONGEST_NAME) throw new Errno(E.NAMETOOLONG);
}

const isDots = (name) => name === '.' || name === '..';

/** Fails if there are others among the flags. */
function checkFlags(flags, known) {
  if (flags & ~known) throw new Errno(E.INVAL);
}

/** Whether there is anything to do; as on Linux, nobody else is asked otherwise. */
function setsTimes(flags) {
  checkFlags(flags, 15);
  if ((flags & 3) === 3 || (flags & 12) === 12) throw new Errno(E.INVAL);
  return flags !== 0;
}

const unsigned = (number) => BigInt.asUintN(64, BigInt(number));

/** An offset or a length: not negative, as 64 signed bits. */
function toOffset(number) {
  if (BigInt.asIntN(64, BigInt(number)) < 0n) throw new Errno(E.INVAL);
  return Number(number);
}

/** No file reaches as far as numbers are exact. */
const within = (offset) => Math.min(offset, Number.MAX_SAFE_INTEGER);

/** As the end of a file: beyond this, numbers are not exact. */
function sizeOf(number) {
  if (number > Number.MAX_SAFE_INTEGER) throw new Errno(E.FBIG);
  return Number(number);
}
