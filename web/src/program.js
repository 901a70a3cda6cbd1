// Programs: modules that are ready to run.

import { ThreadworkError } from './errors.js';
import { avoidCompilerBug } from './liftoff.js';
import { fetchBytes } from './fetch.js';
import { importMemory, memories, wasiMemory, withoutActiveData } from './sections.js';
import { isReusable } from './reusable.js';
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
    this.isReusable = bytes !== null && this.spawns && !this.isObserved && isReusable(bytes);
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

  /** The shared memories that every instance imports. */
  get sharedMemories() {
    return this.memories.filter(({ shared, module }) => shared && module !== undefined);
  }

  /** Which of `sharedMemories` WASI works on; -1 if that is a memory of each instance. */
  get wasiMemory() {
    const number = this.bytes ? wasiMemory(this.bytes) : 0;
    return this.sharedMemories.indexOf(this.memories[number]);
  }

  /** Whether it may make its first memory larger; that it cannot is known once it is rewritten. */
  get growsMemory() {
    return !this.isObserved || this.imports.some(({ name }) => name === 'grow:0');
  }

  /** Fails if the program imports what this host does not define. */
  checkImports() {
    const missing = this.imports.filter(
      ({ module, name, kind }) =>
        kind !== 'memory' && module !== 'threadwork' && !KNOWN_IMPORTS.has(`${module}.${name}`),
    );
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
  return 'define it in a module of yours and name that in the option `imports`';
}

/**
 * Loads a program.
 *
 * @param {string | URL | Response | Promise<Response> | BufferSource | WebAssembly.Module} source
 * @param {{name?: string, deadlockDetection?: boolean, memory?: {initial: number, maximum: number},
 *   rewriterUrl?: string | URL}} [options]
 */
export async function load(source, options = {}) {
  avoidCompilerBug();
  source = await source;
  const name = options.name ?? nameOf(source);
  if (source instanceof WebAssembly.Module) return fromModule(source, name, options);
  const compile = !options.deadlockDetection;
  const { bytes, compiled } = await fetchBytes(source, { compile });
  checkKind(bytes, name);
  if (compile) return assemble(bytes, compiled, name);
  const { rewrite } = await import('./rewriter.js');
  return assemble(await rewrite(bytes, options.rewriterUrl), null, name);
}

async function assemble(bytes, compiled, name) {
  let module;
  try {
    module = (await compiled) ?? (await WebAssembly.compile(bytes));
  } catch (error) {
    throw new ThreadworkError('COMPILE', `${name} is refused by this host's compiler: ${error.message}`, { cause: error });
  }
  // One that defines its shared memory is meant for one instance; a runtime has several.
  const importing = importMemory(bytes, 'threadwork', 'memory');
  if (importing) {
    bytes = importing;
    module = await WebAssembly.compile(bytes);
  }
  const all = memories(bytes);
  if (all.some(({ wide }) => wide)) {
    throw new ThreadworkError('MEMORY64', `${name} has a memory of 64-bit addresses; build it for wasm32`);
  }
  const later = all.some(({ shared }) => shared) ? withoutActiveData(bytes) : undefined;
  const laterModule = later ? await WebAssembly.compile(later) : module;
  return new Program({ module, laterModule, name, memories: all, bytes });
}

/** Of a compiled module the host cannot tell the limits of the memory. */
function fromModule(module, name, { memory, deadlockDetection }) {
  if (deadlockDetection) {
    throw new ThreadworkError('SOURCE', 'deadlock detection rewrites the module: load it from bytes or a URL');
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
  return new Program({ module, laterModule: module, name, memories, bytes: null });
}

function nameOf(source) {
  const url = source instanceof URL ? source.href : (source.url ?? source);
  const name = typeof url === 'string' ? decodeURI(url).split(/[?#]/)[0].split('/').at(-1) : '';
  return name || 'main.wasm';
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
