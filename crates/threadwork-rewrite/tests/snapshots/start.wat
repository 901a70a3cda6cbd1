;; The start function is called by ENTER, after the data is written.
(module
  (memory (import "env" "memory") 1 1 shared)
  (import "env" "log" (func $log))
  (data (i32.const 0) "data")
  (func $start (call $log) (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))
  (start $start))
