;; Tags are kept as they are, imported and exported ones too, and are no state.
(module
  (import "env" "memory" (memory 1 1 shared))
  (import "env" "tag" (tag $theirs (param i32)))
  (tag $ours (export "tag") (param i64))
  (global $last (mut exnref) (ref.null exn))
  (func $wake (result i32) (memory.atomic.notify (i32.const 0) (i32.const 1)))
  (func (export "catches") (result i32)
    (block $caught (result i32 exnref)
      (try_table (catch_ref $theirs $caught) (drop (call $wake)) (throw $ours (i64.const 1)))
      (unreachable))
    (global.set $last))
  (func (export "again") (throw_ref (global.get $last))))
