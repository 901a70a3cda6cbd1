;; memory 0: env.memory, 2 to Some(2) pages
;; enter: false, reset: true
;; stop byte: 65536
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func))
  (import "env" "memory" (memory (;0;) 2 2 shared))
  (global $threadwork:stop-at (;0;) (mut i32) i32.const 65536)
  (export "threadwork:reset" (func $threadwork:reset))
  (export "threadwork:stop-at" (global $threadwork:stop-at))
  (func $leaf (;0;) (type 0) (param i32) (result i32)
    (local i64)
    i32.const 0
    i32.const 0
    local.get 0
    memory.fill
    local.get 0
    i32.const 1
    i32.add
  )
  (func $counts (;1;) (type 0) (param i32) (result i32)
    loop $again (result i32)
      i32.const 65536
      i32.atomic.load8_u
      if ;; label = @2
        global.get $threadwork:stop-at
        i32.atomic.load8_u
        if ;; label = @3
          unreachable
        end
      end
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
    i32.const 65536
    i32.atomic.load8_u
    if ;; label = @1
      global.get $threadwork:stop-at
      i32.atomic.load8_u
      if ;; label = @2
        unreachable
      end
    end
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

