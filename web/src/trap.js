// Traps as texts: what happened, and where, with the names that the module has.

import { demangle } from './demangle.js';
import { textOf } from './foreign.js';
import { functionNames } from './names.js';

// Engines keep ten frames unless told.
Error.stackTraceLimit = Math.max(Error.stackTraceLimit ?? 0, 64);

// Bun writes `unknown` for WebAssembly, and knows better.
if (globalThis.Bun) {
  const lineOf = (site) => {
    const [, name] = /wasm-function\[(.*)\]$/s.exec(site.getFunctionName() ?? '') ?? [];
    return name === undefined ? `    at ${site}` : `    at ${name} (wasm:wasm-function[${/^\d+$/.test(name) ? name : 0}])`;
  };
  Error.prepareStackTrace = (error, sites) => [textOf(error), ...sites.map(lineOf)].join('\n');
}

/** A frame of WebAssembly in V8's, SpiderMonkey's or JavaScriptCore's form of a stack. */
const FRAME = /^\s*(?:at )?(.*?)[ @(]*(?:wasm:|https?:|file:|blob:|\/|<\?>|\[wasm).*?wasm-function\[(\d+)\](?::(0x[0-9a-f]+))?/;

/** Exports of modules whose stack is checked: who is called at its end, and how large it is. */
const STACK_OVERFLOW = 'threadwork:stack-overflow';
const STACK_SIZE = 'threadwork:stack-size';

/**
 * What made a guest fail, as `{message, stack}`; null if it was not the guest, but its host.
 *
 * @param {unknown} error
 * @param {object} guest
 * @param {WebAssembly.Module} guest.module
 * @param {WebAssembly.Instance} [guest.instance]
 * @param {string} [guest.larger] how the thread is given a larger stack
 */
export function trapOf(error, { module, instance, larger }) {
  if (isException(error)) {
    return { message: 'an exception was thrown that nobody catches', stack: wasmFrames(error.stack ?? '', module) };
  }
  if (!(error instanceof WebAssembly.RuntimeError) && !isOutOfCalls(error)) return null;
  const frames = framesOf(error.stack ?? '');
  const overflow = instance?.exports[STACK_OVERFLOW];
  // Functions that are exported are called by their numbers; Deno and Bun know their names only.
  const isAt = ({ name, index }) => index === overflow?.name || name.endsWith(STACK_OVERFLOW);
  if (!overflow || !frames.slice(0, 1).some(isAt)) return { message: messageOf(error), stack: textOfFrames(frames, module) };
  const size = instance.exports[STACK_SIZE].value;
  return {
    message: `the thread's stack of ${size} bytes in linear memory is used up: ${larger}`,
    stack: textOfFrames(frames.slice(1), module),
  };
}

/** JavaScriptCore says besides which of our calls it was. */
const messageOf = ({ message }) => message.replace(/ \(evaluating '.*'\)$/s, '');

const isException = (error) => typeof WebAssembly.Exception === 'function' && error instanceof WebAssembly.Exception;

/** Whether the host's stack was too small, in V8's and JavaScriptCore's or SpiderMonkey's words. */
const isOutOfCalls = (error) =>
  (error instanceof RangeError && /call stack/.test(error.message)) || error?.name === 'InternalError';

/** What is told the host of a failure that is not the guest's, as `{code, message, stack}`. */
export function failureOf(error) {
  // By its name: what is built as a file of its own has a class of its own.
  if (error?.name === 'ThreadworkError') return { code: error.code, message: error.message };
  if (error?.page !== undefined) return { code: 'HOST_FUNCTION', message: error.message, page: error.page };
  if (error instanceof WebAssembly.LinkError) return { code: 'IMPORTS', message: error.message };
  const message = `a function that the program imports failed: ${textOf(error)}`;
  return { code: 'HOST_FUNCTION', message, stack: String(error?.stack ?? '') };
}

function framesOf(stack) {
  const frames = stack.split('\n').map((line) => FRAME.exec(line) ?? []);
  return frames.map(([, name, index, offset]) => ({ name, index, offset })).filter(({ index }) => index !== undefined);
}

function textOfFrames(frames, module) {
  let names;
  const lines = frames.map(({ name, index, offset }, number) => {
    // V8 puts the module's name first.
    let plain = name.replace(/^\S+?\.wasm\./, '').replace(/^wasm-function\[\d+\]$|^<anonymous>$|^\d+$/, '');
    if (!plain) plain = (names ??= functionNames(module)).get(Number(index)) ?? '';
    const where = offset ? ` @ ${offset}` : '';
    return `  ${String(number).padStart(2)}: ${demangle(plain) || `function ${index}`}${where}`;
  });
  return lines.join('\n');
}

/** The guest's frames of a stack, the innermost first, one in each line. */
export const wasmFrames = (stack, module) => textOfFrames(framesOf(stack), module);

/** Whether a stack has frames of a guest. */
export const isInWasm = (stack) => framesOf(stack).length > 0;
