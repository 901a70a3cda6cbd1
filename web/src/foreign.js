// What comes from outside: functions, chunks, numbers and addresses that the user gives. Whatever
// they are or do, the error reaches the user, and nothing of ours is left half done.

import { isNode, nodeModule } from './platform.js';

/** What an error says; anything can be thrown. */
export function textOf(error) {
  try {
    return String(error?.message ?? error);
  } catch {
    return 'something that cannot be shown';
  }
}

/** Calls a function of the user's. What it throws, or breaks its promise with, goes to `broken`. */
export function callOut(broken, body, ...args) {
  try {
    const result = body(...args);
    if (typeof result?.then === 'function') result.then(undefined, broken);
  } catch (error) {
    broken(error);
  }
}

/** The bytes of text, a buffer or a view. */
export function bytesOf(value) {
  if (typeof value === 'string') return new TextEncoder().encode(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  const tag = Object.prototype.toString.call(value);
  if (tag === '[object ArrayBuffer]' || tag === '[object SharedArrayBuffer]') return new Uint8Array(value);
  throw new TypeError(`${textOf(value)} is neither bytes nor text`);
}

/** A time in ms that the user gives; Infinity is for ever. */
export function checkTime(name, value) {
  if (typeof value === 'number' && value >= 0) return value;
  throw new RangeError(`${name} must be a number of ms from 0 on, or Infinity`);
}

/** A number of things that the user gives. */
export function checkCount(name, value, most = Infinity) {
  if ((Number.isInteger(value) || value === Infinity) && value >= 0 && value <= most) return value;
  throw new RangeError(`${name} must be a whole number from 0 to ${most}`);
}

/** A function that the user gives. */
export function checkFunction(name, value) {
  if (typeof value === 'function') return value;
  throw new TypeError(`${name} must be a function`);
}

/** An AbortSignal that the user gives, of this page or another, or none. */
export function checkSignal(signal) {
  if (signal === undefined) return signal;
  if (typeof signal?.aborted === 'boolean' && typeof signal.addEventListener === 'function') return signal;
  throw new TypeError('signal must be an AbortSignal');
}

/** Acts once, with the signal's reason, when it is aborted: at once if it is. Returns how to prevent it. */
export function onAbort(signal, act) {
  if (signal?.aborted) act(signal.reason);
  if (!signal || signal.aborted) return () => {};
  const listener = () => act(signal.reason);
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}

/** A promise that is broken with the signal's reason if that is aborted before. */
export function abortable(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const forget = onAbort(signal, reject);
    promise.then(resolve, reject).finally(forget);
  });
}

/** The address that a worker finds a script at which the user names as it is named here. */
export function absolute(url) {
  const text = String(url);
  if (isNode && !isUrl(text)) return nodeModule('node:url').pathToFileURL(text).href;
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  return new URL(text, isNode ? undefined : base).href;
}

/** Whether a text is a URL, where it may be a path, too; one letter is a drive. */
export const isUrl = (text) => /^[a-z][a-z\d+.-]+:/i.test(text);
