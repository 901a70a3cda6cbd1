// The file table of a process whose memory nobody else can reach: its only thread serves
// its file calls itself. Directories that need promises (OPFS) cannot be used so.

import { contents, openPreopens } from './open.js';
import { FileTable, runNow } from './table.js';

export class LocalFiles {
  /** `listener` is told of what others must know, as FileTable says. */
  static async open(memory, files, listener) {
    const local = new LocalFiles();
    local.preopens = await openPreopens(files.preopens);
    local.table = new FileTable(memory, { ...files, preopens: local.preopens, ...listener });
    return local;
  }

  call = (name, args) => runNow(this.table.call(name, args));

  /** Closes all files; the directories in memory as they are now. */
  finish() {
    runNow(this.table.closeAll());
    return contents(this.preopens);
  }
}
