;; Code runs after active segments are dropped: reading one reads an empty one,
;; and dropping it again does nothing.
(module
  (memory (import "env" "memory") 1 1 shared)
  (memory $own 1)
  (data $active (i32.const 0) "active")
  (func (export "f") (param i32)
    (memory.init $active (i32.const 0) (i32.const 0) (local.get 0))
    (memory.init $own $active (i32.const 0) (i32.const 0) (local.get 0))
    (data.drop $active)))
