;; What a thread wrote before it raised a flag, plainly, is seen by the one that
;; waited for the flag.

(module $Mem
  (memory (export "shared") 1 1 shared)
  (data (i32.const 16) "\07\00\00\00"))
(register "mem")

(thread $Reader (shared (module $Mem))
  (register "mem" $Mem)
  (module
    (memory (import "mem" "shared") 1 1 shared)
    (func (export "read") (result i32)
      (block $raised
        (loop $again
          (br_if $raised (i32.atomic.load (i32.const 0)))
          (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))
          (br $again)))
      (i32.load (i32.const 64))))
  (assert_return (invoke "read") (i32.const 42))
)

(thread $Writer (shared (module $Mem))
  (register "mem" $Mem)
  (module
    (memory (import "mem" "shared") 1 1 shared)
    (func (export "write") (result i32)
      ;; 6 times what the module that owns the memory has put there.
      (i32.store (i32.const 64) (i32.mul (i32.load (i32.const 16)) (i32.const 6)))
      (i32.atomic.store (i32.const 0) (i32.const 1))
      (memory.atomic.notify (i32.const 0) (i32.const 1))
      (i32.const 1) (i32.le_u)))
  (assert_return (invoke "write") (i32.const 1))
)

(wait $Reader)
(wait $Writer)
