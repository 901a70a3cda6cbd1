;; A start function may be an import; its index does not move.
(module
  (import "env" "start" (func $start))
  (memory 1 1 shared)
  (func (result i32) (memory.grow (i32.const 1)))
  (start $start))
