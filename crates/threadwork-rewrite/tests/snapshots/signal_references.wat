;; Where a function of the embedder's own is referred to, its wrapper stands, which polls
;; when it has returned. WASI's functions look themselves.
(module
  (import "env" "add" (func $add (param i32 i64) (result i32)))
  (import "env" "declared" (func $declared))
  (import "env" "only_called" (func $called))
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (type $binary (func (param i32 i64) (result i32)))
  (table $t 4 funcref)
  (global $g funcref (ref.func $add))
  (elem (i32.const 0) $add $f $yield)
  (elem $expressions funcref (ref.func $add) (ref.null func))
  (export "declared" (func $declared))
  (export "add" (func $add))
  (func $f
    (call $called)
    (drop (call $add (i32.const 1) (i64.const 2)))
    (drop (call_indirect (type $binary) (i32.const 1) (i64.const 2) (i32.const 0)))
    (table.set (i32.const 0) (ref.func $declared))
    (return_call $declared))
  (func (param i32) (result i32)
    (return_call $add (local.get 0) (i64.const 2)))
  (func (result i32)
    (return_call $yield)))
