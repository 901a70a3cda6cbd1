;; enter: false, reset: false
;; stop: function 1
(module
  (type (;0;) (func))
  (type (;1;) (func))
  (memory (;0;) 1)
  (export "memory" (memory 0))
  (export "_start" (func $loop))
  (export "threadwork:memory" (memory 0))
  (export "threadwork:stop" (func $threadwork:stop))
  (func $loop (;0;) (type 0)
    loop ;; label = @1
      br 0 (;@1;)
    end
  )
  (func $threadwork:stop (;1;) (type 1)
    unreachable
  )
)

