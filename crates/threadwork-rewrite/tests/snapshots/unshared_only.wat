;; Without a shared memory, only the export of memory 0 is added: waits, data
;; and the start function stay.
(module
  (memory $own 1)
  (data (i32.const 0) "stays")
  (func $start)
  (start $start)
  (func (result i32)
    (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 0))))
