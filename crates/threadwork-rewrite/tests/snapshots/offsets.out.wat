;; memory 0: env.memory, 1 to Some(2) pages
;; sync wait32:0: Wait32 of memory 0
;; sync wait64:0: Wait64 of memory 0
;; sync notify:0: Notify of memory 0
;; enter: false, reset: true
(module
  (type (;0;) (func (param i32)))
  (type (;1;) (func (param i32 i32 i64 i64) (result i32)))
  (type (;2;) (func (param i32 i64 i64 i64) (result i32)))
  (type (;3;) (func (param i32 i32 i64) (result i32)))
  (type (;4;) (func))
  (import "env" "memory" (memory (;0;) 1 2 shared))
  (import "threadwork" "wait32:0" (func $threadwork:wait32:0 (;0;) (type 1)))
  (import "threadwork" "wait64:0" (func $threadwork:wait64:0 (;1;) (type 2)))
  (import "threadwork" "notify:0" (func $threadwork:notify:0 (;2;) (type 3)))
  (export "threadwork:reset" (func $threadwork:reset))
  (func $offsets (;3;) (type 0) (param i32)
    local.get 0
    i32.const 1
    i64.const -1
    i64.const 8
    call $threadwork:wait32:0
    drop
    local.get 0
    i64.const 1
    i64.const -1
    i64.const 65528
    call $threadwork:wait64:0
    drop
    local.get 0
    i32.const 1
    i64.const 4294967292
    call $threadwork:notify:0
    drop
  )
  (func $threadwork:reset (;4;) (type 4))
)

