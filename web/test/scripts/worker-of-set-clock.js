// The workers' script while the system's clock is set: by `?by=` ms at the moment `?at=`. Who begins after
// that is told by the host that it began by the new time, as in Chromium.

import { setClock } from '../clock.js';

const asked = new URL(import.meta.url).searchParams;
const [at, by] = ['at', 'by'].map((name) => Number(asked.get(name)));
const { now } = setClock({ at, by });
const { timeOrigin } = performance;
if (now() >= at) Object.defineProperty(performance, 'timeOrigin', { value: timeOrigin + by });

await import('../../src/worker.js');
