;; memory 0: threadwork.memory:0, 1 to Some(1) pages
;; sync grow:0: Grow of memory 0
;; enter: true, reset: true
(module
  (type (;0;) (func))
  (type (;1;) (func (result i32)))
  (type (;2;) (func (param i32) (result i32)))
  (type (;3;) (func (param i32)))
  (type (;4;) (func))
  (import "env" "start" (func $start (;0;) (type 0)))
  (import "threadwork" "memory:0" (memory (;0;) 1 1 shared))
  (import "threadwork" "grow:0" (func $threadwork:grow:0 (;1;) (type 2)))
  (export "threadwork:enter" (func $threadwork:enter))
  (export "threadwork:reset" (func $threadwork:reset))
  (func (;2;) (type 1) (result i32)
    i32.const 1
    call $threadwork:grow:0
  )
  (func $threadwork:enter (;3;) (type 3) (param i32)
    call $start
  )
  (func $threadwork:reset (;4;) (type 4))
)

