;; memory 0: env.memory, 1 to Some(2) pages, 64 bits
;; sync wait32:0: Wait32 of memory 0, 64 bits
;; sync wait64:0: Wait64 of memory 0, 64 bits
;; sync notify:0: Notify of memory 0, 64 bits
;; sync grow:0: Grow of memory 0, 64 bits
;; enter: true, reset: true
(module
  (type (;0;) (func (param i64 i32 i64) (result i32)))
  (type (;1;) (func (param i64 i64 i64) (result i32)))
  (type (;2;) (func (param i64 i32) (result i32)))
  (type (;3;) (func (param i64) (result i64)))
  (type (;4;) (func (param i64 i32 i64 i64) (result i32)))
  (type (;5;) (func (param i64 i64 i64 i64) (result i32)))
  (type (;6;) (func (param i64 i32 i64) (result i32)))
  (type (;7;) (func (param i64) (result i64)))
  (type (;8;) (func (param i32)))
  (type (;9;) (func))
  (import "env" "memory" (memory (;0;) i64 1 2 shared))
  (import "threadwork" "wait32:0" (func $threadwork:wait32:0 (;0;) (type 4)))
  (import "threadwork" "wait64:0" (func $threadwork:wait64:0 (;1;) (type 5)))
  (import "threadwork" "notify:0" (func $threadwork:notify:0 (;2;) (type 6)))
  (import "threadwork" "grow:0" (func $threadwork:grow:0 (;3;) (type 7)))
  (export "threadwork:enter" (func $threadwork:enter))
  (export "threadwork:reset" (func $threadwork:reset))
  (func $wait32 (;4;) (type 0) (param i64 i32 i64) (result i32)
    local.get 0
    local.get 1
    local.get 2
    i64.const 0
    call $threadwork:wait32:0
  )
  (func $wait64 (;5;) (type 1) (param i64 i64 i64) (result i32)
    local.get 0
    local.get 1
    local.get 2
    i64.const -8
    call $threadwork:wait64:0
  )
  (func $notify (;6;) (type 2) (param i64 i32) (result i32)
    local.get 0
    local.get 1
    i64.const 0
    call $threadwork:notify:0
  )
  (func $grow (;7;) (type 3) (param i64) (result i64)
    local.get 0
    call $threadwork:grow:0
  )
  (func $threadwork:enter (;8;) (type 8) (param i32)
    local.get 0
    if ;; label = @1
      i64.const 16
      i32.const 0
      i32.const 5
      memory.init 0
    end
  )
  (func $threadwork:reset (;9;) (type 9))
  (data (;0;) "hello")
)

