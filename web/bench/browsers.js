// Starts a host on the page or the script, in a process group of its own, and knows what
// memory the group has.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CHROMIUM_FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const HOSTS = {
  node: {
    commands: [process.execPath],
    args: (base, _profile, out) => [fileURLToPath(new URL('./node.js', import.meta.url)), base, out],
  },
  chromium: {
    commands: ['chromium', 'chromium-browser', 'google-chrome'],
    args: (base, profile) => [...CHROMIUM_FLAGS, `--user-data-dir=${profile}`, `${base}bench/page.html`],
  },
  firefox: {
    commands: ['firefox-esr', 'firefox'],
    args: (base, profile) => ['--headless', '--no-remote', '--profile', profile, `${base}bench/page.html`],
  },
};

/** A function that ends it, with `resident()`, which is in bytes. */
export function startHost(name, base, out, ended) {
  if (!HOSTS[name]) throw new Error(`there is no host ${name}: node, chromium or firefox`);
  const { commands, args } = HOSTS[name];
  const exists = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
  const command = commands.find(exists);
  if (!command) throw new Error(`there is no ${name} here: install one of ${commands.join(', ')}`);
  const profile = mkdtempSync(join(tmpdir(), `threadwork-bench-${name}-`));
  const stdio = ['ignore', 'ignore', name === 'node' ? 'inherit' : 'ignore'];
  const child = spawn(command, args(base, profile, out), { stdio, detached: true });
  child.on('exit', () => {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    ended();
  });
  const stop = () => child.exitCode ?? process.kill(-child.pid, 'SIGKILL');
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
