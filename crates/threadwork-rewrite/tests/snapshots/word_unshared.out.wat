;; enter: false, reset: false
(module
  (type (;0;) (func))
  (memory (;0;) 1)
  (export "memory" (memory 0))
  (export "_start" (func 0))
  (export "threadwork:memory" (memory 0))
  (func (;0;) (type 0)
    loop ;; label = @1
      br 0 (;@1;)
    end
  )
  (data (;0;) (i32.const 8) "data")
)

