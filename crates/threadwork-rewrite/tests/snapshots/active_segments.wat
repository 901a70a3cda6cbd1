;; Active segments are applied by ENTER, in order: those of shared memories once
;; for each process, those of the instance's own memories always.
(module
  (import "env" "base" (global $base i32))
  (memory $shared (import "env" "memory") 1 1 shared)
  (memory $own 1)
  (data $a (memory $shared) (i32.const 0) "first")
  (data $b (memory $shared) (i32.add (global.get $base) (i32.const 16)) "second")
  (data $passive "passive")
  (data $c (memory $own) (i32.const 0) "third")
  (data $empty (memory $shared) (i32.const 65537) ""))
