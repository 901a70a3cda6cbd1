// Serves the package, the guests and the pages of the tests. Everything is cross-origin
// isolated but what lies under /plain, and under a strict policy if the page asks for one.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import loadWabt from 'wabt';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
};

const ISOLATED = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};
const TRUSTED = { 'Content-Security-Policy': "script-src 'self' 'wasm-unsafe-eval'; require-trusted-types-for 'script'" };
const STRICT = { 'Content-Security-Policy': "script-src 'self' 'wasm-unsafe-eval'" };

/**
 * Starts it; `report` is called with what pages post to /report, `native` with the arguments of the
 * guest `file-programs`, for what it says natively. `wasiTestsuite` is a folder with the official tests of WASI,
 * or undefined.
 */
export async function serve({ guests, repository, wasiTestsuite, report, native }) {
  const wabt = await loadWabt();
  const compile = (text) => {
    const features = { threads: true, bulk_memory: true, mutable_globals: true, multi_value: true, multi_memory: true, memory64: true };
    const module = wabt.parseWat('test.wat', text, features);
    return Buffer.from(module.toBinary({ write_debug_names: true }).buffer);
  };

  const stalled = new Set();
  const answer = async (request) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    if (request.method === 'POST') {
      const parts = [];
      for await (const part of request) parts.push(part);
      const body = Buffer.concat(parts).toString();
      if (pathname === '/wat') return { body: compile(body), type: '.wasm' };
      if (pathname === '/report') return { body: report(JSON.parse(body)) ?? '' };
    }
    const file = (folder, rest) => join(folder, normalize(`/${rest}`));
    const [, first, ...rest] = pathname.split('/');
    const path = rest.join('/');
    if (first === 'guests') return { file: file(guests, path) };
    if (first === 'repository') return { file: file(repository, path) };
    if (first === 'wasi-testsuite' && wasiTestsuite) return { file: file(wasiTestsuite, path) };
    if (first === 'text') {
      const text = await readFile(file(join(repository, 'guests/wat'), path.replace(/wasm$/, 'wat')), 'utf8');
      return { body: compile(text), type: '.wasm' };
    }
    if (first === 'native') return { body: native(rest) };
    if (first === 'plain') return { file: file(ROOT, path), headers: {} };
    // A site of its own, whose host sets no headers, and which has moved a script.
    if (first === 'site') {
      if (path === 'old.js') return { status: 302, body: '', headers: { Location: 'new.js' } };
      return { file: file(join(ROOT, /^(sw|isolate)\.js$/.test(path) ? 'sw' : 'test/pages/site'), path), headers: {} };
    }
    if (first === 'strict') return { file: file(ROOT, path), headers: { ...ISOLATED, ...STRICT } };
    if (first === 'typed') return { body: compile('(module)'), type: '.wasm' };
    // A script that does nothing when it is asked for the first time, then the worker's.
    if (first === 'stalls') {
      if (stalled.has(path)) return { status: 302, body: '', headers: { ...ISOLATED, Location: '/src/worker.js' } };
      stalled.add(path);
      return { body: '', type: '.js' };
    }
    if (first === 'trusted') return { file: file(ROOT, path), headers: { ...ISOLATED, ...TRUSTED } };
    // Never an answer.
    if (first === 'silence') return new Promise(() => {});
    return { file: file(ROOT, pathname) };
  };

  const server = createServer(async (request, response) => {
    try {
      const { file, body, type, status = 200, headers = ISOLATED } = await answer(request);
      const content = body ?? (await readFile(file));
      response.writeHead(status, {
        'Content-Type': TYPES[type ?? extname(file ?? '')] ?? 'application/octet-stream',
        'Access-Control-Allow-Origin': '*',
        'Cross-Origin-Resource-Policy': 'cross-origin',
        'Cache-Control': 'no-store',
        ...headers,
      });
      response.end(content);
    } catch (error) {
      response.writeHead(error.code === 'ENOENT' ? 404 : 500, { 'Access-Control-Allow-Origin': '*' });
      response.end(error.message);
    }
  });
  // A test may be silent for longer than a connection is kept, and then ask on it.
  server.keepAliveTimeout = 0;
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return { base: `http://localhost:${server.address().port}/`, close: () => server.close() };
}
