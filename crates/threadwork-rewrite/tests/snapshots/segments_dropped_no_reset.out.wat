;; memory 0: env.memory, 1 to Some(1) pages
;; enter: true, reset: false
(module
  (type (;0;) (func))
  (type (;1;) (func (param i32)))
  (import "env" "memory" (memory (;0;) 1 1 shared))
  (table (;0;) 1 funcref)
  (export "threadwork:enter" (func $threadwork:enter))
  (func $init (;0;) (type 0)
    i32.const 0
    i32.const 0
    i32.const 19
    memory.init $written
    data.drop $written
    data.drop $unread
    i32.const 0
    ref.null func
    table.set 0
  )
  (func $threadwork:enter (;1;) (type 1) (param i32)
    call $init
  )
  (data $written (;0;) "written and dropped")
  (data $unread (;1;) "dropped, never written")
)

