;; A memory that one thread has grown is as large in another.

(module $Mem (memory (export "shared") 1 2 shared))
(register "mem")

(thread $Grower (shared (module $Mem))
  (register "mem" $Mem)
  (module
    (memory (import "mem" "shared") 1 2 shared)
    (func (export "grow") (result i32) (memory.grow (i32.const 1)))
    (func (export "write") (i32.atomic.store (i32.const 131068) (i32.const 5))))
  (assert_trap (invoke "write") "out of bounds memory access")
  (assert_return (invoke "grow") (i32.const 1))
  (assert_return (invoke "grow") (i32.const -1))
  (invoke "write")
)

(wait $Grower)

(module
  (memory (import "mem" "shared") 1 2 shared)
  (func (export "size") (result i32) (memory.size))
  (func (export "read") (result i32) (i32.atomic.load (i32.const 131068)))
  (func (export "wait") (param i32) (result i32)
    (memory.atomic.wait32 (local.get 0) (i32.const 5) (i64.const 0))))
(assert_return (invoke "size") (i32.const 2))
(assert_return (invoke "read") (i32.const 5))
(assert_return (invoke "wait" (i32.const 131068)) (i32.const 2))
(assert_trap (invoke "wait" (i32.const 131072)) "out of bounds memory access")
(assert_trap (invoke "wait" (i32.const 131070)) "unaligned atomic")

;; The module that was there before sees it, too.
(assert_unlinkable
  (module (memory (import "mem" "shared") 1 1 shared))
  "incompatible import type")
