// Runs programs where memory cannot be shared.
import { load, Process } from '../../index.js';

const text = (bytes) => new TextDecoder().decode(bytes);
const run = async (name, args) => {
  const process = new Process(await load(`/guests/${name}.wasm`), { args, stdout: 'collect', stderr: 'null' });
  return { status: await process.run(), output: text(process.stdoutBytes) };
};
const single = await run('fib-single', ['12']);
const { status: spawning } = await run('hello', []);
const pool = await load('/guests/hello.wasm')
  .then((program) => new Process(program, { requireThreads: true }))
  .catch(({ message }) => message);
parent.postMessage({ isolated: crossOriginIsolated, single, spawning, pool }, '*');
