;; With 64-bit addresses, the address and the pages to grow by are i64.
(module
  (memory (import "env" "memory") i64 1 2 shared)
  (data (i64.const 16) "hello")
  (func $wait32 (param i64 i32 i64) (result i32)
    (memory.atomic.wait32 (local.get 0) (local.get 1) (local.get 2)))
  (func $wait64 (param i64 i64 i64) (result i32)
    (memory.atomic.wait64 offset=0xfffffffffffffff8 (local.get 0) (local.get 1) (local.get 2)))
  (func $notify (param i64 i32) (result i32)
    (memory.atomic.notify (local.get 0) (local.get 1)))
  (func $grow (param i64) (result i64)
    (memory.grow (local.get 0))))
