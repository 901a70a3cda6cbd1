;; memory 0: threadwork.memory:0, 1 to Some(2) pages
;; enter: false, reset: false
(module
  (type (;0;) (func (param i32 i64)))
  (type (;1;) (func (param i32 i64) (result i32)))
  (import "threadwork" "memory:0" (memory $shared (;0;) 1 2 shared))
  (memory (;1;) 1)
  (export "threadwork:memory" (memory 1))
  (func (;0;) (type 0) (param i32 i64)
    local.get 0
    i32.const 1
    i32.atomic.rmw.xchg offset=4
    drop
    local.get 0
    i32.const 2
    i32.atomic.rmw8.xchg_u offset=5
    drop
    local.get 0
    i32.const 3
    i32.atomic.rmw16.xchg_u offset=6
    drop
    local.get 0
    local.get 1
    i64.atomic.rmw.xchg offset=8
    drop
    local.get 0
    local.get 1
    i64.atomic.rmw8.xchg_u
    drop
    local.get 0
    local.get 1
    i64.atomic.rmw16.xchg_u
    drop
    local.get 0
    local.get 1
    i64.atomic.rmw32.xchg_u 1
    drop
    atomic.fence
  )
  (func (;1;) (type 1) (param i32 i64) (result i32)
    local.get 0
    i32.const 0
    i32.atomic.rmw.add offset=4
    drop
    local.get 0
    i32.const 0
    i32.atomic.rmw8.add_u offset=4
    drop
    local.get 0
    i32.const 0
    i32.atomic.rmw16.add_u offset=4
    drop
    local.get 0
    i64.const 0
    i64.atomic.rmw.add
    drop
    local.get 0
    i64.const 0
    i64.atomic.rmw8.add_u
    drop
    local.get 0
    i64.const 0
    i64.atomic.rmw16.add_u
    drop
    local.get 0
    i64.const 0
    i64.atomic.rmw32.add_u
    drop
    local.get 0
    i32.const 1
    i32.atomic.rmw.or
    drop
    local.get 0
    i32.const 0
    i32.atomic.rmw.and
    drop
    local.get 0
    block (result i32) ;; label = @1
      i32.const 0
    end
    i32.atomic.rmw.or
  )
)

