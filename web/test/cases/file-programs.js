// Random programs of file calls do with files in memory what they do natively: each call returns
// the same, and the same files are left. FILE_PROGRAMS=A..B runs these seeds.

import { load, Process } from '../../index.js';
import { check, equal, guest, host, test, text, url } from '../harness.js';

/** How many run one after another in one process. */
const BATCH = 500;

/** What differs, for a reason: the call, what Linux says (any of these; or whatever it says), and what we say. */
const KNOWN = [
  // Before it opens anything, the guests' libc asks what the directory's descriptor may do.
  ['Open', ['ENOENT', 'ENAMETOOLONG'], 'EBADF'],
  ['List', ['ENOENT', 'ENAMETOOLONG'], 'EBADF'],
  // A directory has no position, as the official tests of WASI have it.
  ['Seek', null, 'EBADF'],
  // Linux looks at what is read from only if there is something to read, and after the position.
  ['Read', ['0 bytes:', 'EINVAL'], 'EISDIR'],
];

const partsOf = (line) => line.match(/^\d+ (\w+).* -> (.*)$/)?.slice(1) ?? [];

function isKnown(native, ours) {
  const [[call, expected], [, outcome]] = [partsOf(native), partsOf(ours)];
  return KNOWN.some(([name, of, said]) => name === call && said === outcome && (!of || of.includes(expected)));
}

async function compare(program, seeds) {
  const native = await (await fetch(url(`/native/${seeds}/--tree`))).text();
  const process = new Process(program, { preopens: { '/': {} }, args: [seeds, '--tree'], stdout: 'collect', stderr: 'collect' });
  equal(await process.run(), { kind: 'exited', code: 0 }, text(process.stderrBytes));
  const [expected, ours] = [native, text(process.stdoutBytes)].map((whole) => whole.split('\n'));
  let name = '';
  expected.forEach((line, n) => {
    if (line.startsWith('program')) name = line;
    const is = ours[n] ?? 'nothing';
    check(line === is || isKnown(line, is), `${name}\nnative: ${line}\nhere:   ${is}`);
  });
  equal(ours.length, expected.length);
}

test('file programs: files in memory do what Linux does', async () => {
  if (!host.isLinux) return;
  const program = await load(guest('file-programs'));
  const [from, to] = host.filePrograms.split('..').map(Number);
  for (let seed = from; seed < to; seed += BATCH) await compare(program, `${seed}..${Math.min(to, seed + BATCH)}`);
});
