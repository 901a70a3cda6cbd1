// The bug of Node 20's baseline compiler.

import { check, nodeOnly, test } from '../harness.js';
import { avoidCompilerBug, hasCompilerBug } from '../../src/liftoff.js';

test('compiler: what is compiled after the self-test keeps locals across a wait', async () => {
  avoidCompilerBug();
  check(!hasCompilerBug(1), 'a local variable was lost');
}, nodeOnly);

test('compiler: the self-test finds the bug of Node 20', async () => {
  // Flags are the process's, so a Node of its own looks.
  const { spawnSync } = await import('node:child_process');
  const script = `import { hasCompilerBug } from ${JSON.stringify(new URL('../../src/liftoff.js', import.meta.url).href)};
    process.exit(hasCompilerBug() ? 1 : 0)`;
  const look = (...flags) =>
    spawnSync(process.execPath, [...flags, '--input-type=module', '-e', script]).status;
  check(look('--no-liftoff') === 0, 'without the baseline compiler there is no bug');
  const isOld = Number(process.versions.node.split('.')[0]) <= 20;
  if (isOld) check(look() === 1, 'Node 20 has the bug');
}, nodeOnly);
