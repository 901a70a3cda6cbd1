// A real directory, where the host is Node.
//
// Symbolic links are followed by the file table, never by the system: files are opened
// without following, so that a link which appears meanwhile leads nowhere. Only regular
// files and directories can be opened: a FIFO could block where nothing wakes it.

import { nodeModule } from '../platform.js';
import { E, Errno } from '../wasi/abi.js';

const fs = nodeModule('node:fs');
const path = nodeModule('node:path');

/** Errors that both systems know by one name. */
function errno(error) {
  if (error instanceof Errno) return error;
  const known = typeof error?.code === 'string' ? E[error.code.slice(1)] : undefined;
  return new Errno(known ?? E.IO);
}

function system(call) {
  try {
    return call();
  } catch (error) {
    throw errno(error);
  }
}

class Node {
  constructor(path) {
    this.path = path;
  }

  stat() {
    const stat = system(() => fs.lstatSync(this.path, { bigint: true }));
    const { dev, ino, nlink, size, atimeNs, mtimeNs, ctimeNs } = stat;
    return { dev, ino, nlink, size, atime: atimeNs, mtime: mtimeNs, ctime: ctimeNs };
  }

  setTimes({ atime, mtime }) {
    const old = this.stat();
    const seconds = (time) => Number(time) / 1e9;
    system(() =>
      fs.lutimesSync(this.path, seconds(atime ?? old.atime), seconds(mtime ?? old.mtime)),
    );
  }
}

class File extends Node {
  kind = 'file';

  open({ read, write }) {
    const { O_RDONLY, O_WRONLY, O_RDWR, O_NOFOLLOW } = fs.constants;
    const mode = write ? (read ? O_RDWR : O_WRONLY) : O_RDONLY;
    const fd = system(() => fs.openSync(this.path, mode | O_NOFOLLOW));
    return {
      read: (at, target) => system(() => fs.readSync(fd, target, 0, target.length, at)),
      write: (at, source) => system(() => fs.writeSync(fd, source, 0, source.length, at)),
      size: () => system(() => fs.fstatSync(fd)).size,
      resize: (size) => system(() => fs.ftruncateSync(fd, size)),
      sync: () => system(() => fs.fsyncSync(fd)),
      close: () => system(() => fs.closeSync(fd)),
    };
  }
}

/** A device, a socket, a FIFO: there, and not to be opened. */
class Special extends Node {
  kind = 'unknown';

  open() {
    throw new Errno(E.NOTSUP);
  }
}

class Symlink extends Node {
  kind = 'symlink';

  target() {
    return system(() => fs.readlinkSync(this.path));
  }
}

export class NodeDirectory extends Node {
  kind = 'directory';

  #join(name) {
    return path.join(this.path, name);
  }

  lookup(name) {
    const full = this.#join(name);
    let stat;
    try {
      stat = fs.lstatSync(full);
    } catch (error) {
      if (error.code === 'ENOENT') return undefined;
      throw errno(error);
    }
    return new (classOf(stat))(full);
  }

  list() {
    const entries = system(() => fs.readdirSync(this.path, { withFileTypes: true }));
    return entries.map((entry) => ({
      name: entry.name,
      kind: classOf(entry) === Special ? 'unknown' : new (classOf(entry))('').kind,
      ino: this.lookup(entry.name)?.stat().ino ?? 0n,
    }));
  }

  createFile(name) {
    const full = this.#join(name);
    system(() => fs.closeSync(fs.openSync(full, 'wx')));
    return new File(full);
  }

  createDirectory(name) {
    system(() => fs.mkdirSync(this.#join(name)));
  }

  createSymlink(name, target) {
    system(() => fs.symlinkSync(target, this.#join(name)));
  }

  link(name, node) {
    system(() => fs.linkSync(node.path, this.#join(name)));
  }

  removeFile(name) {
    system(() => fs.unlinkSync(this.#join(name)));
  }

  removeDirectory(name) {
    system(() => fs.rmdirSync(this.#join(name)));
  }

  rename(name, to, toName) {
    system(() => fs.renameSync(this.#join(name), to.#join(toName)));
  }
}

function classOf(stat) {
  if (stat.isFile()) return File;
  if (stat.isDirectory()) return NodeDirectory;
  return stat.isSymbolicLink() ? Symlink : Special;
}
