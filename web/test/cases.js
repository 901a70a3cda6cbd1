// All cases, in the order in which they run.
import './cases/sections.js';
import './cases/compiler.js';
import './cases/rules.js';
import './cases/endings.js';
import './cases/guests.js';
import './cases/streams.js';
import './cases/files.js';
import './cases/sandbox.js';
import './cases/reactor.js';
import './cases/examples.js';
import './cases/shared-memory.js';
import './cases/sync.js';
import './cases/runtime.js';
import './cases/deadlock.js';
import './cases/failures.js';
import './cases/boundaries.js';
import './cases/flat.js';
