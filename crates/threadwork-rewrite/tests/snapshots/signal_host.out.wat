;; enter: false, reset: false
;; poll: true
;; stop: function 3
(module
  (type (;0;) (func (result i64)))
  (type (;1;) (func (result i32)))
  (type (;2;) (func))
  (type (;3;) (func))
  (import "host" "now" (func $now (;0;) (type 0)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (;1;) (type 1)))
  (import "threadwork" "poll" (memory (;0;) 1 1 shared))
  (memory (;1;) 1)
  (export "memory" (memory 1))
  (export "_start" (func 2))
  (export "threadwork:memory" (memory 1))
  (export "threadwork:stop" (func $threadwork:stop))
  (func (;2;) (type 2)
    loop ;; label = @1
      call $yield
      drop
      call $now
      i32.const 0
      i32.atomic.load8_u
      drop
      i64.const 1000
      i64.lt_u
      br_if 0 (;@1;)
    end
  )
  (func $threadwork:stop (;3;) (type 3)
    unreachable
  )
)

