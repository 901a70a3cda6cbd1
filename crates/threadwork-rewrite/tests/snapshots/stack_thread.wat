;; A function that lowers the stack pointer compares it with the thread's bound, which
;; `wasi_thread_start` finds out; functions that raise it do not.
(module
  (memory (import "env" "memory") 2 2 shared)
  (global $__stack_pointer (mut i32) (i32.const 65536))
  (global $__tls_base (mut i32) (i32.const 0))
  (func (export "wasi_thread_start") (param i32 i32)
    (global.set $__stack_pointer (i32.load (local.get 1)))
    (global.set $__tls_base (i32.load offset=4 (local.get 1)))
    (call $frame))
  (func $frame (local i32)
    (global.set $__stack_pointer
      (local.tee 0 (i32.sub (global.get $__stack_pointer) (i32.const 16))))
    (global.set $__stack_pointer
      (i32.add (local.get 0) (i32.const 16)))))
