// The official tests of WASI, with files in memory, when WASI_TESTSUITE names a folder that has them: each is a
// module that says by its exit code, and what it prints, whether it found what it expects.

import { load, Process } from '../../index.js';
import { equal, host, test, text, url } from '../harness.js';

/** A folder's files as they came in JSON: bytes in base64. */
const treeOf = (entries) => {
  const valueOf = (entry) => (typeof entry === 'string' ? Uint8Array.from(atob(entry), (byte) => byte.charCodeAt(0)) : treeOf(entry));
  return Object.fromEntries(Object.entries(entries).map(([name, entry]) => [name, valueOf(entry)]));
};

for (const { path, root, args = [], env = {}, exit_code: code = 0, stdout } of host.wasiTestsuite) {
  test(`wasi-testsuite: ${path}`, async () => {
    const preopens = root ? { '/': treeOf(root) } : {};
    const program = await load(url(`/wasi-testsuite/${path}`));
    const process = new Process(program, { preopens, args, env, stdout: 'collect', stderr: 'collect' });
    equal(await process.run(), { kind: 'exited', code }, text(process.stderrBytes));
    if (stdout !== undefined) equal(text(process.stdoutBytes), stdout);
  });
}
