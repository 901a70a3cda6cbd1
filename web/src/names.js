// The names of a module's functions, from its custom section `name`, for engines that leave them
// out of a stack: JavaScriptCore writes the number of a function in their place, as long as it has
// compiled that function only while the module was still arriving, before the names.

import { Reader } from './reader.js';

const FUNCTION_NAMES = 1;

/** A map from a function's index to its name; empty where the module tells none. What is wrong costs names. */
export function functionNames(module) {
  const names = new Map();
  for (const section of WebAssembly.Module.customSections(module, 'name')) {
    const reader = new Reader(new Uint8Array(section));
    while (reader.at < reader.end) {
      const kind = reader.byte();
      const end = reader.number() + reader.at;
      if (kind === FUNCTION_NAMES) readInto(names, reader, Math.min(end, reader.end));
      reader.at = end;
    }
  }
  return names;
}

function readInto(names, reader, end) {
  for (let left = reader.number(); left > 0 && reader.at < end; left--) {
    const [index, name] = [reader.number(), reader.name()];
    if (reader.at <= end) names.set(index, name);
  }
}
