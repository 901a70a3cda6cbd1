// Files: in memory, of the browser, of Node.

import { Engine, load, Process } from '../../index.js';
import { browsers, check, equal, failure, guest, host, isNodeLike, nodeOnly, test, text, withHandles } from '../harness.js';
import { FILL, onStage, openBelow, plot } from '../plots.js';

const run = async (preopens, args = ['/data']) => {
  const process = new Process(await load(guest('files')), { preopens, args, stdout: 'collect', stderr: 'collect' });
  const status = await process.run();
  check(status.kind === 'exited' && status.code === 0, `${JSON.stringify(status)} ${text(process.stderrBytes)}`);
  return process;
};

test('files: in memory, given and taken back', async () => {
  const given = { 'a.txt': 'text', 'b.bin': new Uint8Array([1, 2, 3]), inner: { 'c.txt': 'deep' } };
  const process = await run({ '/data': given });
  const { '/data': after } = process.files;
  equal(Object.keys(after).sort(), ['a.txt', 'b.bin', 'inner']);
  equal(text(after.inner['c.txt']), 'deep');
  equal([...(await process.readFile('/data/b.bin'))], [1, 2, 3]);
  check((await failure(process.readFile('/data/none'))).message.includes('no such file'));
});

test('files: what a guest writes can be read, and what the host writes', async () => {
  const program = await load(guest('mandelbrot'));
  const process = new Process(program, {
    preopens: { '/': {} },
    args: ['--threads', '2', '--size', '100', '--output', '/set.png'],
    stdout: 'null',
  });
  await process.run();
  const png = await process.readFile('/set.png');
  equal(text(png.subarray(1, 4)), 'PNG');
  equal(process.files['/']['set.png'].length, png.length);

  const { process: waiting, stage } = onStage(
    await plot(`(func (export "wasi_thread_start") (param i32 i32))
      (func (export "_start") (call $say (i32.const 0)) (call $until_open))`),
    { preopens: { '/d': { old: 'old' } } },
  );
  await waiting.start();
  await stage.hear();
  await waiting.writeFile('/d/new', 'new');
  equal(text(await waiting.readFile('/d/new')), 'new');
  equal(text(await waiting.readFile('/d/old')), 'old');
  check((await failure(waiting.readFile('/d/none'))).message.includes('no such file'));
  check((await failure(waiting.readFile('/elsewhere'))).message.includes('no such file'));
  stage.open();
  await waiting.wait();
  equal(text(await waiting.readFile('/d/new')), 'new');
});

test('files: names that would be paths are refused', async () => {
  const program = await load(guest('files'));
  const process = new Process(program, { preopens: { '/d': { 'a/b': '' } } });
  check((await failure(process.run())).message.includes('"a/b"'));
  check(
    (await failure(Promise.resolve().then(() => new Process(program, { preopens: { '/d': 7 } }).run()))).message.includes('/d'),
  );
});

/** Calls of WASI on `/d`, which is descriptor 3; says their errno. */
const calls = (...list) => {
  const texts = new Map();
  let at = 1024;
  const place = (string) => {
    if (!texts.has(string)) {
      texts.set(string, at);
      at += string.length + 8;
    }
    return `(i32.const ${texts.get(string)}) (i32.const ${string.length})`;
  };
  const lines = list.map(([name, ...args]) => {
    const operands = args.map((arg) =>
      typeof arg === 'string' ? place(arg) : typeof arg === 'bigint' ? `(i64.const ${arg})` : `(i32.const ${arg})`,
    );
    return `(call $say (call $${name} ${operands.join(' ')}))`;
  });
  const data = [...texts].map(([string, place]) => `(data (i32.const ${place}) "${string}")`).join('\n');
  return `
    (import "wasi_snapshot_preview1" "path_open" (func $path_open
      (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_remove_directory" (func $rmdir (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_link" (func $link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_fdstat_set_flags" (func $set_flags (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_filestat_get" (func $stat (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $set_size (param i32 i64) (result i32)))
    (import "wasi_snapshot_preview1" "fd_allocate" (func $allocate (param i32 i64 i64) (result i32)))
    (import "wasi_snapshot_preview1" "fd_filestat_set_times" (func $set_times (param i32 i64 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_filestat_set_times" (func $set_path_times
      (param i32 i32 i32 i32 i64 i64 i32) (result i32)))
    (import "stage" "say" (func $say (param i32)))
    (import "env" "memory" (memory 2 2 shared))
    ${data}
    (func (export "_start") ${lines.join('\n')})`;
};

