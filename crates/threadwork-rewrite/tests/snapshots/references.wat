;; Everything that mentions a function follows it: exports, elements of all kinds,
;; the start function, globals, ref.func, call, return_call. call_indirect goes
;; through a table and a type, neither of which moves.
(module
  (type $plain (func))
  (import "env" "imported" (func $imported))
  (memory (import "env" "memory") 1 1 shared)
  (table $t 4 funcref)
  (global funcref (ref.func $b))
  (export "imported" (func $imported))
  (export "a" (func $a))
  (elem (table $t) (i32.const 0) func $imported $a)
  (elem (table $t) (i32.const 2) funcref (ref.func $b) (ref.null func))
  (elem func $a)
  (elem declare func $b)
  (func $a
    (call $imported)
    (call $b)
    (drop (ref.func $imported))
    (drop (ref.func $b))
    (call_indirect $t (type $plain) (i32.const 1))
    (drop (memory.grow (i32.const 0)))
    (return_call $b))
  (func $b
    (return_call $imported))
  (start $b))
