;; Names are kept, and move with what they name.
(module $named
  (type $signature (func (param i32)))
  (import "env" "log" (func $log (type $signature)))
  (memory $first 1)
  (memory $second 1 1 shared)
  (table $table 1 funcref)
  (global $global (mut i32) (i32.const 0))
  (elem $elements (i32.const 0) $outer)
  (data $data "data")
  (func $outer (param $parameter i32)
    (local $local i32)
    (block $label
      (br_if $label (local.get $parameter))
      (local.set $local (memory.grow $second (local.get $parameter))))
    (call $log (global.get $global))
    (memory.init $second $data (i32.const 0) (i32.const 0) (i32.const 4)))
  (func (param i32) (call $outer (local.get 0))))
