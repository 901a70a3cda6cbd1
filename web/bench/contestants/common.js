// What contestants have in common.

import { pause } from '../rounds.js';

/** A turn of the event loop, without the least time that timers have. */
export function turn() {
  const { port1, port2 } = new MessageChannel();
  return new Promise((done) => {
    port1.onmessage = () => {
      port1.close();
      done();
    };
    port2.postMessage(0);
  });
}

export async function pollUntil(condition) {
  while (!(await condition())) await turn();
}

/** When a word changed last; kept when it has not for a while. */
export async function lastChange(words) {
  let [seen, when] = [Atomics.load(words, 0), performance.now()];
  while (performance.now() - when < 30) {
    await pause(0);
    const now = Atomics.load(words, 0);
    if (now !== seen) [seen, when] = [now, performance.now()];
  }
  return when;
}

/** The last line of an example guest. */
function resultOf(output) {
  const found = /result: (\S+) seconds: (\S+) threads/.exec(output);
  if (!found) throw new Error(`the program says no result:\n${output}`);
  return { answer: found[1], seconds: Number(found[2]) };
}

/** What a program needs on all cores, as a part of what it needs on one. */
export function programRatio(host, run) {
  return {
    async sample() {
      const one = resultOf(await run(1));
      const all = resultOf(await run(host.cores));
      if (one.answer !== all.answer) throw new Error(`${one.answer} on one core, ${all.answer} on all`);
      return { cost: all.seconds / one.seconds, answer: one.answer };
    },
  };
}
