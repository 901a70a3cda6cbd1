// Starts a host on the page or the script, and knows what memory its process group has.

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startHost as start } from '../test/hosts.js';

const SCRIPT = fileURLToPath(new URL('./node.js', import.meta.url));

/** A function that ends it, with `resident()`, which is in bytes. */
export function startHost(name, base, out, ended) {
  const { child, stop } = start(name, { script: [SCRIPT, base, out], url: `${base}bench/page.html` }, ended);
  return Object.assign(stop, { resident: () => residentOf(child.pid) });
}

/** What a process group has in memory; what its processes share counts once. */
function residentOf(group) {
  let bytes = 0;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      // After the command, which may hold anything: state, parent, group.
      const after = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ');
      if (Number(after[2]) !== group) continue;
      const [, kibibytes] = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'));
      bytes += Number(kibibytes) * 1024;
    } catch (error) {
      // It has ended meanwhile.
      if (!['ENOENT', 'ESRCH', 'EACCES'].includes(error.code)) throw error;
    }
  }
  if (bytes === 0) throw new Error('/proc does not tell how much memory the host has');
  return bytes;
}
