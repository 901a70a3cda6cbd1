;; memory 0: env.memory, 1 to Some(1) pages
;; enter: false, reset: true
(module
  (type (;0;) (func))
  (type (;1;) (func))
  (import "env" "memory" (memory (;0;) 1 1 shared))
  (table (;0;) 2 2 funcref)
  (export "table" (table 0))
  (export "threadwork:reset" (func $threadwork:reset))
  (elem (;0;) (i32.const 0) func $f $f)
  (elem $dropped (;1;) func $f)
  (func $f (;0;) (type 0)
    i32.const 0
    table.get 0
    drop
    table.size 0
    drop
    i32.const 1
    call_indirect (type 0)
    elem.drop $dropped
  )
  (func $threadwork:reset (;1;) (type 1))
)

