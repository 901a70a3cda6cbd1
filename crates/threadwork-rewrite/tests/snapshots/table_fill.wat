;; `table.fill` changes an instance for good: there is no RESET.
(module
  (memory (import "env" "memory") 1 1 shared)
  (table 1 funcref)
  (elem $e func $f)
  (func $f (table.fill (i32.const 0) (ref.null func) (i32.const 1))))
