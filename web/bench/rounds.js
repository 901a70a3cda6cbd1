// How a case is measured. In each round every contestant gives one sample, in an order that
// changes; ratios are taken inside the round, and what is reported is their median. So what
// the machine does meanwhile meets all alike.
//
// A sample is a cost: less is better. A contestant that cannot be set up is a row that says
// why. One that was set up and then fails, or gives another answer, fails the case.

/** Between two samples, in ms. */
const REST = 100;
/** Nothing here takes longer, unless it hangs. */
const PATIENCE = 20_000;

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** `promise`, unless it is not kept in time. */
export async function within(milliseconds, promise, what) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`${what}: nothing after ${milliseconds / 1000} s`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export function quantile(numbers, part) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at - Math.floor(at));
}

/** A fixed sequence of numbers below `end`. */
function shuffler() {
  let state = 1;
  return (end) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * end);
  };
}

/** Measures one case: rows, the baseline first. */
export async function measure({ name, unit, method, rounds, budget }, contestants, host) {
  const rows = [];
  for (const { name: who, [method]: setUp } of contestants) {
    const row = { name: who, costs: [] };
    if (!setUp) continue;
    rows.push(row);
    try {
      row.contestant = await within(PATIENCE, setUp(host), 'setting up');
    } catch (error) {
      row.reason = error.message;
    }
  }
  const ready = rows.filter(({ contestant }) => contestant);
  const report = { case: name, unit };
  try {
    await sampleAll(ready, rounds, budget);
  } catch (error) {
    report.failure = error.message;
  }
  for (const { contestant } of ready) await contestant.close?.();
  const baseline = ready[0];
  report.rows = rows.map(({ name, reason, costs }) => {
    if (reason || report.failure || costs.length === 0) return { name, reason: reason ?? report.failure };
    const ratios = costs.map((cost, round) => cost / baseline.costs[round]);
    const [median, p10, p90] = [0.5, 0.1, 0.9].map((part) => quantile(costs, part));
    return { name, median, p10, p90, ratio: quantile(ratios, 0.5), rounds: costs.length };
  });
  return report;
}

async function sampleAll(ready, rounds, budget) {
  const below = shuffler();
  const begin = performance.now();
  let known;
  for (let round = 0; round < rounds; round++) {
    // Two rounds, whatever they take.
    if (round > 1 && performance.now() - begin > budget) return;
    const left = [...ready];
    while (left.length > 0) {
      const [row] = left.splice(below(left.length), 1);
      const { cost, answer } = await within(PATIENCE, row.contestant.sample(), row.name);
      if (!Number.isFinite(cost)) throw new Error(`${row.name} says that it cost ${cost}`);
      if (answer !== undefined) known ??= answer;
      if (answer !== undefined && answer !== known) {
        throw new Error(`${row.name} answers ${answer}, and others ${known}`);
      }
      row.costs.push(cost);
      // Not everybody waits until the workers are gone; the next shall not pay for them.
      await pause(REST);
    }
  }
}
