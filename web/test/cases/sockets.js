// Listeners of a process, and connections to them.

import { load, Process } from '../../index.js';
import { browsers, check, equal, failure, nodeOnly, test, wat } from '../harness.js';

/** Sends each client what it sends, until nothing more comes; one after another. */
const ECHO = `(module
  (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (memory (export "memory") 2 2 shared)
  (func $check (param i32) (if (local.get 0) (then unreachable)))
  (func (export "_start") (local $client i32)
    (i32.store (i32.const 8) (i32.const 1024))
    (loop $clients
      (call $check (call $accept (i32.const 3) (i32.const 0) (i32.const 0)))
      (local.set $client (i32.load (i32.const 0)))
      (block $done
        (loop $pieces
          (i32.store (i32.const 12) (i32.const 100000))
          (call $check (call $read (local.get $client) (i32.const 8) (i32.const 1) (i32.const 4)))
          (br_if $done (i32.eqz (i32.load (i32.const 4))))
          (i32.store (i32.const 12) (i32.load (i32.const 4)))
          (call $check (call $write (local.get $client) (i32.const 8) (i32.const 1) (i32.const 4)))
          (br $pieces)))
      (call $check (call $close (local.get $client)))
      (br $clients))))`;

/** A port that nobody has. */
async function freePort({ createServer }) {
  const server = createServer();
  await new Promise((listens) => server.listen(0, '127.0.0.1', listens));
  const { port } = server.address();
  await new Promise((closes) => server.close(closes));
  return port;
}

/** What comes back of what is sent, at once and as a whole. */
const echoOf = ({ connect }, port, bytes) =>
  new Promise((done, fails) => {
    const parts = [];
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.end(bytes));
    socket.on('data', (part) => parts.push(part));
    socket.on('end', () => done(Buffer.concat(parts)));
    socket.on('error', fails);
  });

test('sockets: clients come, send more than there is room for, and go', async () => {
  const net = await import('node:net');
  const port = await freePort(net);
  const program = await load(await wat(ECHO));
  // The second finds the address free again.
  for (let round = 0; round < 2; round++) {
    const process = new Process(program, { listeners: [`127.0.0.1:${port}`] });
    await process.start();
    const bytes = Buffer.from(Uint8Array.from({ length: 1 << 20 }, (_, n) => n ^ (n >> 8)));
    // All at once: they wait for each other.
    const echoes = await Promise.all([1, 2, 3].map((n) => echoOf(net, port, bytes.subarray(0, bytes.length / n))));
    echoes.forEach((echo, n) => check(echo.equals(bytes.subarray(0, bytes.length / (n + 1))), `${n}: ${echo.length}`));
    process.kill();
    equal((await process.wait()).kind, 'killed');
  }
}, nodeOnly);

test('sockets: an address that is none, or that others have, is refused', async () => {
  const program = await load(await wat(ECHO));
  for (const address of ['here', '127.0.0.1', '127.0.0.1:99999', ':80', 7]) {
    const error = await failure(new Process(program, { listeners: [address] }).run());
    check(error instanceof TypeError && error.message.includes(address), `${error}`);
  }
  const { createServer } = await import('node:net');
  const server = createServer();
  await new Promise((listens) => server.listen(0, '127.0.0.1', listens));
  const address = `127.0.0.1:${server.address().port}`;
  const { code, message } = await failure(new Process(program, { listeners: [address] }).run());
  equal(code, 'FILE');
  check(message.includes('listen') && message.includes('EADDRINUSE'), message);
  await new Promise((closes) => server.close(closes));
}, nodeOnly);

test('sockets: there are none in pages', async () => {
  const program = await load(await wat(ECHO));
  const error = await failure(new Process(program, { listeners: ['127.0.0.1:80'] }).run());
  check(error instanceof TypeError, `${error}`);
}, browsers);
