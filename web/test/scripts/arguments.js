// Calls every function of WASI with arguments that may be anything, for a guest that only asks what to call
// next: checks each errno and, where only one thread runs, that the call has written nothing that it does not name.

import { FUNCTIONS, NAMES } from '../wasi-functions.js';

const STRINGS = ['file', 'dir', 'dir/file', 'link', 'out', '..', '.', '/etc', 'dir/../file', 'new', '', 'fifo'];

/** Random numbers, the same for the same seed. */
function randomOf(seed) {
  let state = BigInt(seed) * 0x9e3779b97f4a7c15n;
  const next = () => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let z = BigInt.asUintN(64, (state ^ (state >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return z ^ (z >> 31n);
  };
  const below = (bound) => Number(next() % BigInt(bound));
  const pick = (list) => list[below(list.length)];
  return { next, below, pick };
}

/** A number that is an address, a length or a descriptor now and then, or at the edge of one. */
function numberOf({ next, below, pick }, size) {
  const kind = below(12);
  if (kind < 3) return BigInt(below(12));
  if (kind < 7) return BigInt(below(size / 8) * 8);
  if (kind === 7) return BigInt(below(size));
  if (kind === 8) return BigInt(size - below(40));
  if (kind === 9) return pick([2n ** 64n - 1n, 2n ** 32n - 1n, 2n ** 31n, 2n ** 31n - 1n, 2n ** 63n]);
  if (kind === 10) return pick([1024n, 1025n, 4096n, 65536n, 2n ** 32n - 8n]);
  return next();
}

/** Where a call may write: addresses and lengths, by its name and arguments. */
function mayWrite(name, args, before) {
  const n = args.map((arg) => Number(BigInt.asUintN(typeof arg === 'bigint' ? 64 : 32, BigInt(arg))));
  const view = new DataView(before.buffer);
  const vectors = (at, count) => {
    const all = [];
    for (let place = at; place + 8 <= before.length && all.length < Math.min(count, 1024); place += 8) {
      all.push([view.getUint32(place, true), view.getUint32(place + 4, true)]);
    }
    return all;
  };
  switch (name) {
    case 'args_get':
    case 'environ_get':
      return [[n[0], 40], [n[1], 400]];
    case 'args_sizes_get':
    case 'environ_sizes_get':
      return [[n[0], 4], [n[1], 4]];
    case 'clock_res_get':
      return [[n[1], 8]];
    case 'clock_time_get':
      return [[n[2], 8]];
    case 'random_get':
      return [[n[0], n[1]]];
    case 'fd_fdstat_get':
      return [[n[1], 24]];
    case 'fd_filestat_get':
      return [[n[1], 64]];
    case 'fd_pread':
      return [...vectors(n[1], n[2]), [n[4], 4]];
    case 'fd_read':
      return [...vectors(n[1], n[2]), [n[3], 4]];
    case 'fd_pwrite':
    case 'sock_send':
      return [[n[4], 4]];
    case 'fd_write':
      return [[n[3], 4]];
    case 'fd_seek':
      return [[n[3], 8]];
    case 'fd_tell':
    case 'fd_prestat_get':
      return [[n[1], 8]];
    case 'fd_prestat_dir_name':
      return [[n[1], n[2]]];
    case 'fd_readdir':
      return [[n[1], n[2]], [n[4], 4]];
    case 'path_filestat_get':
      return [[n[4], 64]];
    case 'path_open':
      return [[n[8], 4]];
    case 'path_readlink':
      return [[n[3], n[4]], [n[5], 4]];
    case 'poll_oneoff':
      return [[n[1], n[2] * 32], [n[3], 4]];
    case 'sock_accept':
      return [[n[2], 4]];
    case 'sock_recv':
      return [...vectors(n[1], n[2]), [n[4], 4], [n[5], 2]];
    default:
      return [];
  }
}

export default ({ data: { words, seed, calls, checks }, memory, thread }) => {
  const counter = new Int32Array(words);
  const bytes = new Uint8Array(memory.buffer);
  let random;
  let made = 0;
  let last;

  /** Vectors, subscriptions and names that are sometimes right; the name of a file at 0. */
  const fill = () => {
    const view = new DataView(memory.buffer);
    for (let at = 0; at < bytes.length; at += 4) view.setUint32(at, Number(BigInt.asUintN(32, numberOf(random, bytes.length))), true);
    const put = (text, at) => [...text].forEach((letter, n) => (bytes[at + n] = letter.charCodeAt(0)));
    for (let at = 0; at < bytes.length; at += 512) put(random.pick(STRINGS), at);
    put('file', 0);
  };

  const check = (errno) => {
    const { name, args, before } = last;
    const what = `seed ${seed}: ${name}(${args.join(', ')})`;
    if (!(errno >= 0 && errno <= 76)) throw new Error(`${what} is ${errno}`);
    if (!before) return;
    const allowed = mayWrite(name, args, before);
    const at = before.findIndex((old, at) => old !== bytes[at] && !allowed.some(([from, length]) => at >= from && at < from + length));
    if (at >= 0) throw new Error(`${what} wrote at ${at}`);
  };

  return {
    arguments: {
      /** What to call next: its number, or -1. */
      next: (errno) => {
        if (!random) {
          random = randomOf(seed + 2 ** 20 * thread());
          if (thread() === 0) fill();
        }
        if (last) check(errno);
        if (made++ === calls) return -1;
        Atomics.add(counter, 0, 1);
        const name = random.pick(NAMES);
        const args = FUNCTIONS[name].map((type, place) => {
          const kind = random.below(4);
          // A descriptor is often one that there is; else the length of a name, if a name's place was hit.
          const number = place === 0 && kind < 3 ? BigInt(random.below(12)) : kind === 0 ? BigInt(random.below(9)) : numberOf(random, bytes.length);
          return type === 'i64' ? BigInt.asIntN(64, number) : Number(BigInt.asIntN(32, number));
        });
        last = { name, args, before: checks ? bytes.slice() : undefined };
        return NAMES.indexOf(name);
      },
      i32: (place) => last.args[place],
      i64: (place) => last.args[place],
    },
  };
};
