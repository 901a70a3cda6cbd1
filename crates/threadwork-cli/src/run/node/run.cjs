// What `threadwork` starts Node with: the name of the script to go on with, and its
// arguments; what that fails with is told in one line. It is as old as it can be, so that an old
// Node gets as far as the message.
'use strict';

const NEEDED = [20, 16];
const CANNOT_RUN = 125;
/** What to do where the system refuses what Node needs, by what Node says of it. */
const REMEDIES = [
  [/\bEMFILE\b/, 'the system lets Node open too few files: raise the limit on them (ulimit -n)'],
  [/could not allocate memory/, 'a memory takes 8 GiB of address space: raise the limit on it (ulimit -v)'],
];
const [major, minor] = process.versions.node.split('.').map(Number);

function fail(message) {
  const found = REMEDIES.find(([said]) => said.test(message));
  const text = message.replace(/\s+/g, ' ') + (found ? `; ${found[1]}` : '');
  process.stderr.write(`threadwork: error: ${text}\n`, () => process.exit(CANNOT_RUN));
}

if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
  fail(`this is Node ${process.versions.node}, and --host node needs ${NEEDED.join('.')} or newer`);
} else {
  const [script, ...args] = process.argv.slice(2);
  import(`./${script}`).then(({ main }) => main(...args)).catch((error) => fail(error.message));
}
