// The hosts that tests and benchmarks run on: where each is found, and how it is started on a
// script or a page, in a process group of its own.
//
// Deno and Bun are what the PATH has, or else what npm installs into test/hosts, once they are
// asked for: 100 MB each. WebKit is GTK's, from Debian's packages webkit2gtk-driver and xvfb.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What Safari has as well, and that pages may open windows. */
const WEBKIT = ['--features=StorageAPI,FileSystem,AccessHandle', '--javascript-can-open-windows-automatically=true'];
/** How long a host may take to end well, in ms. */
const GRACE = 5000;
const FROM_NPM = fileURLToPath(new URL('./hosts/', import.meta.url));

const HOSTS = {
  node: { isPage: false, find: () => process.execPath, args: (script) => script },
  deno: { isPage: false, find: () => fromNpm('deno'), args: (script) => ['run', '--allow-all', '--no-config', ...script] },
  bun: { isPage: false, find: () => fromNpm('bun'), args: (script) => script },
  chromium: {
    isPage: true,
    find: () => inPath('chromium', 'chromium-browser', 'google-chrome'),
    args: (url, profile) => [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-popup-blocking',
      `--user-data-dir=${profile}`,
      url,
    ],
  },
  firefox: {
    isPage: true,
    find: () => inPath('firefox-esr', 'firefox'),
    args: (url, profile) => {
      // Its way to say that pages may open windows.
      writeFileSync(join(profile, 'user.js'), 'user_pref("dom.disable_open_during_load", false);\n');
      return ['--headless', '--no-remote', '--profile', profile, url];
    },
  },
  webkit: {
    isPage: true,
    find: () => inPath('xvfb-run'),
    args: (url) => ['--auto-servernum', miniBrowser(), ...WEBKIT, url],
    // Without it an isolated page has no SharedArrayBuffer. All that it writes is in the profile.
    env: (profile) => ({ JSC_useSharedArrayBuffer: '1', HOME: profile, TMPDIR: profile, XDG_RUNTIME_DIR: profile, XDG_DATA_HOME: profile, XDG_CACHE_HOME: profile }),
  },
};

export const hostNames = Object.keys(HOSTS);

/** The first of these commands that the PATH has. */
function inPath(...commands) {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const found = commands.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
  if (!found) throw new Error(`there is no ${commands[0]} here: install one of ${commands.join(', ')}`);
  return found;
}

function subfolders(folder) {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name));
}

/** WebKit's own small browser, which is in no PATH. */
function miniBrowser() {
  const folders = ['/usr/libexec', '/usr/lib', ...subfolders('/usr/lib')].flatMap(subfolders);
  const found = folders
    .filter((folder) => /\/webkit2?gtk-[\d.]+$/.test(folder))
    .map((folder) => join(folder, 'MiniBrowser'))
    .find((path) => existsSync(path));
  if (!found) throw new Error('there is no WebKit here: install webkit2gtk-driver');
  return found;
}

function fromNpm(name) {
  try {
    return inPath(name);
  } catch {
    const command = join(FROM_NPM, 'node_modules', name, name === 'bun' ? 'bin/bun.exe' : 'deno');
    if (!existsSync(command)) install();
    return command;
  }
}

/** Their packages put the programs in place when they are installed: scripts of theirs have to run. */
function install() {
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: FROM_NPM, stdio: 'inherit' });
  if (status !== 0) throw new Error('npm cannot install Deno and Bun: put them into the PATH');
}

/** Whether a host has pages. */
export const isPage = (name) => hostOf(name).isPage;

function hostOf(name) {
  if (!HOSTS[name]) throw new Error(`there is no host ${name}: ${hostNames.join(', ')}`);
  return HOSTS[name];
}

/**
 * Starts one on a page, or on a script and its arguments; `ended` is called when it has ended.
 * Returns its process, and how to stop it.
 */
export function startHost(name, { url, script }, ended) {
  const { find, args, env, isPage } = hostOf(name);
  const command = find();
  const profile = mkdtempSync(join(tmpdir(), `threadwork-${name}-`));
  const child = spawn(command, args(isPage ? url : script, profile), {
    stdio: isPage ? 'ignore' : ['ignore', 'inherit', 'inherit'],
    // Its children are of its process group.
    detached: true,
    env: { ...process.env, ...env?.(profile) },
  });
  child.on('exit', () => {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    ended();
  });
  const signal = (number) => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid, number);
  };
  const stop = () => {
    // Xvfb would leave the lock of its display.
    if (name === 'webkit') signal('SIGTERM');
    else signal('SIGKILL');
    setTimeout(() => signal('SIGKILL'), GRACE).unref();
  };
  return { child, stop };
}
