// Serves the package, the programs and the peers, isolated, and answers the hosts. Files may
// be kept for a while: every contestant starts its scripts again and again.

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const PACKAGE = fileURLToPath(new URL('..', import.meta.url));
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
};
const HEADERS = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'cross-origin',
  'Cache-Control': 'max-age=600',
};

export async function serve({ built, settings, report, done, resident }) {
  const questions = {
    settings: () => JSON.stringify(settings),
    report: (message) => void report(message),
    done: () => void done(),
    resident: () => String(resident()),
    native: async ({ program, args }) => {
      const { stdout } = await promisify(execFile)(join(built.native, program), args.map(String));
      return stdout;
    },
  };
  const folders = { wasm: built.wasm, emscripten: join(built.out, 'emscripten'), 'wasm-bindgen-rayon': join(built.out, 'wasm-bindgen-rayon') };

  const answer = async (request) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const [, first, ...rest] = pathname.split('/');
    if (request.method === 'POST') {
      const parts = [];
      for await (const part of request) parts.push(part);
      return (await questions[first](JSON.parse(Buffer.concat(parts).toString()))) ?? '';
    }
    const path = folders[first] ? join(folders[first], normalize(`/${rest.join('/')}`)) : join(PACKAGE, normalize(pathname));
    return readFile(path);
  };

  const server = createServer(async (request, response) => {
    try {
      const body = await answer(request);
      const { pathname } = new URL(request.url, 'http://localhost');
      const type = TYPES[extname(pathname)] ?? 'application/octet-stream';
      response.writeHead(200, { 'Content-Type': type, ...HEADERS }).end(body);
    } catch (error) {
      response.writeHead(error.code === 'ENOENT' ? 404 : 500).end(error.stderr || error.message);
    }
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return { base: `http://localhost:${server.address().port}/`, close: () => server.close() };
}

