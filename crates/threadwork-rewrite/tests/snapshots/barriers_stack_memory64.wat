;; As in memories with small addresses; the memory has moved behind another.
(module
  (memory i64 2)
  (memory 1 1 shared)
  (global $__stack_pointer (mut i64) (i64.const 66560))
  (data (i64.const 1024) "12345678")
  (func $frame
    (global.set $__stack_pointer (i64.sub (global.get $__stack_pointer) (i64.const 16)))
    (atomic.fence)))
