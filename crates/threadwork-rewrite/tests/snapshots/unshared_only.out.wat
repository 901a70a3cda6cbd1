;; enter: false, reset: false
(module
  (type (;0;) (func))
  (type (;1;) (func (result i32)))
  (memory $own (;0;) 1)
  (export "threadwork:memory" (memory $own))
  (start $start)
  (func $start (;0;) (type 0))
  (func (;1;) (type 1) (result i32)
    i32.const 0
    i32.const 0
    i64.const 0
    memory.atomic.wait32
  )
  (data (;0;) (i32.const 0) "stays")
)

