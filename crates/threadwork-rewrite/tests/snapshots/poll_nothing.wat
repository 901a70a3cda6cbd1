;; What always ends needs no poll.
(module
  (memory (export "memory") 1)
  (func (export "one") (result i32) (i32.load (i32.const 0))))
