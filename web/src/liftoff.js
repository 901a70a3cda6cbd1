// V8 of Node 20 miscompiles `memory.atomic.wait` in its baseline compiler: with constant
// operands a local variable is lost, so that programs hang or compute nonsense. A module of
// 57 bytes tells whether this host is affected; the remedy is to switch that compiler off
// for what is compiled from then on, which costs time at start and nothing later.

import { nodeModule } from './platform.js';

/**
 * (module (import "e" "m" (memory 1 1 shared))
 *   (func (export "f") (param i32) (result i32)
 *     (drop (memory.atomic.wait32 (i32.const 0) (i32.const 1) (i64.const 0)))
 *     (local.get 0)))
 */
const TRIGGER =
  'AGFzbQEAAAABBgFgAX8BfwIJAQFlAW0CAwEBAwIBAAcFAQFmAAAKEQEPAEEAQQFCAP4BAgAaIAAL';

/** Whether a local variable is lost across a wait. */
export function hasCompilerBug(salt = 0) {
  const trigger = Uint8Array.from(atob(TRIGGER), (char) => char.charCodeAt(0));
  // An engine compiles the same bytes once; a custom section makes them others.
  const bytes = new Uint8Array([...trigger, 0, 2, 1, salt]);
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { e: { m: memory } });
  return exports.f(5) !== 5;
}

let isAvoided = false;

/** Makes modules that are compiled from now on right. Only Node was ever affected. */
export function avoidCompilerBug() {
  const v8 = nodeModule('node:v8');
  if (isAvoided || !v8) return;
  isAvoided = true;
  if (hasCompilerBug(0x30)) v8.setFlagsFromString('--no-liftoff');
}