/** Rights to read and write, and the flags of path_open. */
const RIGHTS = 0x46n;
const READING = 0x2n;
const [CREAT, DIRECTORY, EXCL, TRUNC] = [1, 2, 4, 8];
const open = (path, flags = 0, follow = 1, rights = RIGHTS) => ['path_open', 3, follow, path, flags, rights, 0n, 0, 512];
const BADF = 8;
const E = { OK: 0, BADF, FAULT: 21, EXIST: 20, INVAL: 28, ISDIR: 31, LOOP: 32, MFILE: 33, NOENT: 44, NOTDIR: 54, NOTEMPTY: 55, PERM: 63, ROFS: 69 };

async function errnosOf(list, options) {
  const { wat } = await import('../harness.js');
  const program = await load(await wat(`(module ${calls(...list)})`));
  const { process, stage } = onStage(program, options);
  const status = await process.run();
  equal(status, { kind: 'exited', code: 0 });
  return { heard: stage.heard(), process };
}

const errnos = async (list, options) => (await errnosOf(list, options)).heard;

/** What would change something below `/d`, and what may be done all the same. */
const READS = [
  [open('new', CREAT, 1, READING), E.ROFS],
  [open('old', CREAT, 1, READING), E.OK],
  [open('old', CREAT | EXCL, 1, READING), E.EXIST],
  [open('new', CREAT | EXCL, 1, READING), E.ROFS],
  [open('none/new', CREAT, 1, READING), E.NOENT],
  [open('dir', CREAT, 1, READING), E.ISDIR],
  [open('old'), E.ROFS],
  [open('old', TRUNC, 1, READING), E.ROFS],
  [open('dir', DIRECTORY, 1, READING), E.OK],
  [['path_open', 6, 1, 'inner', 0, READING, 0n, 0, 512], E.OK],
  [['path_open', 6, 1, 'inner', 0, RIGHTS, 0n, 0, 512], E.ROFS],
  [['mkdir', 3, 'other'], E.ROFS],
  [['mkdir', 6, 'other'], E.ROFS],
  [['rmdir', 3, 'dir'], E.ROFS],
  [['unlink', 3, 'old'], E.ROFS],
  [['unlink', 6, 'inner'], E.ROFS],
  [['symlink', 'old', 3, 'link'], E.ROFS],
  [['link', 3, 0, 'old', 3, 'twin'], E.ROFS],
  [['rename', 3, 'old', 3, 'dir/moved'], E.ROFS],
  [['set_size', 5, 0n], E.INVAL],
  [['allocate', 5, 0n, 100n], BADF],
  [['set_times', 5, 1n, 1n, 5], E.ROFS],
  [['set_times', 3, 1n, 1n, 5], E.ROFS],
  [['set_path_times', 3, 1, 'old', 1n, 1n, 5], E.ROFS],
  [['stat', 3, 0, 'old', 512], E.OK],
  // The other directory is one to write to, and nothing gets there by a link or a move.
  [['path_open', 4, 1, 'mine', CREAT, RIGHTS, 0n, 0, 512], E.OK],
  [['link', 3, 0, 'old', 4, 'twin'], E.ROFS],
  [['rename', 3, 'old', 4, 'moved'], E.ROFS],
  [['rename', 4, 'mine', 3, 'moved'], E.ROFS],
];

test('files: a directory for reading only', async () => {
  const options = { preopens: { '/d': { old: 'old', dir: { inner: '' } }, '/e': {} }, readOnly: ['/d'] };
  const { heard, process } = await errnosOf(READS.map(([call]) => call), options);
  equal(heard, READS.map(([, errno]) => errno));
  equal(Object.keys(process.files['/d']).sort(), ['dir', 'old']);
  equal(text(process.files['/d'].old), 'old');
  equal(Object.keys(process.files['/e']), ['mine']);
  const other = new Process(await load(guest('files')), { preopens: { '/d': {} }, readOnly: ['/e'] });
  check((await failure(other.run())).message.includes('"/e"'));
});

