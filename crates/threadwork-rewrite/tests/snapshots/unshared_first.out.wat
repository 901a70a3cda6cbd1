;; memory 0: threadwork.memory:0, 1 to Some(1) pages
;; enter: false, reset: false
(module
  (type (;0;) (func (param i32) (result i32)))
  (import "threadwork" "memory:0" (memory $shared (;0;) 1 1 shared))
  (memory $own (;1;) 1)
  (export "threadwork:memory" (memory $own))
  (func (;0;) (type 0) (param i32) (result i32)
    local.get 0
    i32.load $own
    local.get 0
    i32.load
    i32.add
  )
)

