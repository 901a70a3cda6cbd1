// The smallest page: runs a program and shows what it prints. `?observed` has the program
// rewritten first, so that deadlocks would be reported.

import { describe, load, Process } from 'threadwork';

const output = document.querySelector('output');
const decoder = new TextDecoder();
const show = (bytes) => output.append(decoder.decode(bytes, { stream: true }));

try {
  const program = await load(new URL('./hello.wasm', import.meta.url), {
    deadlockDetection: location.search === '?observed',
  });
  const process = new Process(program, { stdout: show, stderr: show });
  document.title = describe(await process.run());
} catch (error) {
  document.title = `failed: ${error.message}`;
}
