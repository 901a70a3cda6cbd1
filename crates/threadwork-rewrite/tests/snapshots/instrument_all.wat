(module
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "env" "memory" (memory 1 2 shared))
  (func $malloc (param $size i32) (result i32)
    (i32.const 64))
  (func $__lock
    (drop (i32.load (i32.const 12))))
  (func $main (export "_start")
    (i64.store offset=8 (call $malloc (i32.const 8)) (i64.const 1))
    (drop (i32.atomic.rmw.cmpxchg (i32.const 0) (i32.const 0) (i32.const 1)))
    (drop (call $spawn (i32.const 5)))
    (memory.fill (i32.const 0) (i32.const 1) (i32.const 2)))
  (func (export "wasi_thread_start") (param i32 i32)))
