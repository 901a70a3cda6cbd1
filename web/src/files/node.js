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
// Windows lacks some.
const { S_IFMT, S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK = 0o60000, S_IFSOCK = 0o140000 } = fs.constants;
/** The bits that say how a file is read and written. */
const O_ACCMODE = O_WRONLY | O_RDWR;

const OF_ITSELF = '/proc/self/fd/';
/** Whether names can be relative to descriptors. */
export const hasDescriptorPaths = platform === 'linux' && fs.existsSync(OF_ITSELF);
/** By the number there is one link less to follow; it may be another's, if `/proc` is. */
const isOurs = hasDescriptorPaths && fs.readlinkSync('/proc/self') === String(pid);
const DESCRIPTORS = isOurs ? `/proc/${pid}/fd/` : OF_ITSELF;

const EXACT = { bigint: true, throwIfNoEntry: false };
const ROUNDED = { throwIfNoEntry: false };

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

/** Of an entry as a directory lists it. */
const kindOf = (entry) => {
  if (entry.isFile()) return 'file';
  if (entry.isDirectory()) return 'directory';
  if (entry.isSymbolicLink()) return 'symlink';
  if (entry.isSocket()) return 'socket';
  if (entry.isCharacterDevice()) return 'character';
  return entry.isBlockDevice() ? 'block' : 'unknown';
};

const KINDS = new Map([
  [S_IFREG, 'file'],
  [S_IFDIR, 'directory'],
  [S_IFLNK, 'symlink'],
  [S_IFSOCK, 'socket'],
  [S_IFCHR, 'character'],
  [S_IFBLK, 'block'],
]);
/** The same of a stat, whose own answers are computed with big integers. */
const kindOfMode = (mode) => KINDS.get(Number(mode) & S_IFMT) ?? 'unknown';

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
    this.kind = kindOfMode(stat.mode);
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
    const opened = this.#directory.openFile(this.#name, { ...access, write: access.write || access.truncate });
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

/** Nothing that is opened blocks, nor is a link. */
function openFlags({ read, write, append, sync, dsync }) {
  const mode = write ? (read ? O_RDWR : O_WRONLY) : O_RDONLY;
  const isAppender = append && hasDescriptorPaths;
  const flags = (isAppender ? O_APPEND : 0) | (sync ? O_SYNC : 0) | (dsync ? O_DSYNC : 0);
  return mode | flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
}

function openedFile(fd, { append }) {
  const [handle, other] = append && hasDescriptorPaths ? [NONE, fd] : [fd, NONE];
  return { handle, other, backend: Backend.NODE };
}

export class NodeDirectory {
  kind = 'directory';
  backend = backend;
  /** Whether a name in here takes one call of the system's, which leads nowhere else. */
  isDirect = hasDescriptorPaths;
  /** By its descriptor. */
  #place;
  /** Where the system cannot find it so: its path, and what is there. */
  #path;
  #identity;

  /** @param fd a descriptor, which is closed with it */
  constructor(fd, path) {
    this.fd = fd;
    this.#place = DESCRIPTORS + fd;
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
    if (hasDescriptorPaths) return `${this.#place}/${name}`;
    if (platform === 'win32' && name !== '.' && NO_NAME.test(name)) throw new Errno(E.INVAL);
    const path = this.#path;
    if (!isSame(fs.lstatSync(path, { bigint: true }), this.#identity)) throw new Errno(E.NOENT);
    return name === '.' ? path : `${path}/${name}`;
  }

  // ---- Looking ----

  lookup(name) {
    const stat = system(() => fs.lstatSync(this.at(name), EXACT));
    return stat && new Entry(this, name, stat);
  }

  /** The number of what has this name; 0 if it is not there any more. */
  inodeOf(name) {
    const path = this.at(name);
    const { ino } = system(() => fs.lstatSync(path, ROUNDED)) ?? { ino: 0 };
    return Number.isSafeInteger(ino) ? BigInt(ino) : (system(() => fs.lstatSync(path, EXACT))?.ino ?? 0n);
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
    const [to, from] = system(() => [fs.readlinkSync(directory.#place), fs.readlinkSync(this.#place)]);
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

  /** A file or a directory that is there; undefined if more has to be known of it. */
  openDirectly(name, access, isDirectory) {
    const path = this.at(name);
    const found = system(() => fs.lstatSync(path, ROUNDED));
    if (!found) throw new Errno(E.NOENT);
    // To open a FIFO or a device does something.
    if (!['file', 'directory'].includes(kindOfMode(found.mode))) return undefined;
    const flags = openFlags(access) | (isDirectory ? O_DIRECTORY : 0);
    const fd = unless([E.LOOP, E.NOTDIR, E.ISDIR, E.NXIO, E.NOENT], () => fs.openSync(path, flags));
    if (fd === undefined) return undefined;
    const kind = kindOfMode(system(() => fs.fstatSync(fd)).mode);
    if (kind === 'file') return { kind, ...openedFile(fd, access) };
    if (kind === 'directory') return { kind, handle: fd, resource: new NodeDirectory(fd), ...opened };
    fs.closeSync(fd);
    return undefined;
  }

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
  openFile(name, access, more = 0) {
    const flags = openFlags(access) | more;
    // With O_EXCL the name is there already; without it, it has become something else.
    const others = more & O_EXCL ? [E.EXIST] : [E.LOOP, E.NOENT, E.ISDIR, E.NXIO];
    const fd = unless(others, () => fs.openSync(this.at(name), flags));
    if (fd === undefined) return undefined;
    if (!(more & O_EXCL) && !system(() => fs.fstatSync(fd)).isFile()) {
      fs.closeSync(fd);
      return undefined;
    }
    return openedFile(fd, access);
  }

  create(name, access) {
    return this.openFile(name, access, O_CREAT | O_EXCL);
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
