;; A memory that the module has for itself: nobody else could write to it, and nothing changes.
(module
  (memory (export "memory") 1)
  (data (i32.const 8) "data")
  (func (export "_start") (loop (br 0))))
