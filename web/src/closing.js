// Closes what the workers of a process have left open when they could not do so themselves: in Node
// descriptors are the whole program's.

import { Descriptors } from './files/descriptors.js';
import { revive } from './files/node.js';

/** Closes what is in a file table that nobody uses any more. */
export function closeAll(table) {
  new Descriptors(table, { revive: [undefined, revive], isOwner: false }).closeAll();
}
