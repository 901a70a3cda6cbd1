;; enter: false, reset: false
;; poll: true
;; stop: function 9
(module
  (type $binary (;0;) (func (param i32 i64) (result i32)))
  (type (;1;) (func))
  (type (;2;) (func (result i32)))
  (type (;3;) (func (param i32) (result i32)))
  (type (;4;) (func))
  (import "env" "add" (func $add (;0;) (type $binary)))
  (import "env" "declared" (func $declared (;1;) (type 1)))
  (import "env" "only_called" (func $called (;2;) (type 1)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (;3;) (type 2)))
  (import "threadwork" "poll" (memory (;0;) 1 1 shared))
  (table $t (;0;) 4 funcref)
  (global $g (;0;) funcref ref.func $threadwork:call:0)
  (export "declared" (func $declared))
  (export "add" (func $add))
  (export "threadwork:stop" (func $threadwork:stop))
  (elem (;0;) (i32.const 0) func $threadwork:call:0 $f $yield)
  (elem $expressions (;1;) funcref (ref.func $threadwork:call:0) (ref.null func))
  (elem (;2;) declare func $threadwork:call:0 $threadwork:call:1)
  (func $f (;4;) (type 1)
    call $called
    i32.const 0
    i32.atomic.load8_u
    drop
    i32.const 1
    i64.const 2
    call $add
    i32.const 0
    i32.atomic.load8_u
    drop
    drop
    i32.const 1
    i64.const 2
    i32.const 0
    call_indirect (type $binary)
    drop
    i32.const 0
    ref.func $threadwork:call:1
    i32.const 0
    i32.atomic.load8_u
    drop
    table.set $t
    return_call $threadwork:call:1
  )
  (func (;5;) (type 3) (param i32) (result i32)
    local.get 0
    i64.const 2
    return_call $threadwork:call:0
  )
  (func (;6;) (type 2) (result i32)
    return_call $yield
  )
  (func $threadwork:call:0 (;7;) (type $binary) (param i32 i64) (result i32)
    local.get 0
    local.get 1
    call $add
    i32.const 0
    i32.atomic.load8_u
    drop
  )
  (func $threadwork:call:1 (;8;) (type 1)
    call $declared
    i32.const 0
    i32.atomic.load8_u
    drop
  )
  (func $threadwork:stop (;9;) (type 4)
    unreachable
  )
)

