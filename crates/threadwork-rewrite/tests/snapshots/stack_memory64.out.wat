;; enter: false, reset: false
;; stack overflow: function 1
(module
  (type (;0;) (func))
  (type (;1;) (func))
  (memory (;0;) i64 2)
  (global $__stack_pointer (;0;) (mut i64) i64.const 66560)
  (global $threadwork:stack-low (;1;) (mut i64) i64.const 1160)
  (global $threadwork:stack-size (;2;) (mut i64) i64.const 65528)
  (export "threadwork:memory" (memory 0))
  (export "threadwork:stack-overflow" (func $threadwork:stack-overflow))
  (export "threadwork:stack-low" (global $threadwork:stack-low))
  (export "threadwork:stack-size" (global $threadwork:stack-size))
  (func $frame (;0;) (type 0)
    global.get $__stack_pointer
    i64.const 16
    i64.sub
    global.set $__stack_pointer
    global.get $__stack_pointer
    global.get $threadwork:stack-low
    i64.sub
    i64.const 0
    i64.lt_s
    if ;; label = @1
      call $threadwork:stack-overflow
      unreachable
    end
  )
  (func $threadwork:stack-overflow (;1;) (type 1)
    unreachable
  )
  (data (;0;) (i64.const 1024) "12345678")
)

