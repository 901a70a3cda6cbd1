;; memory 0: env.memory, 1 to Some(1) pages
;; enter: false, reset: true
;; poll: true
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func))
  (import "env" "memory" (memory (;0;) 1 1 shared))
  (import "threadwork" "poll" (memory (;1;) 1 1 shared))
  (export "threadwork:reset" (func $threadwork:reset))
  (func $leaf (;0;) (type 0) (param i32) (result i32)
    (local i64)
    local.get 0
    i32.const 1
    i32.add
  )
  (func $counts (;1;) (type 0) (param i32) (result i32)
    loop $again (result i32)
      i32.const 0
      i32.atomic.load8_u 1
      drop
      local.get 0
      i32.const 1
      i32.sub
      local.set 0
      local.get 0
      br_if $again
      local.get 0
    end
  )
  (func $recurses (;2;) (type 0) (param i32) (result i32)
    (local i64)
    i32.const 0
    i32.atomic.load8_u 1
    drop
    local.get 0
    if (result i32) ;; label = @1
      local.get 0
      call $leaf
      call $recurses
    else
      i32.const 0
    end
  )
  (func $threadwork:reset (;3;) (type 1))
)