const WALKS = [
  [open('new', CREAT), E.OK],
  [open('new', CREAT | EXCL), E.EXIST],
  [open('new', CREAT | TRUNC), E.OK],
  [open('none'), E.NOENT],
  [open('new/x'), E.NOTDIR],
  [open('new', DIRECTORY), E.NOTDIR],
  [open('dir', DIRECTORY, 1, READING), E.OK],
  [open('.', DIRECTORY, 1, READING), E.OK],
  [open('dir'), E.ISDIR],
  [open('fresh/', CREAT), E.ISDIR],
  [open('dir/../new'), E.OK],
  [open('..'), E.PERM],
  [open('dir/../../d/new'), E.PERM],
  [open('/d/new'), E.PERM],
  [open(''), E.NOENT],
  [['mkdir', 3, 'dir'], E.EXIST],
  [['mkdir', 3, 'dir/sub/'], E.OK],
  [['mkdir', 3, 'no/sub'], E.NOENT],
  [['rmdir', 3, 'dir'], E.NOTEMPTY],
  [['unlink', 3, 'dir'], E.ISDIR],
  [['rmdir', 3, 'new'], E.NOTDIR],
  [['rename', 3, 'dir', 3, 'dir/sub/dir'], E.INVAL],
  [['rename', 3, 'new', 3, 'dir/sub'], E.ISDIR],
  [['rename', 3, 'dir', 3, 'new'], E.NOTDIR],
  [['rename', 3, 'new', 3, 'dir/moved'], E.OK],
  [['stat', 3, 0, 'new', 512], E.NOENT],
  [['stat', 3, 0, 'dir/moved', 512], E.OK],
  [['symlink', 'dir/moved', 3, 'link'], E.OK],
  [['symlink', 'loop', 3, 'loop'], E.OK],
  [['symlink', '../..', 3, 'dir/out'], E.OK],
  [open('link'), E.OK],
  [open('link', 0, 0), E.LOOP],
  [open('loop'), E.LOOP],
  [open('dir/out/new'), E.PERM],
  [['link', 3, 0, 'dir/moved', 3, 'twin'], E.OK],
  [['unlink', 3, 'dir/moved'], E.OK],
  [open('twin'), E.OK],
  [open('link'), E.NOENT],
  [['unlink', 3, 'link'], E.OK],
  [['rmdir', 3, 'dir/sub'], E.OK],
];

test('files: paths, in memory', async () => {
  const answers = await errnos(WALKS.map(([call]) => call), { preopens: { '/d': { dir: {} } } });
  WALKS.forEach(([call, errno], n) => equal(answers[n], errno, JSON.stringify(call, (_, v) => String(v))));
});

test('files: paths, in a directory of Node', async () => {
  const { mkdtempSync, mkdirSync, rmSync, existsSync } = await import('node:fs');
  const { tmpdir } = await import('node:os');
  const { join } = await import('node:path');
  const folder = mkdtempSync(join(tmpdir(), 'threadwork-files-'));
  mkdirSync(join(folder, 'dir'));
  try {
    const answers = await errnos(WALKS.map(([call]) => call), { preopens: { '/d': folder } });
    WALKS.forEach(([call, errno], n) => equal(answers[n], errno, JSON.stringify(call, (_, v) => String(v))));
    check(existsSync(join(folder, 'twin')));
    await run({ '/data': folder });
  } finally {
    rmSync(folder, { recursive: true });
  }
}, nodeOnly);

/** What is wrong, and in which order it is found, as on the engine. */
const WRONG = [
  // Nothing is opened, or made, whose number has no place.
  [['path_open', 3, 1, 'new', CREAT, RIGHTS, 0n, 0, -2], E.FAULT],
  [['stat', 3, 1, 'new', 512], E.NOENT],
  [['rename', 3, 'old', 1, 'new'], E.BADF],
  [['rename', 1, 'old', 3, 'new'], E.BADF],
  [['link', 3, 0, 'old', 1, 'new'], E.BADF],
  [['rename', 3, 'old', 77, 'new'], E.BADF],
  // Both the time that is given and the time that it is.
  [['set_path_times', 3, 1, 'nothing', 1n, 1n, 3], E.INVAL],
  [['set_path_times', 3, 1, 'nothing', 1n, 1n, 12], E.INVAL],
  // To write through, which means nothing here.
  [['set_flags', 3, 2], E.OK],
  [['set_flags', 3, 32], E.INVAL],
];

