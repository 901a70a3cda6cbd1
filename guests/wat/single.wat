;; An ordinary WASI program: a memory of its own, no threads, no atomics. A host
;; for threads must run it as any other would. Prints `ok single`.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)

  ;; 0: the buffer (address, length) for fd_write, and the count that it writes
  (data (i32.const 16) "ok single\n")

  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 10))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
