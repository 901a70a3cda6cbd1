;; memory 0: threadwork.memory:0, 2 to Some(2) pages
;; enter: true, reset: true
;; stack overflow: function 3
(module
  (type (;0;) (func))
  (type (;1;) (func (param i32)))
  (type (;2;) (func))
  (import "threadwork" "memory:0" (memory (;0;) 2 2 shared))
  (global $__stack_pointer (;0;) (mut i32) i32.const 66560)
  (global $threadwork:stack-low (;1;) (mut i32) i32.const 1160)
  (global $threadwork:stack-size (;2;) (mut i32) i32.const 65528)
  (export "threadwork:enter" (func $threadwork:enter))
  (export "threadwork:reset" (func $threadwork:reset))
  (export "threadwork:stack-overflow" (func $threadwork:stack-overflow))
  (export "threadwork:stack-low" (global $threadwork:stack-low))
  (export "threadwork:stack-size" (global $threadwork:stack-size))
  (func $frame (;0;) (type 0)
    global.get $__stack_pointer
    i32.const 16
    i32.sub
    global.set $__stack_pointer
    global.get $__stack_pointer
    global.get $threadwork:stack-low
    i32.sub
    i32.const 0
    i32.lt_s
    if ;; label = @1
      call $threadwork:stack-overflow
      unreachable
    end
    global.get $__stack_pointer
    i32.const 16
    i32.sub
    i32.const 0
    i32.atomic.rmw8.add_u
    drop
  )
  (func $threadwork:enter (;1;) (type 1) (param i32)
    local.get 0
    if ;; label = @1
      i32.const 1024
      i32.const 0
      i32.const 8
      memory.init 0
    end
  )
  (func $threadwork:reset (;2;) (type 2)
    i32.const 66560
    global.set $__stack_pointer
    i32.const 1160
    global.set $threadwork:stack-low
    i32.const 65528
    global.set $threadwork:stack-size
  )
  (func $threadwork:stack-overflow (;3;) (type 2)
    unreachable
  )
  (data (;0;) "12345678")
)

