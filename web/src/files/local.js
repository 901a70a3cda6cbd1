// The file table as a worker uses it that serves its own file calls: those that need what is the
// system's or in memory, or all where nobody else can reach the memory of the process. Directories
// that need promises (OPFS) cannot be used so.

import { ELSEWHERE } from './descriptors.js';
import { contents, makeTable, openPreopens } from './open.js';
import { runNow } from './table.js';

export class LocalFiles {
  /** `listener` is told of what others must know, as FileTable says. */
  static async open(memory, files, listener) {
    const local = new LocalFiles();
    if (!files.table) local.preopens = await openPreopens(files, false);
    local.table = await makeTable(memory, local.preopens, files, listener);
    return local;
  }

  preopens = null;

  /** The errno of a call; undefined if somebody else has to serve it. */
  call = (name, args) => {
    try {
      return runNow(this.table.call(name, args));
    } catch (error) {
      if (error === ELSEWHERE) return undefined;
      throw error;
    }
  };

  /** Closes all files, unless others use them; the directories in memory as they are now. */
  finish() {
    if (!this.preopens) return undefined;
    this.table.closeAll();
    return contents(this.preopens);
  }
}