test('files: what is wrong is found in the order of the engine', async () => {
  equal(await errnos(WRONG.map(([call]) => call), { preopens: { '/d': { old: '' } } }), WRONG.map(([, errno]) => errno));
});

test('files: a FIFO cannot be opened, and blocks nobody', async () => {
  const { mkdtempSync, rmSync } = await import('node:fs');
  const { spawnSync } = await import('node:child_process');
  const { tmpdir } = await import('node:os');
  const { join } = await import('node:path');
  const folder = mkdtempSync(join(tmpdir(), 'threadwork-fifo-'));
  spawnSync('mkfifo', [join(folder, 'fifo')]);
  equal(await errnos([open('fifo')], { preopens: { '/d': folder } }), [58]);
  rmSync(folder, { recursive: true });
}, nodeOnly);

test('files: a link that leads out and back is refused, and tells of nothing out there', async () => {
  const { mkdirSync, mkdtempSync, rmSync, writeFileSync } = await import('node:fs');
  const { tmpdir } = await import('node:os');
  const { join } = await import('node:path');
  for (const target of ['../outside/../granted/real', '../nothing/../granted/real']) {
    const folder = mkdtempSync(join(tmpdir(), 'threadwork-around-'));
    const granted = join(folder, 'granted');
    for (const name of ['outside', 'granted/way/inner']) mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(granted, 'way/inner/file'), '');
    const stat = ['stat', 3, 1, 'way/inner/file', 512];
    // The second finds the directory that the first has left open.
    const list = [stat, stat, ['rename', 3, 'way', 3, 'real'], ['symlink', target, 3, 'way'], stat, open('way/inner/file')];
    equal(await errnos(list, { preopens: { '/d': granted } }), [E.OK, E.OK, E.OK, E.OK, E.PERM, E.PERM], target);
    rmSync(folder, { recursive: true });
  }
}, nodeOnly);

test('files: the limit of open files', async () => {
  const list = [open('a', CREAT), open('b', CREAT), open('c', CREAT)];
  equal(await errnos(list, { preopens: { '/d': {} }, limits: { openFiles: 2 } }), [E.OK, E.OK, E.MFILE]);
});

async function fill(end, fileMemory) {
  const { wat } = await import('../harness.js');
  const options = { preopens: { '/d': {} }, limits: { fileMemory } };
  const { process, stage } = onStage(await load(await wat(FILL.replace('END', end))), options);
  return { status: await process.run(), heard: stage.heard() };
}

test('files: the limit of files in memory', async () => {
  const NOSPC = 51;
  const { status, heard } = await fill('', 4 << 20);
  equal(status, { kind: 'exited', code: 0 });
  const [first, errno, second, again] = heard;
  equal([errno, again], [NOSPC, NOSPC]);
  // 4 MiB are 64 such pieces; tables and names need some, too. What is removed is free again.
  check(first >= 60 && first < 64, `${first} pieces`);
  equal(second, first);
  const trapped = await fill('unreachable', 4 << 20);
  equal([trapped.status.kind, trapped.status.limit, trapped.status.value], ['limit', 'fileMemory', 4 << 20]);
});

