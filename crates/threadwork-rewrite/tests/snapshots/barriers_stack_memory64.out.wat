;; memory 0: threadwork.memory:0, 1 to Some(1) pages
;; enter: true, reset: false
;; stack overflow: function 2
(module
  (type (;0;) (func))
  (type (;1;) (func (param i32)))
  (type (;2;) (func))
  (import "threadwork" "memory:0" (memory (;0;) 1 1 shared))
  (memory (;1;) i64 2)
  (global $__stack_pointer (;0;) (mut i64) i64.const 66560)
  (global $threadwork:stack-low (;1;) (mut i64) i64.const 1160)
  (global $threadwork:stack-size (;2;) (mut i64) i64.const 65528)
  (export "threadwork:memory" (memory 1))
  (export "threadwork:enter" (func $threadwork:enter))
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
    global.get $__stack_pointer
    i64.const 16
    i64.sub
    i32.const 0
    i32.atomic.rmw8.add_u 1
    drop
  )
  (func $threadwork:enter (;1;) (type 1) (param i32)
    i64.const 1024
    i32.const 0
    i32.const 8
    memory.init 1 0
  )
  (func $threadwork:stack-overflow (;2;) (type 2)
    unreachable
  )
  (data (;0;) "12345678")
)

