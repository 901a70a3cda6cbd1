// Runs a threaded program, under whatever policy the page has.
import { load, Process } from '../../index.js';

let evalWorks = true;
try {
  new Function('return 1')();
} catch {
  evalWorks = false;
}
const program = await load('/guests/rayon-mix.wasm', { deadlockDetection: true });
const status = await new Process(program, { stdout: 'null' }).run();
parent.postMessage({ isolated: crossOriginIsolated, status, evalWorks }, '*');
