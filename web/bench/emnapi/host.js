// What a worker needs to know of its host, so that the same scripts do in Node.

const threads = globalThis.process?.getBuiltinModule?.('node:worker_threads');

export const post = (message) => (threads ? threads.parentPort.postMessage(message) : globalThis.postMessage(message));

export function onMessage(receive) {
  if (threads) threads.parentPort.on('message', receive);
  else globalThis.onmessage = (event) => receive(event.data);
}

export const newWorker = (url) => (threads ? new threads.Worker(url) : new Worker(url, { type: 'module' }));

export async function fetchBytes(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.arrayBuffer();
}
