;; memory 0: env.memory, 1 to Some(1) pages
;; sync notify:0: Notify of memory 0
;; enter: true, reset: true
(module
  (type (;0;) (func))
  (type (;1;) (func (param i32 i32 i64) (result i32)))
  (type (;2;) (func (param i32)))
  (type (;3;) (func))
  (import "env" "memory" (memory (;0;) 1 1 shared))
  (import "env" "log" (func $log (;0;) (type 0)))
  (import "threadwork" "notify:0" (func $threadwork:notify:0 (;1;) (type 1)))
  (export "threadwork:enter" (func $threadwork:enter))
  (export "threadwork:reset" (func $threadwork:reset))
  (func $start (;2;) (type 0)
    call $log
    i32.const 0
    i32.const 1
    i64.const 0
    call $threadwork:notify:0
    drop
  )
  (func $threadwork:enter (;3;) (type 2) (param i32)
    local.get 0
    if ;; label = @1
      i32.const 0
      i32.const 0
      i32.const 4
      memory.init 0
    end
    call $start
  )
  (func $threadwork:reset (;4;) (type 3))
  (data (;0;) "data")
)

