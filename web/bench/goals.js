// What the figures shall be. A goal that is missed is no failure: the figure is the news.

const PEERS = ['@emnapi/wasi-threads', 'Emscripten', 'wasm-bindgen-rayon'];

/** Goals, their figures, and whether they are reached; null if something was not measured. */
export function goals(reports, sizes) {
  const row = (name, who) => reports.find((report) => report.case === name)?.rows.find((row) => row.name === who);
  const median = (name, who = 'threadwork') => row(name, who)?.median ?? null;
  /** The best ratio of peers to threadwork. */
  const best = (name) => {
    const ratios = PEERS.map((who) => row(name, who)?.ratio).filter((ratio) => ratio !== undefined);
    return ratios.length > 0 ? Math.min(...ratios) : null;
  };
  const over = (part, whole) => (part === null || whole === null ? null : part / whole);
  const fastestCold = () => {
    const all = PEERS.map((who) => median('spawn, cold', who)).filter((cost) => cost !== null);
    return all.length > 0 ? Math.min(...all) : null;
  };
  const speedUp = (name) => over(1, row(name, 'native')?.ratio ?? null);
  const needed = sizes.find(({ isNeeded }) => isNeeded);
  const least = (goal, value, bound) => ({ goal, value, isReached: value === null ? null : value >= bound });
  const most = (goal, value, bound) => ({ goal, value, isReached: value === null ? null : value <= bound });
  return [
    most('warm spawn + join under 30 us', median('spawn + join, warm'), 30),
    least('warm spawn + join 100x faster than the best cold spawn of a peer', over(fastestCold(), median('spawn + join, warm')), 100),
    least('ready pool no slower than the best peer (peer / threadwork at least 1)', best('ready pool of 4'), 1),
    most('mandelbrot: parts of one core within 5 % of native', speedUp('mandelbrot, all cores / one'), 1.05),
    most('merge sort: parts of one core within 5 % of native', speedUp('merge sort, all cores / one'), 1.05),
    most('load, Process and threads: 35 KB compressed (gzip, KB)', over(needed?.gzip ?? null, 1000), 35),
  ];
}
