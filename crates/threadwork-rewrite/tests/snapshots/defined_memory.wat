;; A shared memory that the module defines is imported; its export stays.
(module
  (memory $memory (export "memory") 1 65536 shared)
  (func $grow (result i32)
    (i32.store (i32.const 0) (i32.const 1))
    (memory.grow (i32.const 1))))
