// The functions that a program imports beside those of this host: the user's script makes
// them, and must make all of them. Loaded where there is such a script.

import { ThreadworkError } from './errors.js';
import { textOf } from './foreign.js';

/** Adds what the script's default export returns to `imports`. */
export async function addImports(imports, script, context) {
  try {
    const { default: define } = await import(/* @vite-ignore */ /* webpackIgnore: true */ script);
    for (const [module, names] of Object.entries(await define(context))) {
      Object.assign((imports[module] ??= {}), names);
    }
  } catch (error) {
    const message = `the script of the option \`imports\` failed: ${textOf(error)}`;
    throw new ThreadworkError('IMPORTS', message, { cause: error });
  }
}

/** Fails if something is missing: engines say so too, some without its name. */
export function checkComplete(module, imports) {
  const isMissing = ({ module, name, kind }) => {
    const found = imports[module]?.[name];
    return kind === 'function' ? typeof found !== 'function' : found === undefined;
  };
  const missing = WebAssembly.Module.imports(module).filter(isMissing);
  if (missing.length === 0) return;
  const names = missing.map(({ module, name, kind }) => `${module}.${name} (a ${kind})`).join(', ');
  throw new ThreadworkError('IMPORTS', `the script of the option \`imports\` does not define ${names}`);
}
