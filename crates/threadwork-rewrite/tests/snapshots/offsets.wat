;; The static offset of an address is the last argument; 64-bit bit patterns too.
(module
  (memory (import "env" "memory") 1 2 shared)
  (func $offsets (param i32)
    (drop (memory.atomic.wait32 offset=8 (local.get 0) (i32.const 1) (i64.const -1)))
    (drop (memory.atomic.wait64 offset=65528 (local.get 0) (i64.const 1) (i64.const -1)))
    (drop (memory.atomic.notify offset=4294967292 (local.get 0) (i32.const 1)))))
