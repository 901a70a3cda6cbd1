;; memory 0: env.a, 1 to Some(2) pages
;; memory 1: threadwork.memory:1, 1 to Some(2) pages
;; sync notify:0: Notify of memory 0
;; sync grow:0: Grow of memory 0
;; sync wait32:1: Wait32 of memory 1
;; sync grow:1: Grow of memory 1
;; enter: true, reset: false
(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32 i64) (result i32)))
  (type (;2;) (func (param i32) (result i32)))
  (type (;3;) (func (param i32 i32 i64 i64) (result i32)))
  (type (;4;) (func (param i32)))
  (import "env" "a" (memory $a (;0;) 1 2 shared))
  (import "threadwork" "memory:1" (memory $c (;1;) 1 2 shared))
  (import "threadwork" "notify:0" (func $threadwork:notify:0 (;0;) (type 1)))
  (import "threadwork" "grow:0" (func $threadwork:grow:0 (;1;) (type 2)))
  (import "threadwork" "wait32:1" (func $threadwork:wait32:1 (;2;) (type 3)))
  (import "threadwork" "grow:1" (func $threadwork:grow:1 (;3;) (type 2)))
  (memory $b (;2;) 1 2)
  (memory $d (;3;) 1)
  (export "b" (memory $b))
  (export "c" (memory $c))
  (export "threadwork:enter" (func $threadwork:enter))
  (func $mentions (;4;) (type 0) (param i32) (result i32)
    local.get 0
    local.get 0
    i32.load $b offset=4
    i32.store
    local.get 0
    local.get 0
    i32.load8_u $d
    i32.atomic.store $c
    i32.const 0
    i32.const 0
    i32.const 1
    memory.copy $b $c
    i32.const 0
    i32.const 0
    i32.const 1
    memory.fill $d
    i32.const 0
    i32.const 0
    v128.const i32x4 0x00000000 0x00000000 0x00000000 0x00000000
    v128.load64_lane $c 1
    v128.store $b
    i32.const 0
    i32.const 0
    i32.const 1
    memory.init $c $threadwork:empty
    i32.const 0
    i32.const 0
    i32.const 1
    memory.init $b $passive
    block ;; label = @1
      local.get 0
      br_table 0 (;@1;) 0 (;@1;)
    end
    memory.size $b
    memory.size $c
    i32.add
  )
  (func $sync (;5;) (type 0) (param i32) (result i32)
    i32.const 1
    call $threadwork:grow:0
    drop
    i32.const 1
    memory.grow $b
    drop
    i32.const 1
    call $threadwork:grow:1
    drop
    local.get 0
    i32.const 0
    i64.const 0
    memory.atomic.wait32 $b
    drop
    local.get 0
    i32.const 0
    i64.const 0
    i64.const 0
    call $threadwork:wait32:1
    drop
    local.get 0
    i32.const 0
    memory.atomic.notify $b
    drop
    local.get 0
    i32.const 0
    i64.const 0
    call $threadwork:notify:0
  )
  (func $threadwork:enter (;6;) (type 4) (param i32)
    i32.const 0
    i32.const 0
    i32.const 1
    memory.init $b $d0
    local.get 0
    if ;; label = @1
      i32.const 0
      i32.const 0
      i32.const 1
      memory.init $c $d1
    end
  )
  (data $d0 (;0;) "b")
  (data $d1 (;1;) "c")
  (data $passive (;2;) "p")
  (data $threadwork:empty (;3;) "")
)

