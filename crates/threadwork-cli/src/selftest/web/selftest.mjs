// Runs the program of the tests as `threadwork selftest` orders it, once for each order, in
// a page or in Node. Orders and reports are JSON: see `exchange.rs`.

import { describe, load, Process } from './runtime/index.js';

/** Threads at one time; browsers fail at some number above. */
const MOST_THREADS = 256;

/** Runs what it is told at `address` until nobody is there any more. */
export async function main(address) {
  const url = (path) => new URL(path, address);
  const report = (number, outcome) =>
    fetch(url('report'), { method: 'POST', body: JSON.stringify({ number, outcome }) });
  let program;
  try {
    program = await load(url('program.wasm'));
  } catch (error) {
    return report(0, { failed: error.message });
  }
  for (;;) {
    const order = await (await fetch(url('order'))).json();
    if (order) await report(order.number, await run(program, order));
  }
}

async function run(program, { name, args, patience }) {
  try {
    const process = new Process(program, {
      arg0: name,
      args,
      stdout: 'collect',
      stderr: 'collect',
      maxThreads: MOST_THREADS,
      limits: { wallTime: patience },
    });
    const status = await process.run();
    const text = (bytes) => new TextDecoder().decode(bytes);
    const [stdout, stderr] = [process.stdoutBytes, process.stderrBytes].map(text);
    return { ended: { status, text: describe(status), stdout, stderr } };
  } catch (error) {
    return { failed: error.message };
  }
}

if (globalThis.document) main(document.baseURI);
