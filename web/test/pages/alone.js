// Runs programs where memory cannot be shared.
import { load, Process } from '../../index.js';
import { host, wat } from '../harness.js';
import { GROWING } from '../plots.js';

host.base = location.origin;
const text = (bytes) => new TextDecoder().decode(bytes);
const run = async (name, options, args) => {
  const program = await load(`/guests/${name}.wasm`, options);
  const process = new Process(program, { args, stdout: 'collect', stderr: 'null' });
  return { status: await process.run(), output: text(process.stdoutBytes) };
};
const runs = [];
for (const deadlockDetection of [false, true]) {
  const single = await run('fib-single', { deadlockDetection }, ['12']);
  const { status: spawning } = await run('hello', { deadlockDetection }, []);
  runs.push({ single, spawning });
}
const growing = await load(await wat(GROWING), { deadlockDetection: true });
const limited = await new Process(growing, { limits: { memory: 2 << 16 } }).run();
const pool = await load('/guests/hello.wasm')
  .then((program) => new Process(program, { requireThreads: true }))
  .catch(({ message }) => message);
/** At once, before the worker has it, and after. */
const killed = [];
const endless = await load(await wat('(module (func (export "_start") (loop (br 0))))'));
for (const isLate of [false, true]) {
  const process = new Process(endless);
  const running = process.run();
  if (isLate) await process.start();
  process.kill();
  killed.push(await running);
}
const answers = new BroadcastChannel('alone');
answers.postMessage({ isolated: crossOriginIsolated, runs, limited, killed, pool });
close();
