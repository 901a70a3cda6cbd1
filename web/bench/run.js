// Runs the benchmarks: `node run.js [--host HOST]... [--quick]
// [--filter TEXT] [--json FILE]`, in Node by default.
//
// What is measured is in cases.js, how in rounds.js; this builds, serves, starts the hosts and
// prints. Peers that are not here are rows that say so: Emscripten needs `emcc`,
// wasm-bindgen-rayon the nightly compiler with rust-src and the command `wasm-bindgen`,
// @emnapi/wasi-threads `npm ci` in this folder.

import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { buildAll } from './build.js';
import { startHost } from './browsers.js';
import { goals } from './goals.js';
import { serve } from './server.js';
import { packageSizes } from './sizes.js';
import { printGoals, printReport, printSizes } from './table.js';

/** A case takes less, in ms. */
const PATIENCE = 120_000;

const { values } = parseArgs({
  options: {
    host: { type: 'string', multiple: true, default: ['node'] },
    quick: { type: 'boolean', default: false },
    filter: { type: 'string', default: '' },
    json: { type: 'string' },
  },
});

const built = buildAll();
const result = {
  machine: { cpu: cpus()[0].model, cores: cpus().length, node: process.version },
  isQuick: values.quick,
  sizes: packageSizes(built),
  hosts: {},
};
printSizes(result.sizes);
for (const name of values.host) {
  console.log(`\n# ${name}`);
  const reports = await runOn(name);
  result.hosts[name] = { reports, goals: goals(reports, result.sizes) };
  printGoals(result.hosts[name].goals);
}
if (values.json) writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
const hasFailed = Object.values(result.hosts).some(({ reports }) => reports.some(({ failure }) => failure));
process.exit(hasFailed ? 1 : 0);

async function runOn(name) {
  const reports = [];
  let stop;
  let server;
  let watch;
  const gone = new Promise((done) => {
    let last = performance.now();
    watch = setInterval(() => {
      if (performance.now() - last < PATIENCE) return;
      const report = { case: `${name} itself`, unit: 's', rows: [], failure: 'says nothing any more' };
      reports.push(report);
      printReport(report);
      done();
    }, 1000);
    const settings = {
      name,
      isQuick: values.quick,
      filter: values.filter,
      cores: cpus().length,
      peers: built.peers,
    };
    server = serve({
      built,
      settings,
      report(report) {
        last = performance.now();
        reports.push(report);
        printReport(report);
      },
      done,
      resident: () => stop.resident(),
    });
    server.then(({ base }) => (stop = startHost(name, base, built.out, done)));
  });
  await gone;
  clearInterval(watch);
  stop();
  (await server).close();
  return reports;
}
