// Programs: modules that are ready to run.

import { ours, ThreadworkError } from './errors.js';
import { abortable, checkSignal } from './foreign.js';
import { isNode, stayFor } from './platform.js';
import { avoidCompilerBug } from './liftoff.js';
import { fetchBytes, localPath } from './fetch.js';
import { hasTags, importMemory, memories, wasiMemory, withoutActiveData } from './sections.js';
import { STOP_AT } from './stop-bytes.js';
import { KNOWN_IMPORTS } from './wasi/abi.js';

const WASI = 'wasi_snapshot_preview1';

/** A checked and compiled module; any number of processes can be made of it. */
export class Program {
  /** @internal Use `load`. */
  constructor({ module, laterModule, name, memories, bytes }) {
    this.module = module;
    /** The module for all instances of a process but the first. */
    this.laterModule = laterModule;
    this.name = name;
    this.memories = memories;
    this.bytes = bytes;
    this.imports = WebAssembly.Module.imports(module);
    this.exports = WebAssembly.Module.exports(module);
    /** Whether an instance can run one thread after another; `threadwork:reset` is another way. */
    this.isReusable = false;
    /** The class of what serves its calls of the page, where it imports what this host does not define. */
    this.PageFunctions = null;
  }

  /** Whether it runs by itself, from `_start`; else its exports are there to be called. */
  get isCommand() {
    return this.exports.some(({ name, kind }) => name === '_start' && kind === 'function');
  }

  /** Whether it starts threads. */
  get spawns() {
    return this.imports.some(({ module, name }) => module === 'wasi' && name === 'thread-spawn');
  }

  /** Whether its waits are calls of the host, because it was rewritten, here or before. */
  get isObserved() {
    return this.exports.some(({ name }) => name === 'threadwork:enter');
  }

  /** Whether its threads look whether they are to stop, because it was rewritten for `stoppable`. */
  get isStoppable() {
    return this.exports.some(({ name }) => name === STOP_AT);
  }

  /** @internal Whether functions of Rust are in it, by their names. */
  get isOfRust() {
    const names = WebAssembly.Module.customSections(this.module, 'name').map((bytes) => new TextDecoder().decode(bytes));
    return names.some((text) => /_ZN\w+17h[0-9a-f]{16}E|_RN[vkmCI]/.test(text));
  }

  /** @internal The shared memories that every instance imports. */
  get sharedMemories() {
    return this.memories.filter(({ shared, module }) => shared && module !== undefined);
  }

  /** @internal Which of `sharedMemories` WASI works on; -1 if that is a memory of each instance. */
  get wasiMemory() {
    const number = this.bytes ? wasiMemory(this.bytes) : 0;
    return this.sharedMemories.indexOf(this.memories[number]);
  }

  /** @internal Whether it may make its first memory larger; that it cannot is known once it is rewritten. */
  get growsMemory() {
    return !this.isObserved || this.imports.some(({ name }) => name === 'grow:0');
  }

  /** @internal What it imports and this host does not define. */
  get strangers() {
    return this.imports.filter(
      ({ module, name, kind }) => kind !== 'memory' && module !== 'threadwork' && !KNOWN_IMPORTS.has(`${module}.${name}`),
    );
  }

  /** @internal Fails if the program imports what neither this host nor its user defines. */
  checkImports(isGiven) {
    const missing = this.strangers.filter(({ module, name }) => !isGiven(module, name));
    if (missing.length === 0) return;
    const names = missing.map(({ module, name }) => `${module}.${name}`).join(', ');
    throw new ThreadworkError('IMPORTS', `nobody defines ${names}: ${remedy(missing[0].module)}`);
  }
}

/** What the module of an import says about how the program was built. */
function remedy(module) {
  if (module === WASI) return 'this is no function of WASI preview 1';
  if (module === 'wasi_unstable') return 'the program was built for an old WASI; build it for wasm32-wasip1-threads';
  if (module === 'wasi') return 'of wasi-threads there is only wasi.thread-spawn';
  if (module === 'go' || module === 'gojs') return "the program was built for Go's JavaScript host; set GOOS=wasip1";
  if (module === 'wbg' || module.startsWith('__wbindgen')) return 'the program was built with wasm-bindgen; build it for wasm32-wasip1-threads without';
  if (module.startsWith('wasi:') || module === '$root') return 'the program was built for the component model; build it for wasm32-wasip1-threads';
  if (module === 'page') return 'give the functions that it calls by their names in the option `handlers`';
  return 'define it in the option `functions`, or in a module of yours that the option `imports` names';
}

/**
 * Loads a program.
 *
 * @param {string | URL | Response | Promise<Response> | BufferSource | WebAssembly.Module} source
 * @param {{name?: string, deadlockDetection?: boolean, stackCheck?: boolean, stoppable?: boolean, memory?: {initial: number, maximum: number},
 *   rewriterUrl?: string | URL, cache?: boolean, signal?: AbortSignal, onProgress?: (progress: {loaded: number, total?: number}) => void}} [options]
 */
export async function load(source, options = {}) {
  const signal = checkSignal(options.signal);
  return abortable(loadNow(source, options), signal);
}