test('files: nothing is left of another process, nor of what was removed', async () => {
  const { wat } = await import('../harness.js');
  // Makes a file, removes it, and says whether a hole in another one is empty.
  const body = `(module
    (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pread" (func $read (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pwrite" (func $write (param i32 i32 i32 i64 i32) (result i32)))
    (import "stage" "say" (func $say (param i32)))
    (import "env" "memory" (memory 3 3 shared))
    (data (i32.const 16) "new")
    (func $open_new
      (if (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 3) (i32.const 1) (i64.const 0x46) (i64.const 0) (i32.const 0) (i32.const 64))
        (then unreachable)))
    (func $look (local $at i32) (local $sum i32)
      (call $open_new)
      (i32.store (i32.const 36) (i32.const 1))
      (if (call $write (i32.load (i32.const 64)) (i32.const 32) (i32.const 1) (i64.const 65535) (i32.const 40)) (then unreachable))
      (i32.store (i32.const 36) (i32.const 65535))
      (if (call $read (i32.load (i32.const 64)) (i32.const 32) (i32.const 1) (i64.const 0) (i32.const 40)) (then unreachable))
      (loop $more
        (local.set $sum (i32.add (local.get $sum) (i32.load8_u (i32.add (i32.const 65536) (local.get $at)))))
        (br_if $more (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 65535))))
      (call $say (local.get $sum))
      (drop (call $close (i32.load (i32.const 64))))
      (drop (call $unlink (i32.const 3) (i32.const 16) (i32.const 3))))
    (func (export "_start")
      (i32.store (i32.const 32) (i32.const 65536))
      (call $look)
      (memory.fill (i32.const 65536) (i32.const 1) (i32.const 65536))
      (call $open_new)
      (i32.store (i32.const 36) (i32.const 65536))
      (if (call $write (i32.load (i32.const 64)) (i32.const 32) (i32.const 1) (i64.const 0) (i32.const 40)) (then unreachable))
      (drop (call $close (i32.load (i32.const 64))))
      (drop (call $unlink (i32.const 3) (i32.const 16) (i32.const 3)))
      (memory.fill (i32.const 65536) (i32.const 0) (i32.const 65536))
      (call $look)))`;
  const program = await load(await wat(body));
  const engine = new Engine();
  for (let round = 0; round < 3; round++) {
    const secrets = new Uint8Array(1 << 20).fill(1);
    const { process, stage } = onStage(program, { preopens: { '/d': round === 1 ? { secrets } : {} }, engine });
    equal(await process.run(), { kind: 'exited', code: 0 });
    equal(stage.heard(), [0, 0], `in round ${round}`);
  }
  await engine.close();
});

test('files: what is given must find room', async () => {
  const given = { '/d': { big: new Uint8Array(2 << 20) } };
  const process = new Process(await load(guest('files')), { preopens: given, limits: { fileMemory: 1 << 20 } });
  const { code, message } = await failure(process.run());
  equal(code, 'FILE');
  check(message.includes('limits.fileMemory'), message);
});

test('files: holes take no room, and do not come back if they are too large', async () => {
  const sized = ({ size }) => `(module
    (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $resize (param i32 i64) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pread" (func $read (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pwrite" (func $write (param i32 i32 i32 i64 i32) (result i32)))
    (import "stage" "say" (func $say (param i32)))
    (import "env" "memory" (memory 1 1 shared))
    (data (i32.const 16) "new")
    (data (i32.const 32) "\\00\\01\\00\\00" "\\04\\00\\00\\00")
    (func (export "_start")
      (call $say (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 3) (i32.const 1) (i64.const 0x46) (i64.const 0) (i32.const 0) (i32.const 64)))
      (call $say (call $resize (i32.load (i32.const 64)) (i64.const ${size})))
      (i32.store (i32.const 256) (i32.const 7))
      (call $say (call $write (i32.load (i32.const 64)) (i32.const 32) (i32.const 1) (i64.const ${size - 6}) (i32.const 48)))
      (call $say (call $read (i32.load (i32.const 64)) (i32.const 32) (i32.const 1) (i64.const ${size - 4}) (i32.const 48)))
      (call $say (i32.load (i32.const 256)))))`;
  const { wat } = await import('../harness.js');
  for (const [size, comesBack] of [[100_000, true], [2 ** 41, false]]) {
    const { process, stage } = onStage(await load(await wat(sized({ size }))), { preopens: { '/d': { kept: 'kept' } } });
    equal(await process.run(), { kind: 'exited', code: 0 });
    // The upper half of the number, and two zeros.
    equal(stage.heard(), [0, 0, 0, 0, 0]);
    equal(Object.keys(process.files['/d']).sort(), comesBack ? ['kept', 'new'] : ['kept']);
    if (comesBack) equal([process.files['/d'].new.length, process.files['/d'].new[size - 6]], [size, 7]);
  }
});

/** A directory that is not in memory, for one test. */
async function withFolder(body) {
  if (isNodeLike) {
    const { mkdtempSync, rmSync } = await import('node:fs');
    const { tmpdir } = await import('node:os');
    const { join } = await import('node:path');
    const folder = mkdtempSync(join(tmpdir(), 'threadwork-kinds-'));
    return body(folder).finally(() => rmSync(folder, { recursive: true }));
  }
  const root = await navigator.storage.getDirectory();
  await root.removeEntry('threadwork-kinds', { recursive: true }).catch(() => {});
  const folder = await root.getDirectoryHandle('threadwork-kinds', { create: true });
  return body(folder).finally(() => root.removeEntry('threadwork-kinds', { recursive: true }));
}

