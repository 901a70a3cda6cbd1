// Traps as texts: what happened, and where, with the names that the module has.

import { demangle } from './demangle.js';

// Engines keep ten frames unless told.
Error.stackTraceLimit = Math.max(Error.stackTraceLimit ?? 0, 64);

/** A frame of WebAssembly in V8's, SpiderMonkey's or JavaScriptCore's form of a stack. */
const FRAME = /^\s*(?:at )?(.*?)[ @(]*(?:wasm:|https?:|file:|blob:|\/|<\?>|\[wasm).*?wasm-function\[(\d+)\](?::(0x[0-9a-f]+))?/;

/**
 * What made a guest fail, as `{message, stack}`; null if the guest has not run, because it
 * could not be linked.
 */
export function trapOf(error) {
  if (error instanceof WebAssembly.LinkError || error instanceof WebAssembly.CompileError) {
    return null;
  }
  const isForeign = typeof WebAssembly.Exception === 'function' && error instanceof WebAssembly.Exception;
  const message = isForeign
    ? 'an exception was thrown that nobody catches'
    : (error?.message ?? String(error));
  return { message, stack: wasmFrames(error?.stack ?? '') };
}

/** The guest's frames of a stack, the innermost first, one in each line. */
export function wasmFrames(stack) {
  const lines = [];
  for (const line of stack.split('\n')) {
    const [, name, index, offset] = FRAME.exec(line) ?? [];
    if (index === undefined) continue;
    // V8 puts the module's name first.
    const plain = name.replace(/^\S+?\.wasm\./, '').replace(/^wasm-function\[\d+\]$|^<anonymous>$/, '');
    const where = offset ? ` @ ${offset}` : '';
    lines.push(`  ${String(lines.length).padStart(2)}: ${demangle(plain) || `function ${index}`}${where}`);
  }
  return lines.join('\n');
}