async function loadNow(source, options) {
  avoidCompilerBug();
  source = await source;
  const name = options.name ?? nameOf(source);
  // All are code that the rewriter adds.
  const { deadlockDetection = false, stackCheck = deadlockDetection, stoppable = false } = options;
  const compile = !deadlockDetection && !stackCheck && !stoppable;
  if (source instanceof WebAssembly.Module) return fromModule(source, name, options.memory, compile);
  const { signal, onProgress } = options;
  const { bytes, compiled } = await fetchBytes(source, { compile, signal, onProgress });
  checkKind(bytes, name);
  checkWidth(bytes, name);
  if (compile) return assemble(bytes, compiled, name);
  try {
    return await loadRewritten([bytes, { stackCheck, stoppable }, options.rewriterUrl], options.cache, name);
  } catch (error) {
    throw ours(error);
  }
}

async function loadRewritten(given, isKept, name) {
  const { placeOfRewritten, rewrite } = await import('./rewriter.js');
  const place = isKept ? await placeOfRewritten(...given) : undefined;
  const found = await place?.find();
  try {
    if (found) return await assemble(found, null, name);
  } catch {
    // What was cut off or changed is made anew.
  }
  const rewritten = await rewrite(...given);
  // Nobody waits for it.
  place?.put(rewritten);
  return assemble(rewritten, null, name);
}

/** (module (func (try_table (catch_all_ref 0)) (drop) ...)): of exceptions as they are now. */
const CATCHES = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0],
  ...[10, 10, 1, 8, 0, 0x1f, 0x40, 1, 2, 0, 0x0b, 0x0b],
);
const NO_EXCEPTIONS =
  'uses exceptions (try_table), which this host does not have: run it in Node 25, Chrome 137, Firefox 131, ' +
  'Safari 18.4 or newer, or build it without them (-fno-exceptions, panic=abort)';

async function assemble(bytes, compiled, name) {
  const reusable = memories(bytes).some(({ shared }) => shared) ? import('./reusable.js') : null;
  // It is looked at when the module is there; until then a failure would count as unhandled.
  reusable?.catch(() => {});
  let module;
  try {
    // Bun does not stay alive for a compiler by itself.
    module = (await stayFor(compiled)) ?? (await stayFor(WebAssembly.compile(bytes)));
  } catch (error) {
    const isLacking = hasTags(bytes) && !WebAssembly.validate(CATCHES);
    if (isLacking) throw new ThreadworkError('EXCEPTIONS', `${name} ${NO_EXCEPTIONS}`, { cause: error });
    throw new ThreadworkError('COMPILE', `${name} is refused by this host's compiler: ${error.message}`, { cause: error });
  }
  // One that defines its shared memory is meant for one instance; a runtime has several.
  const importing = importMemory(bytes, 'threadwork', 'memory');
  if (importing) {
    bytes = importing;
    module = await stayFor(WebAssembly.compile(bytes));
  }
  const all = memories(bytes);
  const later = all.some(({ shared }) => shared) ? withoutActiveData(bytes) : undefined;
  const laterModule = later ? await stayFor(WebAssembly.compile(later)) : module;
  return complete(new Program({ module, laterModule, name, memories: all, bytes }), reusable);
}

/** Gives a program what not every one needs. */
async function complete(program, reusable) {
  if (program.strangers.length > 0) ({ PageFunctions: program.PageFunctions } = await import('./page-functions.js'));
  if (reusable && program.spawns && !program.isObserved) program.isReusable = (await reusable).isReusable(program.bytes);
  return program;
}

/** Of a compiled module the host cannot tell the limits of the memory. */
function fromModule(module, name, memory, asItIs) {
  if (!asItIs) {
    throw new ThreadworkError('SOURCE', 'deadlockDetection, stackCheck and stoppable rewrite the module: load it from bytes or a URL');
  }
  const imported = WebAssembly.Module.imports(module).filter(({ kind }) => kind === 'memory');
  if (imported.length > 0 && !memory) {
    throw new ThreadworkError(
      'SOURCE',
      'a WebAssembly.Module does not tell the limits of its memory: load from bytes or a URL, ' +
        'or give the option memory: {initial, maximum} in pages',
    );
  }
  const memories = imported.map((place) => ({
    ...place,
    minimum: memory.initial,
    maximum: memory.maximum,
    shared: true,
  }));
  return complete(new Program({ module, laterModule: module, name, memories, bytes: null }), null);
}

/** The last part of its path or URL. */
function nameOf(source) {
  const path = isNode ? localPath(source) : null;
  const url = source instanceof URL ? source.href : (source?.url ?? source);
  const text = path ?? (typeof url === 'string' ? url.split(/[?#]/)[0] : '');
  const name = text.split('/').at(-1) || 'main.wasm';
  if (path !== null) return name;
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** Says what a file is instead, where that is easy to see. */
function checkKind(bytes, name) {
  const magic = String.fromCharCode(...bytes.subarray(0, 4));
  if (magic === '\0asm' && bytes[4] === 1 && bytes[6] === 0) return;
  let what = 'is no WebAssembly module';
  if (bytes.length === 0) what = 'is empty';
  else if (magic === '\0asm') what = 'is a component; build a module for wasm32-wasip1-threads';
  else if (/^\s*\(/.test(magic)) what = 'is WebAssembly in the text format; compile it first';
  else if (magic.startsWith('<')) what = 'is a web page: is the address right?';
  throw new ThreadworkError('COMPILE', `${name} ${what}`);
}

/** Nothing here passes addresses of 64 bits on, and the toolchains with threads that we know make none. */
function checkWidth(bytes, name) {
  if (!memories(bytes).some(({ wide }) => wide)) return;
  throw new ThreadworkError('MEMORY64', `${name} has a memory of 64-bit addresses (memory64); build it for wasm32`);
}
