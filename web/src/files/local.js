// The file table as a worker uses it that serves its own file calls: because the table is in
// shared memory, or because nobody else can reach the memory of the process. Directories that
// need promises (OPFS) cannot be used so.

import { contents, makeTable, openPreopens } from './open.js';
import { runNow } from './table.js';

export class LocalFiles {
  /** `listener` is told of what others must know, as FileTable says. */
  static async open(memory, files, listener) {
    const local = new LocalFiles();
    local.preopens = files.table ? null : await openPreopens(files.preopens);
    local.table = await makeTable(memory, local.preopens, files, listener);
    return local;
  }

  call = (name, args) => runNow(this.table.call(name, args));

  /** Closes all files, unless others use them; the directories in memory as they are now. */
  finish() {
    if (!this.preopens) return undefined;
    this.table.closeAll();
    return contents(this.preopens);
  }
}
