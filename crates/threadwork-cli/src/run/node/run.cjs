// What `threadwork` starts Node with: the name of the script to go on with, and its
// arguments. It is as old as it can be, so that an old Node gets as far as the message.
'use strict';

const NEEDED = [20, 16];
const [major, minor] = process.versions.node.split('.').map(Number);

if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
  console.error(
    `threadwork: error: this is Node ${process.versions.node}, and --host node needs ` +
      `${NEEDED.join('.')} or newer`,
  );
  process.exitCode = 125;
} else {
  const [script, ...args] = process.argv.slice(2);
  import(`./${script}`).then(({ main }) => main(...args));
}
