;; A table that nothing changes is no state: there is a RESET.
(module
  (memory (import "env" "memory") 1 1 shared)
  (table (export "table") 2 2 funcref)
  (elem (i32.const 0) $f $f)
  (elem $dropped func $f)
  (func $f
    (drop (table.get (i32.const 0)))
    (drop (table.size))
    (call_indirect (i32.const 1))
    (elem.drop $dropped)))
