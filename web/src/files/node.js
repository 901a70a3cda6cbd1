// Real directories, where the host is Node.
//
// An open directory is a descriptor of the system's, and so is each directory on the way of a path.
// Node has no `openat`; on Linux `/proc/self/fd/N/name` is the name in the directory that the
// descriptor N is, wherever it has been moved to. Elsewhere a directory is its path, and the
// descriptor shows, before each use, whether the path still leads there: somebody who moves
// directories between the look and the use is not kept out.
//
// Symbolic links are followed by the file table, never by the system: each name is one component,
// and used without following. Only regular files and directories are opened: a FIFO could block
// where nothing wakes it.
//
// Invariant: what a descriptor stands for never changes, and one that is used is not closed.

import { nodeModule } from '../platform.js';
import { Errno } from '../wasi/abi.js';
import * as E from '../wasi/errno.js';
import { Backend, Kind, NONE } from './descriptors.js';
import { after } from './vectors.js';

const fs = nodeModule('node:fs');
const { spawnSync } = nodeModule('node:child_process');
const { pid, platform } = nodeModule('node:process');

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_APPEND } = fs.constants;
// Not every system has all of them.
const { O_NOFOLLOW = 0, O_DIRECTORY = 0, O_NONBLOCK = 0, O_NOCTTY = 0, O_SYNC = 0, O_DSYNC = 0 } = fs.constants;
/** Node does not name it; the same on all processors that Node has releases for. */
const O_PATH = 0o10000000;
/** The bits that say how a file is read and written. */
const O_ACCMODE = O_WRONLY | O_RDWR;

const OF_ITSELF = '/proc/self/fd/';
/** Whether names can be relative to descriptors. */
export const hasDescriptorPaths = platform === 'linux' && fs.existsSync(OF_ITSELF);
/** By the number there is one link less to follow; it may be another's, if `/proc` is. */
const isOurs = hasDescriptorPaths && fs.readlinkSync('/proc/self') === String(pid);
const DESCRIPTORS = isOurs ? `/proc/${pid}/fd/` : OF_ITSELF;

/** As much as one call of the system's moves. */
const MOST_BYTES = 0x7ffff000;

