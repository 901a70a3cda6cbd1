;; enter: true, reset: false
(module
  (type (;0;) (func))
  (type (;1;) (func (result i32)))
  (type (;2;) (func (param i32)))
  (memory $own (;0;) 1)
  (export "threadwork:memory" (memory $own))
  (export "threadwork:enter" (func $threadwork:enter))
  (func $start (;0;) (type 0))
  (func (;1;) (type 1) (result i32)
    i32.const 0
    i32.const 0
    i64.const 0
    memory.atomic.wait32
  )
  (func $threadwork:enter (;2;) (type 2) (param i32)
    call $start
  )
  (data (;0;) (i32.const 0) "stays")
)

