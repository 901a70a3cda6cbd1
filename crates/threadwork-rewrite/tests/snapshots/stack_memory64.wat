;; Static data below the stack ends at 1032.
(module
  (memory i64 2)
  (global $__stack_pointer (mut i64) (i64.const 66560))
  (data (i64.const 1024) "12345678")
  (func $frame
    (global.set $__stack_pointer (i64.sub (global.get $__stack_pointer) (i64.const 16)))))
