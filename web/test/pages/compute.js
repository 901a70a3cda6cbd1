// Starts threads that count for ever, and says where.
import { plot, onStage } from '../plots.js';
import { host } from '../harness.js';

host.base = location.origin;
const program = await plot(`
  (func (export "wasi_thread_start") (param i32 i32)
    (loop (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1))) (br 0)))
  (func (export "_start") (drop (call $spawn (i32.const 0))) (call $say (i32.const 0)) (call $compute))`);
const { process, stage } = onStage(program);
await process.start();
await stage.hear();
parent.postMessage(process.memory.buffer, '*');
