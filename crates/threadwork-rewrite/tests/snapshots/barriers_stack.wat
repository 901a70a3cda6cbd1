;; The fence is an addition of nothing on the stack, which is in memory 0.
(module
  (memory 2 2 shared)
  (global $__stack_pointer (mut i32) (i32.const 66560))
  (data (i32.const 1024) "12345678")
  (func $frame
    (global.set $__stack_pointer (i32.sub (global.get $__stack_pointer) (i32.const 16)))
    (atomic.fence)))
