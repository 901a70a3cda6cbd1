// Runs the cases in one host, and tells the server.

import { cases, contestants, sizes } from './cases.js';
import { measure, pause } from './rounds.js';

/** What is read when it does not fall any more: workers that have ended go little by little. */
async function settled(read) {
  let before = await read();
  for (let left = 8; left > 0; left--) {
    await pause(250);
    const now = await read();
    if (now > before * 0.995) return now;
    before = now;
  }
  return before;
}

/** `parts` are what hosts do in ways of their own. */
export async function runAll(base, parts) {
  const ask = async (path, message = {}) => {
    const response = await fetch(new URL(path, base), { method: 'POST', body: JSON.stringify(message) });
    const body = await response.text();
    if (!response.ok) throw new Error(body);
    return body;
  };
  const settings = JSON.parse(await ask('settings'));
  const host = {
    ...settings,
    url: (path) => new URL(path, base).href,
    sizes: sizes(settings.isQuick),
    native: (program, args) => ask('native', { program, args }),
    resident: () => settled(async () => Number(await ask('resident'))),
    ...parts,
  };
  for (const one of cases(settings.isQuick)) {
    if (!one.name.includes(settings.filter)) continue;
    await ask('report', await measure(one, contestants, host));
  }
  await ask('done');
}
