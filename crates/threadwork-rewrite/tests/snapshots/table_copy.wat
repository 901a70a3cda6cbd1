;; `table.copy` changes an instance for good: there is no RESET.
(module
  (memory (import "env" "memory") 1 1 shared)
  (table 1 funcref)
  (elem $e func $f)
  (func $f (table.copy (i32.const 0) (i32.const 0) (i32.const 1))))
