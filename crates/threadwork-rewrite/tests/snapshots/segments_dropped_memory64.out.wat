;; memory 0: env.a, 1 to Some(1) pages, 64 bits
;; memory 1: env.b, 1 to Some(1) pages
;; enter: false, reset: true
(module
  (type (;0;) (func))
  (type (;1;) (func))
  (type (;2;) (func (param i64 i32 i32)))
  (type (;3;) (func (param i32 i32 i32)))
  (import "env" "a" (memory $a (;0;) i64 1 1 shared))
  (import "env" "b" (memory $b (;1;) 1 1 shared))
  (global $threadwork:dropped:0 (;0;) (mut i32) i32.const 0)
  (export "threadwork:reset" (func $threadwork:reset))
  (func (;0;) (type 0)
    i64.const 0
    i32.const 0
    i32.const 4
    call $threadwork:init:0:0
    i32.const 0
    i32.const 0
    i32.const 4
    call $threadwork:init:0:1
    i32.const 1
    global.set $threadwork:dropped:0
  )
  (func $threadwork:reset (;1;) (type 1)
    i32.const 0
    global.set $threadwork:dropped:0
  )
  (func $threadwork:init:0:0 (;2;) (type 2) (param i64 i32 i32)
    global.get $threadwork:dropped:0
    if ;; label = @1
      local.get 0
      local.get 1
      local.get 2
      memory.init $threadwork:empty
    else
      local.get 0
      local.get 1
      local.get 2
      memory.init $d
    end
  )
  (func $threadwork:init:0:1 (;3;) (type 3) (param i32 i32 i32)
    global.get $threadwork:dropped:0
    if ;; label = @1
      local.get 0
      local.get 1
      local.get 2
      memory.init $b $threadwork:empty
    else
      local.get 0
      local.get 1
      local.get 2
      memory.init $b $d
    end
  )
  (data $d (;0;) "data")
  (data $threadwork:empty (;1;) "")
)

