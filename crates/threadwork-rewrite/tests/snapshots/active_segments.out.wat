;; memory 0: env.memory, 1 to Some(1) pages
;; enter: true, reset: false
(module
  (type (;0;) (func (param i32)))
  (import "env" "base" (global $base (;0;) i32))
  (import "env" "memory" (memory $shared (;0;) 1 1 shared))
  (memory $own (;1;) 1)
  (export "threadwork:enter" (func $threadwork:enter))
  (func $threadwork:enter (;0;) (type 0) (param i32)
    local.get 0
    if ;; label = @1
      i32.const 0
      i32.const 0
      i32.const 5
      memory.init $a
      global.get $base
      i32.const 16
      i32.add
      i32.const 0
      i32.const 6
      memory.init $b
    end
    i32.const 0
    i32.const 0
    i32.const 5
    memory.init $own $c
    local.get 0
    if ;; label = @1
      i32.const 65537
      i32.const 0
      i32.const 0
      memory.init $empty
    end
  )
  (data $a (;0;) "first")
  (data $b (;1;) "second")
  (data $passive (;2;) "passive")
  (data $c (;3;) "third")
  (data $empty (;4;) "")
)

