;; memory 0: threadwork.memory:0, 1 to Some(65536) pages
;; sync grow:0: Grow of memory 0
;; enter: false, reset: true
(module
  (type (;0;) (func (result i32)))
  (type (;1;) (func (param i32) (result i32)))
  (type (;2;) (func))
  (import "threadwork" "memory:0" (memory $memory (;0;) 1 65536 shared))
  (import "threadwork" "grow:0" (func $threadwork:grow:0 (;0;) (type 1)))
  (export "memory" (memory $memory))
  (export "threadwork:reset" (func $threadwork:reset))
  (func $grow (;1;) (type 0) (result i32)
    i32.const 0
    i32.const 1
    i32.store
    i32.const 1
    call $threadwork:grow:0
  )
  (func $threadwork:reset (;2;) (type 2))
)

