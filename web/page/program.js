// What `threadwork` says of the program that this page runs: program.json beside it.

/**
 * @typedef {object} Description
 * @property {string} name what the program's file is called
 * @property {string} program its address
 * @property {string[]} args
 * @property {Record<string, string>} env
 * @property {number | null} maxThreads
 * @property {string[]} directories what the program can open, besides its files
 * @property {{ path: string, url: string, size: number }[]} files
 */

/** The word that stands for the number of threads. */
const THREADS = '{threads}';

/** Threads at one time where nobody says how many; browsers fail at some number above. */
const MOST_THREADS = 256;

/** @returns {Promise<Description>} */
export async function describe() {
  return (await get('program.json')).json();
}

/** Loads the files, a few at a time. @param {Description} about */
export async function loadFiles(about) {
  const files = {};
  const left = [...about.files];
  const load = async () => {
    for (let file = left.shift(); file !== undefined; file = left.shift()) {
      files[file.path] = new Uint8Array(await (await get(file.url)).arrayBuffer());
    }
  };
  await Promise.all(Array.from({ length: 6 }, load));
  return files;
}

/**
 * Arguments and environment for a run on this many threads.
 * @param {Description} about
 * @param {string[]} args
 * @param {number} threads
 */
export function commandFor(about, args, threads) {
  return {
    args: args.map((arg) => arg.replaceAll(THREADS, String(threads))),
    env: {
      ...about.env,
      RAYON_NUM_THREADS: String(threads),
      THREADWORK_PARALLELISM: String(threads),
    },
  };
}

/** How many threads it may have at one time. @param {Description} about */
export function mostThreads(about) {
  return about.maxThreads ?? MOST_THREADS;
}

/** Whether the arguments follow the number of threads. @param {string[]} args */
export function namesThreads(args) {
  return args.some((arg) => arg.includes(THREADS));
}

/** Fetches, or throws what the server says: it tells what is wrong with the program. */
export async function get(url) {
  let response;
  try {
    response = await fetch(url);
  } catch {
    throw new Error(`${url} cannot be loaded: does the server still run?`);
  }
  if (response.ok) return response;
  const plain = response.headers.get('Content-Type')?.startsWith('text/plain');
  const said = plain ? (await response.text()).trim() : '';
  throw new Error(said || `${url} cannot be loaded: the server says ${response.status}`);
}
