;; A memory that stays defined moves behind the memory that polls read.
(module
  (memory (export "memory") 1)
  (data (i32.const 0) "data")
  (func (export "_start")
    (loop
      (i32.store8 (i32.const 1) (i32.load8_u offset=2 (i32.const 0)))
      (br 0))))
