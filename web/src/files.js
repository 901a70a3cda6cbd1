// What a process needs besides that has directories or listeners: one script, which supervisor and
// workers load when one was granted, or when a program asks for what only the file table knows.
//
// Invariant: what is built as a file of its own has a `lock.js` of its own; a worker tells it, too,
// where its locks are counted.

export { readPath, sayOf, writePath } from './files/access.js';
export { LocalFiles } from './files/local.js';
export { contents, giveBack, informing, makeTable, openPreopens, sharedTable } from './files/open.js';
export { run } from './files/table.js';
export { Listeners } from './listeners.js';
export { countLocks } from './lock.js';
export { createSockets, Sockets } from './sockets.js';
