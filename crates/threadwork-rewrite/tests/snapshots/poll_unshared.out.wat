;; enter: false, reset: false
;; poll: true
(module
  (type (;0;) (func))
  (import "threadwork" "poll" (memory (;0;) 1 1 shared))
  (memory (;1;) 1)
  (export "memory" (memory 1))
  (export "_start" (func 0))
  (export "threadwork:memory" (memory 1))
  (func (;0;) (type 0)
    loop ;; label = @1
      i32.const 0
      i32.atomic.load8_u
      drop
      i32.const 1
      i32.const 0
      i32.load8_u 1 offset=2
      i32.store8 1
      br 0 (;@1;)
    end
  )
  (data (;0;) (memory 1) (i32.const 0) "data")
)

