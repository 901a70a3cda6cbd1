;; A loop of throws is in the engine's library nearly always: each has a poll in front of it.
(module
  (tag $t (param i32))
  (func
    (loop $again
      (block $caught (result i32)
        (try_table (catch $t $caught) (throw $t (i32.const 7)))
        (unreachable))
      (br_if $again)))
  (func (param exnref)
    (throw_ref (local.get 0))))
