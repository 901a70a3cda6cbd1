;; memory 0: env.memory, 1 to Some(1) pages
;; sync grow:0: Grow of memory 0
;; enter: true, reset: true
(module
  (type $plain (;0;) (func))
  (type (;1;) (func (param i32) (result i32)))
  (type (;2;) (func (param i32)))
  (type (;3;) (func))
  (import "env" "imported" (func $imported (;0;) (type $plain)))
  (import "env" "memory" (memory (;0;) 1 1 shared))
  (import "threadwork" "grow:0" (func $threadwork:grow:0 (;1;) (type 1)))
  (table $t (;0;) 4 funcref)
  (global (;0;) funcref ref.func $b)
  (export "imported" (func $imported))
  (export "a" (func $a))
  (export "threadwork:enter" (func $threadwork:enter))
  (export "threadwork:reset" (func $threadwork:reset))
  (elem (;0;) (table $t) (i32.const 0) func $imported $a)
  (elem (;1;) (table $t) (i32.const 2) funcref (ref.func $b) (ref.null func))
  (elem (;2;) func $a)
  (elem (;3;) declare func $b)
  (func $a (;2;) (type $plain)
    call $imported
    call $b
    ref.func $imported
    drop
    ref.func $b
    drop
    i32.const 1
    call_indirect (type $plain)
    i32.const 0
    call $threadwork:grow:0
    drop
    return_call $b
  )
  (func $b (;3;) (type $plain)
    return_call $imported
  )
  (func $threadwork:enter (;4;) (type 2) (param i32)
    call $b
  )
  (func $threadwork:reset (;5;) (type 3))
)

