;; memory 0: env.memory, 1 to Some(1) pages
;; enter: true, reset: true
(module
  (type (;0;) (func))
  (type (;1;) (func (param i32)))
  (type (;2;) (func))
  (type (;3;) (func (param i32 i32 i32)))
  (import "env" "memory" (memory (;0;) 1 1 shared))
  (global $threadwork:dropped:0 (;0;) (mut i32) i32.const 0)
  (export "threadwork:enter" (func $threadwork:enter))
  (export "threadwork:reset" (func $threadwork:reset))
  (func $init (;0;) (type 0)
    i32.const 0
    i32.const 0
    i32.const 19
    call $threadwork:init:0:0
    i32.const 1
    global.set $threadwork:dropped:0
    i32.const 32
    i32.const 0
    i32.const 22
    memory.init $kept
    nop
  )
  (func $threadwork:enter (;1;) (type 1) (param i32)
    call $init
  )
  (func $threadwork:reset (;2;) (type 2)
    i32.const 0
    global.set $threadwork:dropped:0
  )
  (func $threadwork:init:0:0 (;3;) (type 3) (param i32 i32 i32)
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
      memory.init $written
    end
  )
  (data $written (;0;) "written and dropped")
  (data $kept (;1;) "written, never dropped")
  (data $unread (;2;) "dropped, never written")
  (data $threadwork:empty (;3;) "")
)