/** What Windows reads other than as a name. */
const NO_NAME = /[\\:*?"<>|]|[. ]$|^(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\.|$)/i;

/** Calls the system; its errors are ours by name. */
function system(call) {
  try {
    return call();
  } catch (error) {
    if (error instanceof Errno) throw error;
    throw new Errno(E[String(error?.code).slice(1)] ?? E.IO);
  }
}

/** The same, but `undefined` for some errors. */
function unless(errors, call) {
  try {
    return system(call);
  } catch (error) {
    if (errors.includes(error.errno)) return undefined;
    throw error;
  }
}

const kindOf = (stat) => {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  if (stat.isSymbolicLink()) return 'symlink';
  if (stat.isSocket()) return 'socket';
  if (stat.isCharacterDevice()) return 'character';
  return stat.isBlockDevice() ? 'block' : 'unknown';
};

const statOf = ({ dev, ino, nlink, size, atimeNs, mtimeNs, ctimeNs }) => {
  return { dev, ino, nlink, size, atime: atimeNs, mtime: mtimeNs, ctime: ctimeNs };
};

const isSame = (one, other) => one.dev === other.dev && one.ino === other.ino;

/** What all directories and files here have in common. */
const backend = {
  checksRenames: true,
  /** What an open descriptor is, by its words. */
  revive: (at) => (at.kind === Kind.DIRECTORY ? new NodeDirectory(at.handle) : new OpenFile(at)),
};
export const { revive } = backend;
/** Where names are not relative to descriptors, a directory is of no use to others. */
const opened = { backend: hasDescriptorPaths ? Backend.NODE : 0 };

// ---- Times ----

/**
 * Sets times, which Node takes as a double of seconds: that is exact to a quarter of a
 * microsecond. Where that is not enough, `touch` is called, if there is one. `fd` is the file, or
 * with a `name`, `/` in front, its directory.
 */
function setTimes(read, write, { atime, mtime }, { fd, name }) {
  const old = read();
  const wanted = { atime: atime ?? old.atimeNs, mtime: mtime ?? old.mtimeNs };
  const seconds = (time) => Number(time) / 1e9;
  system(() => write(seconds(wanted.atime), seconds(wanted.mtime)));
  const now = read();
  for (const [time, is, flag] of [[wanted.atime, now.atimeNs, '-a'], [wanted.mtime, now.mtimeNs, '-m']]) {
    if (is === time) continue;
    const date = `@${time / 1_000_000_000n}.${String(time % 1_000_000_000n).padStart(9, '0')}`;
    const args = ['-c', flag, '-d', date, ...(name === '' ? [] : ['-h']), OF_ITSELF + '0' + name];
    if (hasDescriptorPaths) spawnSync('touch', args, { stdio: [fd, 'ignore', 'ignore'] });
  }
}

// ---- Open files ----

/** `at` has the descriptors: `handle`, and `other`, which appends; one of them may be missing. */
class OpenFile {
  syncs = O_SYNC !== 0;

  constructor(at) {
    this.at = at;
  }

  get fd() {
    return this.at.handle === NONE ? this.at.other : this.at.handle;
  }

  read(position, vectors) {
    const { fd } = this;
    return move(vectors, (parts, moved) =>
      parts.length === 1
        ? fs.readSync(fd, parts[0], 0, parts[0].length, position + moved)
        : fs.readvSync(fd, parts, position + moved),
    );
  }

  write(position, vectors) {
    const { fd } = this;
    return move(vectors, (parts, moved) => fs.writevSync(fd, parts, position + moved), true);
  }

  append(vectors) {
    const { other } = this.at;
    if (other === NONE) return this.write(this.size(), vectors);
    return move(vectors, (parts) => fs.writevSync(other, parts, null), true);
  }

  #info(name) {
    const text = system(() => fs.readFileSync(`/proc/self/fdinfo/${this.fd}`, 'latin1'));
    return text.match(new RegExp(`^${name}:\\s*(\\d+)`, 'm'))[1];
  }

  end() {
    if (this.at.other === NONE) return this.size();
    const file = new OpenFile({ handle: this.at.other });
    return file.#info('pos');
  }

  /** The system's descriptors append or do not, for good: there is one of each. */
  setAppend(isSet) {
    if (!hasDescriptorPaths || this.at[isSet ? 'other' : 'handle'] !== NONE) return;
    const flags = parseInt(this.#info('flags'), 8) & (O_ACCMODE | O_SYNC | O_DSYNC);
    const fd = system(() => fs.openSync(DESCRIPTORS + this.fd, flags | (isSet ? O_APPEND : 0)));
    this.at[isSet ? 'other' : 'handle'] = fd;
  }

  #stat() {
    return system(() => fs.fstatSync(this.fd, { bigint: true }));
  }

  stat() {
    return statOf(this.#stat());
  }

  setTimes(times) {
    const { fd } = this;
    setTimes(() => this.#stat(), (atime, mtime) => fs.futimesSync(fd, atime, mtime), times, { fd, name: '' });
  }

  size() {
    return Number(this.stat().size);
  }

  resize(size) {
    system(() => fs.ftruncateSync(this.fd, size));
  }

  /** Node has no call for it: a file that another thread makes shorter meanwhile is long again. */
  allocate(end) {
    this.resize(Math.max(this.size(), end));
  }

  sync(isDataOnly) {
    system(() => (isDataOnly ? fs.fdatasyncSync : fs.fsyncSync)(this.fd));
  }

  close() {
    for (const fd of [this.at.handle, this.at.other]) if (fd !== NONE) system(() => fs.closeSync(fd));
  }
}

/** Moves the bytes of all vectors with `each`, which moves some; of writes, all that is possible. */
function move(vectors, each, isWrite = false) {
  let moved = 0;
  try {
    let parts = vectors.filter(({ length }) => length > 0);
    while (parts.length > 0) {
      if (parts[0].length > MOST_BYTES) parts = [parts[0].subarray(0, MOST_BYTES)];
      const count = system(() => each(parts, moved));
      moved += count;
      if (count === 0 || !isWrite) break;
      parts = after(parts, count);
    }
  } catch (error) {
    if (moved === 0) throw error;
  }
  return moved;
}

// ---- What is found by a name ----

/** A name in a directory that is open, and what it stood for when it was looked up. */
class Entry {
  backend = backend;
  #directory;
  #name;
  #stat;

  constructor(directory, name, stat) {
    this.#directory = directory;
    this.#name = name;
    this.#stat = stat;
    this.kind = kindOf(stat);
  }

  get path() {
    return this.#directory.at(this.#name);
  }

  stat() {
    return statOf(this.#stat);
  }

  setTimes(times) {
    this.#directory.setTimesOf(this.#name, times);
  }

  target() {
    return unless([E.INVAL, E.NOENT], () => fs.readlinkSync(this.path));
  }

  open(access) {
    if (this.kind === 'directory') return this.#directory.openDirectory(this.#name, this.#stat);
    const mode = access.write || access.truncate ? (access.read ? O_RDWR : O_WRONLY) : O_RDONLY;
    const opened = this.#directory.openFile(this.#name, mode, access);
    if (opened && access.truncate) {
      try {
        revive(opened).resize(0);
      } catch (error) {
        revive(opened).close();
        throw error;
      }
    }
    return opened;
  }
}

// ---- Directories ----

export class NodeDirectory {
  kind = 'directory';
  backend = backend;
  /** Where the system cannot find it by its descriptor: its path, and what is there. */
  #path;
  #identity;

  /** @param fd a descriptor, which is closed with it */
  constructor(fd, path) {
    this.fd = fd;
    if (hasDescriptorPaths) return;
    this.#path = path;
    this.#identity = this.stat();
  }

  get kept() {
    return { handle: this.fd, ...opened };
  }

  /** Of a path of the host's own. */
  static of(path) {
    const open = () => fs.openSync(path, O_RDONLY | O_DIRECTORY);
    return new NodeDirectory(system(open), path);
  }

  /** The path of a name in here, for one call. */
  at(name) {
    if (hasDescriptorPaths) return `${DESCRIPTORS}${this.fd}/${name}`;
    if (platform === 'win32' && name !== '.' && NO_NAME.test(name)) throw new Errno(E.INVAL);
    const path = this.#path;
    if (!isSame(fs.lstatSync(path, { bigint: true }), this.#identity)) throw new Errno(E.NOENT);
    return name === '.' ? path : `${path}/${name}`;
  }

  // ---- Looking ----

  lookup(name) {
    const options = { bigint: true, throwIfNoEntry: false };
    const stat = system(() => fs.lstatSync(this.at(name), options));
    return stat && new Entry(this, name, stat);
  }

  /** The directory of a name, to walk on through until `leave`; else what is there. */
  enter(name) {
    if (!hasDescriptorPaths) {
      const node = this.lookup(name);
      if (node?.kind !== 'directory') return node;
      return this.openDirectory(name, node.stat())?.resource ?? this.enter(name);
    }
    const flags = O_PATH | O_DIRECTORY | O_NOFOLLOW;
    const fd = unless([E.NOTDIR], () => fs.openSync(this.at(name), flags));
    if (fd !== undefined) return new NodeDirectory(fd);
    const node = this.lookup(name);
    return node?.kind === 'directory' ? this.enter(name) : node;
  }

  leave() {
    this.close();
  }

  /**
   * Whether a path of plain names leads to another directory that is open, without a link. The system is
   * asked where the two are, and walks no path: one with a link could lead out and back, and would tell
   * of names out there.
   */
  leadsTo(path, directory) {
    // What is not UTF-8 is read as this letter; and so is called what was removed.
    if (!hasDescriptorPaths || path.includes('\uFFFD') || path.endsWith(' (deleted)')) return false;
    const [to, from] = [directory, this].map(({ fd }) => system(() => fs.readlinkSync(DESCRIPTORS + fd)));
    return to === `${from === '/' ? '' : from}/${path}`;
  }

  list() {
    const entries = system(() => fs.readdirSync(this.at('.'), { withFileTypes: true }));
    return entries.map((entry) => ({ name: entry.name, kind: kindOf(entry) }));
  }

  stat() {
    return statOf(system(() => fs.fstatSync(this.fd, { bigint: true })));
  }

  // ---- Opening ----

  open() {
    return this.openDirectory('.', this.stat());
  }

  /** For good; undefined if the name is not that of a directory any more. */
  openDirectory(name, stat) {
    const path = this.at(name);
    const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    const handle = unless([E.NOTDIR, E.LOOP, E.NOENT], () => fs.openSync(path, flags));
    if (handle === undefined) return undefined;
    const resource = new NodeDirectory(handle, path);
    // Where paths are walked by the system, that may have been another one.
    if (hasDescriptorPaths || isSame(stat, resource.stat())) return { handle, resource, ...opened };
    resource.close();
    return undefined;
  }

  /** Undefined if the name is not that of a regular file. */
  openFile(name, mode, { append, sync, dsync }) {
    const isAppender = append && hasDescriptorPaths;
    const flags =
      mode | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | (isAppender ? O_APPEND : 0) | (sync ? O_SYNC : 0) | (dsync ? O_DSYNC : 0);
    // With O_EXCL the name is there already; without it, it has become something else.
    const others = mode & O_EXCL ? [E.EXIST] : [E.LOOP, E.NOENT, E.ISDIR, E.NXIO];
    const fd = unless(others, () => fs.openSync(this.at(name), flags));
    if (fd === undefined) return undefined;
    if (!(mode & O_EXCL) && !system(() => fs.fstatSync(fd)).isFile()) {
      fs.closeSync(fd);
      return undefined;
    }
    return isAppender ? { handle: NONE, other: fd, backend: Backend.NODE } : { handle: fd, other: NONE, backend: Backend.NODE };
  }

  create(name, access) {
    const mode = access.write ? (access.read ? O_RDWR : O_WRONLY) : O_RDONLY;
    return this.openFile(name, mode | O_CREAT | O_EXCL, access);
  }

  // ---- Changing ----

  setTimes(times) {
    this.setTimesOf('.', times);
  }

  setTimesOf(name, times) {
    const path = this.at(name);
    const read = () => system(() => fs.lstatSync(path, { bigint: true }));
    setTimes(read, (atime, mtime) => fs.lutimesSync(path, atime, mtime), times, { fd: this.fd, name: `/${name}` });
  }

  createDirectory(name) {
    system(() => fs.mkdirSync(this.at(name)));
  }

  createSymlink(name, target) {
    system(() => fs.symlinkSync(target, this.at(name)));
  }

  link(name, node) {
    if (node.backend !== backend) throw new Errno(E.XDEV);
    system(() => fs.linkSync(node.path, this.at(name)));
  }

  removeFile(name) {
    system(() => fs.unlinkSync(this.at(name)));
  }

  removeDirectory(name) {
    system(() => fs.rmdirSync(this.at(name)));
  }

  rename(name, to, toName) {
    system(() => fs.renameSync(this.at(name), to.at(toName)));
  }

  sync() {
    system(() => fs.fsyncSync(this.fd));
  }

  close() {
    system(() => fs.closeSync(this.fd));
  }
}
