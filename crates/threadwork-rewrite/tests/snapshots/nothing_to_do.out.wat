;; enter: true, reset: false
(module
  (type (;0;) (func))
  (type (;1;) (func (param i32)))
  (export "threadwork:enter" (func $threadwork:enter))
  (func $f (;0;) (type 0))
  (func $threadwork:enter (;1;) (type 1) (param i32)
    call $f
  )
)

