;; Two threads wait, one in another width than the other; a third notifies one
;; thread at a time until two were there. Both wake.

(module $Mem (memory (export "shared") 1 1 shared))
(register "mem")

(thread $T1 (shared (module $Mem))
  (register "mem" $Mem)
  (module
    (memory (import "mem" "shared") 1 1 shared)
    (func (export "sleep") (result i32)
      (memory.atomic.wait32 offset=8 (i32.const 0) (i32.const 0) (i64.const -1))))
  (assert_return (invoke "sleep") (i32.const 0))
)

(thread $T2 (shared (module $Mem))
  (register "mem" $Mem)
  (module
    (memory (import "mem" "shared") 1 4 shared)
    (func (export "sleep") (result i32)
      (memory.atomic.wait64 (i32.const 8) (i64.const 0) (i64.const -1))))
  (assert_return (invoke "sleep") (i32.const 0))
)

(thread $T3 (shared (module $Mem))
  (register "mem" $Mem)
  (module
    (memory (import "mem" "shared") 1 1 shared)
    (func (export "wake-two") (result i32)
      (local $woken i32)
      (loop $more
        (local.set $woken
          (i32.add (local.get $woken)
            (memory.atomic.notify (i32.const 8) (i32.const 1))))
        (br_if $more (i32.lt_u (local.get $woken) (i32.const 2))))
      (local.get $woken)))
  (assert_return (invoke "wake-two") (i32.const 2))
)

(wait $T3)
(wait $T1)
(wait $T2)

(module
  (memory (import "mem" "shared") 1 1 shared)
  (func (export "notify") (result i32)
    (memory.atomic.notify (i32.const 8) (i32.const -1))))
(assert_return (invoke "notify") (i32.const 0))
