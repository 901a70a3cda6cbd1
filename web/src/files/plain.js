// The file calls of a process that was granted neither a directory nor a listener. All that it ever has
// open are its standard streams, so what programs ask of them at their start is answered here, and
// anything else by the supervisor, which loads the file table when somebody asks for the first time.
//
// Invariant: until somebody asks (W.ASKED) nothing has changed what the streams' descriptors are.

import { FILE_TYPES, isErrno, RIGHTS, RIGHTS_OF } from '../wasi/abi.js';
import * as E from '../wasi/errno.js';
import * as W from '../words.js';

/** The errno of a call; undefined if the supervisor has to serve it. */
export function plainFiles({ words }, memory, terminals) {
  const answers = {
    // No number stands for a granted directory.
    fd_prestat_get: () => E.BADF,
    fd_fdstat_get(fd, result) {
      const stream = fd >>> 0;
      if (Atomics.load(words, W.ASKED) !== 0) return undefined;
      if (stream >= terminals.length) return E.BADF;
      memory.bytes(result, 24).fill(0);
      memory.setU8(result, terminals[stream] ? FILE_TYPES.character : FILE_TYPES.unknown);
      memory.setU64(result + 8, rightsOfStream(stream));
      return E.SUCCESS;
    },
  };
  return (name, args) => {
    try {
      return answers[name]?.(...args);
    } catch (error) {
      if (isErrno(error)) return error.errno;
      throw error;
    }
  };
}

/** What the descriptor of a standard stream may be used for. */
export const rightsOfStream = (stream) => RIGHTS_OF.stream & ~(stream === 0 ? RIGHTS.WRITE : RIGHTS.READ);
