// All cases, in the order in which they run.
import './cases/sections.js';
import './cases/compiler.js';
import './cases/rules.js';
import './cases/endings.js';
import './cases/guests.js';
import './cases/streams.js';
import './cases/files.js';
import './cases/reactor.js';
import './cases/deadlock.js';
import './cases/failures.js';
import './cases/flat.js';
