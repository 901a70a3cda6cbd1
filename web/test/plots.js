// Short guests in the text format, and the stage that they play on.

import { load, Process } from '../index.js';
import { until, wat } from './harness.js';

/**
 * Memory below 512 and from 4096 to 8192 belongs to it:
 *
 *   0  never notified, always 0
 *   64 a subscription to the clock, in an hour
 *  128 its event
 *  192 a buffer (address, length) of 4 KiB at 4096, and the count of bytes
 *  256 counter of `$count`
 */
const PRELUDE = `
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "stage" "say" (func $say (param i32)))
  (import "stage" "open" (func $is_open (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $fd_renumber (param i32 i32) (result i32)))
  (import "env" "memory" (memory 2 64 shared))

  (data (i32.const 64)
    "\\07\\00\\00\\00\\00\\00\\00\\00" "\\00\\00\\00\\00\\00\\00\\00\\00" "\\01\\00\\00\\00\\00\\00\\00\\00"
    "\\00\\a0\\b8\\30\\46\\03\\00\\00" "\\00\\00\\00\\00\\00\\00\\00\\00" "\\00\\00\\00\\00\\00\\00\\00\\00")
  (data (i32.const 192) "\\00\\10\\00\\00" "\\00\\10\\00\\00")

  (func $compute (loop (br 0)))
  (func $wait (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
  (func $sleep
    (if (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 160))
      (then unreachable)))
  (func $read
    (loop
      (drop (call $fd_read (i32.const 0) (i32.const 192) (i32.const 1) (i32.const 200)))
      (br_if 0 (i32.load (i32.const 200)))))
  (func $write
    (loop
      (br_if 0 (i32.eqz
        (call $fd_write (i32.const 1) (i32.const 192) (i32.const 1) (i32.const 200))))))
  (func $storm
    (loop
      (drop (call $spawn (i32.const 7)))
      (br 0)))
  (func $until_open
    (loop
      (if (i32.eqz (call $is_open)) (then (drop (call $yield)) (br 1)))))

  ;; What threads do, by number; others return at once.
  (func $do (param $what i32)
    (block (block (block (block (block (block (block
      (br_table 6 0 1 2 3 4 5 6 (local.get $what)))
      (return (call $compute))) (return (call $wait))) (return (call $sleep)))
      (return (call $read))) (return (call $write))) (return (call $storm))))

  ;; Adds one, and tells those that wait for it.
  (func $count
    (drop (i32.atomic.rmw.add (i32.const 256) (i32.const 1)))
    (drop (memory.atomic.notify (i32.const 256) (i32.const -1))))
  (func $until_counted (param $n i32) (local $now i32)
    (loop $again
      (local.set $now (i32.atomic.load (i32.const 256)))
      (if (i32.lt_u (local.get $now) (local.get $n)) (then
        (drop (memory.atomic.wait32 (i32.const 256) (local.get $now) (i64.const -1)))
        (br $again)))))
`;

/** The numbers of `$do`. */
export const COMPUTE = 1;
export const WAIT = 2;
export const SLEEP = 3;
export const READ = 4;
export const WRITE = 5;
export const STORM = 6;
export const RETURN = 7;

/** A program around `body`, which may call what the prelude imports and defines. */
export async function plot(body, options) {
  return load(await wat(`(module ${PRELUDE} ${body})`), { name: 'plot.wasm', ...options });
}

/** What a plot's guest says to the test, and what the test lets it do. */
export class Stage {
  data = new SharedArrayBuffer(1 << 16);
  isOver = false;
  #words = new Int32Array(this.data);

  /** All that was said. */
  heard() {
    return [...this.#words.subarray(2, 2 + Atomics.load(this.#words, 1))];
  }

  /** Waits until so many numbers were said. */
  async hear(count = 1) {
    await until(() => Atomics.load(this.#words, 1) >= count || this.isOver);
    const heard = this.heard();
    if (heard.length < count) throw new Error('the guest has ended, and said no more');
    return heard;
  }

  /** `$is_open` is true from now on. */
  open() {
    Atomics.store(this.#words, 0, 1);
  }
}

/** A process of a plot, and the stage that it plays on. */
export function onStage(program, options) {
  const stage = new Stage();
  const imports = new URL('./stage.js', import.meta.url);
  const process = new Process(program, { stdout: 'null', ...options, imports, data: stage.data });
  const over = () => void (stage.isOver = true);
  process.wait().then(over, over);
  return { process, stage };
}

/** Runs a plot to its end: what was said, and the status. */
export async function play(program, options) {
  const { process, stage } = onStage(program, options);
  const status = await process.run();
  return { heard: stage.heard(), status, process };
}

/** A crowd: `count` threads and the main one, each says 0 and does `what`. */
export const crowd = (count, what, options) =>
  plot(
    `(func (export "wasi_thread_start") (param $id i32) (param $what i32)
       (call $say (i32.const 0)) (call $do (local.get $what)))
     (func (export "_start") (local $n i32)
       (loop
         (drop (call $spawn (i32.const ${what})))
         (local.set $n (i32.add (local.get $n) (i32.const 1)))
         (br_if 0 (i32.lt_u (local.get $n) (i32.const ${count}))))
       (call $say (i32.const 0))
       (call $do (i32.const ${what})))`,
    options,
  );

/** Grows its shared memory from one page to four, and traps if it cannot. */
export const GROWING = `
  (module
    (import "env" "memory" (memory 1 8 shared))
    (func (export "_start")
      (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
      (if (i32.eq (memory.grow (i32.const 2)) (i32.const -1)) (then unreachable))))`;

/** The descriptors of this Node that are of files in a folder. */
export const openBelow = (folder, fs) =>
  fs.readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith(folder);
    } catch {
      // Closed by now, as the one of the listing.
      return false;
    }
  });

/**
 * Writes 64 KiB to a new file until that fails; then removes it; twice, and then does END. Says
 * how many writes there were, and the errno.
 */
export const FILL = `(module
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "stage" "say" (func $say (param i32)))
  (import "env" "memory" (memory 4 4 shared))
  (data (i32.const 16) "new")
  (func $fill (local $errno i32) (local $writes i32)
    (i32.store (i32.const 32) (i32.const 65536))
    (i32.store (i32.const 36) (i32.const 65536))
    (if (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 3) (i32.const 1) (i64.const 0x46) (i64.const 0) (i32.const 0) (i32.const 64))
      (then unreachable))
    (loop $more
      (local.set $errno (call $write (i32.load (i32.const 64)) (i32.const 32) (i32.const 1) (i32.const 40)))
      (if (i32.eqz (local.get $errno)) (then
        ;; The last one may be cut short.
        (if (i32.eq (i32.load (i32.const 40)) (i32.const 65536)) (then (local.set $writes (i32.add (local.get $writes) (i32.const 1)))))
        (br $more))))
    (call $say (local.get $writes))
    (call $say (local.get $errno))
    (drop (call $close (i32.load (i32.const 64))))
    (drop (call $unlink (i32.const 3) (i32.const 16) (i32.const 3))))
  (func (export "_start") (call $fill) (call $fill) END))`;
