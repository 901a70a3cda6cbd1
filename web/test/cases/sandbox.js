// Ways out of a granted directory, and what programs expect of descriptors.

import { load, Process } from '../../index.js';
import { browsers, check, equal, guest, host, nodeOnly, test, text } from '../harness.js';
import { openBelow } from '../plots.js';

const attack = async (args, preopen) => {
  const process = new Process(await load(guest('sandbox')), {
    preopens: { '/': preopen },
    args,
    stdout: 'collect',
    stderr: 'collect',
  });
  const status = await process.run();
  const output = text(process.stdoutBytes);
  check(output.endsWith('ok sandbox\n'), `${JSON.stringify(status)} ${output} ${text(process.stderrBytes)}`);
  return output;
};

/** Calls `body` with a folder that has `granted` and `outside`, and removes it. */
async function withFolder(body) {
  const fs = await import('node:fs');
  const { tmpdir } = await import('node:os');
  const { join } = await import('node:path');
  const folder = fs.mkdtempSync(join(tmpdir(), 'threadwork-sandbox-'));
  try {
    for (const name of ['granted', 'outside']) fs.mkdirSync(join(folder, name));
    fs.writeFileSync(join(folder, 'outside/secret'), 'outside');
    await body(folder, fs);
    // Nothing was written there, either.
    equal(fs.readdirSync(join(folder, 'outside')), ['secret']);
    equal(fs.readFileSync(join(folder, 'outside/secret'), 'utf8'), 'outside');
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

test('sandbox: no path leads out, in memory', () => attack(['attack'], {}));

test('sandbox: no path leads out of a directory of Node', async () => {
  const { spawnSync } = await import('node:child_process');
  const { createServer } = await import('node:net');
  await withFolder(async (folder, fs) => {
    const outer = `${folder}/granted/outer`;
    fs.mkdirSync(outer);
    fs.symlinkSync(`${folder}/outside`, `${outer}/absolute`);
    fs.symlinkSync('../../outside', `${outer}/up`);
    fs.symlinkSync('/proc/self/root', `${outer}/proc`);
    fs.linkSync(`${folder}/outside/secret`, `${outer}/hard`);
    spawnSync('mkfifo', [`${outer}/fifo`]);
    const server = createServer();
    await new Promise((listens) => server.listen(`${outer}/socket`, listens));
    try {
      await attack(['attack', 'host'], `${folder}/granted`);
    } finally {
      server.close();
    }
  });
}, nodeOnly);

/** Keeps swapping `swapped` for a link to `outside`, until it is ended. */
const SWAP = `
  const fs = require('node:fs');
  process.chdir(process.argv[1]);
  console.log('begun');
  for (;;) {
    try {
      fs.renameSync('granted/swapped', 'granted/hidden');
      fs.symlinkSync('../outside', 'granted/swapped');
      fs.unlinkSync('granted/swapped');
      fs.renameSync('granted/hidden', 'granted/swapped');
    } catch {
      // Whatever the guest has done there meanwhile.
      fs.rmSync('granted/hidden', { recursive: true, force: true });
      fs.rmSync('granted/swapped', { recursive: true, force: true });
      fs.mkdirSync('granted/swapped');
      fs.writeFileSync('granted/swapped/secret', 'inside');
    }
  }`;

const letsNobodyOut = async () => {
  const { spawn } = await import('node:child_process');
  await withFolder(async (folder, fs) => {
    fs.mkdirSync(`${folder}/granted/swapped`);
    fs.writeFileSync(`${folder}/granted/swapped/secret`, 'inside');
    const swapper = spawn(process.execPath, ['-e', SWAP, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise((ends) => swapper.on('exit', ends));
    try {
      await new Promise((begun) => swapper.stdout.once('data', begun));
      const output = await attack(['race', host.isFull ? '10000' : '2000'], `${folder}/granted`);
      check(!output.startsWith('found 0 '), `it was never there: ${output}`);
    } finally {
      swapper.kill('SIGKILL');
      await ended;
    }
  });
};

// In parts, each of which has the time of a test.
for (let part = host.isFull ? 10 : 1; part > 0; part--) {
  test(`sandbox: a directory that is swapped for a link all the time lets nobody out, ${part}`, letsNobodyOut, nodeOnly);
}

/** Runs a rule of the guest `unix`; `options` make it special. */
const obey = async (rule, preopen, options) => {
  const process = new Process(await load(guest('unix')), {
    preopens: { '/': preopen },
    args: [rule, '/'],
    stdout: 'collect',
    stderr: 'collect',
    ...options,
  });
  const status = await process.run();
  const output = text(process.stdoutBytes);
  check(output.endsWith('ok unix\n'), `${JSON.stringify(status)} ${output.slice(-300)} ${text(process.stderrBytes)}`);
};

for (const rule of ['names', 'times', 'lowest', 'listing', 'positions', 'append', 'table']) {
  test(`unix: ${rule}, in memory`, () => obey(rule, {}));
  test(`unix: ${rule}, in a directory of Node`, async () => {
    await withFolder(async (folder, fs) => {
      await obey(rule, `${folder}/granted`);
      equal(openBelow(folder, fs), []);
      equal(fs.readdirSync(`${folder}/granted`), []);
    });
  }, nodeOnly);
}

test('unix: streams and polls, while nobody writes', async () => {
  await obey('streams', {}, { stdin: 'pipe' });
  await obey('polls', {}, { stdin: 'pipe' });
});

// Deno and Bun give the time of all threads as that of each.
test('unix: clocks', () => obey('clocks', {}), { hosts: ['node', ...browsers.hosts] });
test('unix: yields let others run', () => obey('yields', {}));
