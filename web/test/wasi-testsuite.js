// What a copy of the official tests of WASI has for preview 1: modules, what each is started with, and what it
// shall do.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Beside each of these folders' modules is a `.json` for it, unless it needs nothing. */
const SUITES = ['rust', 'c', 'assemblyscript'].map((language) => `tests/${language}/testsuite/wasm32-wasip1`);

/** A folder's files, in base64. */
function treeOf(folder) {
  const entries = readdirSync(folder, { withFileTypes: true });
  return Object.fromEntries(
    entries.map((entry) => {
      const path = join(folder, entry.name);
      return [entry.name, entry.isDirectory() ? treeOf(path) : readFileSync(path, 'base64')];
    }),
  );
}

/** All tests of the copy in `folder`. */
export function testsOf(folder) {
  return SUITES.flatMap((suite) => {
    const modules = readdirSync(join(folder, suite)).filter((name) => name.endsWith('.wasm'));
    return modules.map((name) => {
      const settings = join(folder, suite, name.replace(/wasm$/, 'json'));
      const { root, ...rest } = existsSync(settings) ? JSON.parse(readFileSync(settings, 'utf8')) : {};
      return { path: `${suite}/${name}`, root: root && treeOf(join(folder, suite, root)), ...rest };
    });
  });
}
