;; memory 0: env.memory, 1 to Some(1) pages
;; enter: true, reset: false
(module
  (type (;0;) (func (param i32)))
  (type (;1;) (func (param i32)))
  (import "env" "memory" (memory (;0;) 1 1 shared))
  (memory $own (;1;) 1)
  (export "f" (func 0))
  (export "threadwork:enter" (func $threadwork:enter))
  (func (;0;) (type 0) (param i32)
    i32.const 0
    i32.const 0
    local.get 0
    memory.init $threadwork:empty
    i32.const 0
    i32.const 0
    local.get 0
    memory.init $own $threadwork:empty
    nop
  )
  (func $threadwork:enter (;1;) (type 1) (param i32)
    local.get 0
    if ;; label = @1
      i32.const 0
      i32.const 0
      i32.const 6
      memory.init $active
    end
  )
  (data $active (;0;) "active")
  (data $threadwork:empty (;1;) "")
)

