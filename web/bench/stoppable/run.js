// What it costs that threads look whether they are to stop: `node bench/stoppable/run.js [--host HOST]...`,
// in Node by default, and on whatever the tests run on.
//
// Each guest is run as it is, rewritten without looks, and rewritten with them (`stoppable`), in an
// order that changes; the best times are compared, since whatever else runs only adds to a time. Needs the guests in the target folder and the
// rewriter: `node test/run.js --filter none` builds both.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startHost } from '../../test/hosts.js';
import { serve } from '../../test/server.js';

const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url));
const TARGET = process.env.CARGO_TARGET_DIR ?? join(REPOSITORY, 'target');

const { values } = parseArgs({ options: { host: { type: 'string', multiple: true, default: ['node'] } } });
let report;
const guests = join(TARGET, 'guests/wasm32-wasip1-threads/release');
const server = await serve({ guests, repository: REPOSITORY, report: (message) => report(message) });
for (const name of values.host) {
  await new Promise((done) => {
    const script = [fileURLToPath(new URL('./measure.js', import.meta.url)), server.base];
    const host = startHost(name, { script, url: `${server.base}bench/stoppable/page.html` }, done);
    report = (message) => {
      if (message.done) host.stop();
      else console.log(`${name}: ${message.line}`);
    };
  });
}
server.close();