test('files: directories of several kinds in one process', async () => {
  const XDEV = 75;
  const inOther = (path, flags = 0) => ['path_open', 4, 1, path, flags, RIGHTS, 0n, 0, 512];
  const list = [
    [open('one', CREAT), E.OK],
    [inOther('two', CREAT), E.OK],
    [open('two'), E.NOENT],
    [inOther('one'), E.NOENT],
    [['rename', 3, 'one', 4, 'three'], XDEV],
    [['rename', 4, 'two', 3, 'three'], XDEV],
    [['link', 3, 0, 'one', 4, 'three'], XDEV],
    // A number of one kind takes that of the other: 5 to 8 are open.
    [inOther('two'), E.OK],
    [open('one'), E.OK],
    [['renumber', 7, 8], E.OK],
    [['renumber', 5, 6], E.OK],
    [['close', 8], E.OK],
    [['close', 6], E.OK],
    [['close', 6], BADF],
    [['unlink', 4, 'two'], E.OK],
    [['unlink', 3, 'one'], E.OK],
  ];
  await withFolder(async (folder) => {
    const preopens = { '/d': { dir: {} }, '/other': folder };
    equal(await errnos(list.map(([call]) => call), { preopens }), list.map(([, errno]) => errno));
  });
}, { hosts: ['node', ...withHandles.hosts] });

test('files: in the origin-private file system', async () => {
  const root = await navigator.storage.getDirectory();
  await root.removeEntry('threadwork-test', { recursive: true }).catch(() => {});
  const folder = await root.getDirectoryHandle('threadwork-test', { create: true });
  await run({ '/data': folder });
  // Closed by the end of the process, so that the page may use it.
  const answers = await errnos([open('kept', CREAT), ['mkdir', 3, 'inner'], open('none'), open('inner/../kept')], {
    preopens: { '/d': folder },
  });
  equal(answers, [E.OK, E.OK, E.NOENT, E.OK]);
  const file = await (await folder.getFileHandle('kept')).getFile();
  equal(file.size, 0);
  await root.removeEntry('threadwork-test', { recursive: true });
}, withHandles);

test('files: a program with a memory of its own has files, too', async () => {
  const { wat } = await import('../harness.js');
  const unshared = calls(open('new', CREAT), open('none')).replace('(import "env" "memory" (memory 2 2 shared))', '(memory (export "memory") 2)');
  const { process, stage } = onStage(await load(await wat(`(module ${unshared})`)), { preopens: { '/d': {} } });
  equal(await process.run(), { kind: 'exited', code: 0 });
  equal(stage.heard(), [E.OK, E.NOENT]);
  equal(Object.keys(process.files['/d']), ['new']);
});

test('files: what a killed program had open is closed', async () => {
  const fs = await import('node:fs');
  const { tmpdir } = await import('node:os');
  const { join } = await import('node:path');
  const { wat } = await import('../harness.js');
  const folder = fs.mkdtempSync(join(tmpdir(), 'threadwork-killed-'));
  const text = calls(open('kept', CREAT)).replace(/\)\s*$/, '(loop (br 0)))');
  const own = text.replace('(import "env" "memory" (memory 2 2 shared))', '(memory (export "memory") 2)');
  for (const body of [text, own]) {
    const { process, stage } = onStage(await load(await wat(`(module ${body})`)), { preopens: { '/d': folder } });
    await process.start();
    await stage.hear();
    equal(openBelow(folder, fs).length > 0, true, 'it is open while it runs');
    process.kill();
    equal((await process.wait()).kind, 'killed');
    equal(openBelow(folder, fs), []);
  }
  // The same when all workers go at once.
  const engine = new Engine();
  const { process, stage } = onStage(await load(await wat(`(module ${text})`)), { preopens: { '/d': folder }, engine });
  await process.start();
  await stage.hear();
  await Promise.all([engine.close(), failure(process.wait())]);
  equal(openBelow(folder, fs), []);
  fs.rmSync(folder, { recursive: true });
}, nodeOnly);
