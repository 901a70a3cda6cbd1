;; memory 0: env.memory, 2 to Some(2) pages
;; enter: false, reset: true
;; stack overflow: function 3
(module
  (type (;0;) (func (param i32 i32)))
  (type (;1;) (func))
  (type (;2;) (func))
  (type (;3;) (func (param i32)))
  (import "env" "memory" (memory (;0;) 2 2 shared))
  (global $__stack_pointer (;0;) (mut i32) i32.const 65536)
  (global $__tls_base (;1;) (mut i32) i32.const 0)
  (global $threadwork:stack-low (;2;) (mut i32) i32.const 128)
  (global $threadwork:stack-size (;3;) (mut i32) i32.const 65536)
  (export "wasi_thread_start" (func 0))
  (export "threadwork:reset" (func $threadwork:reset))
  (export "threadwork:stack-overflow" (func $threadwork:stack-overflow))
  (export "threadwork:stack-low" (global $threadwork:stack-low))
  (export "threadwork:stack-size" (global $threadwork:stack-size))
  (func (;0;) (type 0) (param i32 i32)
    local.get 1
    call $threadwork:stack-bounds
    local.get 1
    i32.load
    global.set $__stack_pointer
    local.get 1
    i32.load offset=4
    global.set $__tls_base
    call $frame
  )
  (func $frame (;1;) (type 1)
    (local i32)
    global.get $__stack_pointer
    i32.const 16
    i32.sub
    local.tee 0
    global.set $__stack_pointer
    global.get $__stack_pointer
    global.get $threadwork:stack-low
    i32.sub
    i32.const 0
    i32.lt_s
    if ;; label = @1
      call $threadwork:stack-overflow
      unreachable
    end
    local.get 0
    i32.const 16
    i32.add
    global.set $__stack_pointer
  )
  (func $threadwork:reset (;2;) (type 2)
    i32.const 65536
    global.set $__stack_pointer
    i32.const 0
    global.set $__tls_base
    i32.const 128
    global.set $threadwork:stack-low
    i32.const 65536
    global.set $threadwork:stack-size
  )
  (func $threadwork:stack-overflow (;3;) (type 2)
    unreachable
  )
  (func $threadwork:stack-bounds (;4;) (type 3) (param i32)
    (local i32 i32 i32 i32)
    local.get 0
    i32.load
    local.tee 1
    i32.const 2147483647
    i32.sub
    global.set $threadwork:stack-low
    local.get 0
    i32.load offset=4
    i32.const 3
    i32.add
    i32.const -4
    i32.and
    local.tee 2
    i32.const 65536
    i32.add
    local.set 3
    loop ;; label = @1
      local.get 2
      i64.extend_i32_u
      i64.const 56
      i64.add
      memory.size
      i64.extend_i32_u
      i64.const 16
      i64.shl
      i64.gt_u
      if ;; label = @2
        return
      end
      local.get 2
      i32.load
      local.get 2
      i32.eq
      local.get 2
      i32.load offset=48
      local.get 1
      i32.eq
      i32.and
      if ;; label = @2
        local.get 0
        local.get 2
        i32.load offset=52
        i32.sub
        i32.const 128
        i32.add
        local.tee 4
        local.get 1
        i32.lt_u
        local.get 4
        local.get 2
        i32.load offset=40
        i32.gt_u
        i32.and
        if ;; label = @3
          local.get 4
          global.set $threadwork:stack-low
          local.get 1
          local.get 4
          i32.sub
          i32.const 128
          i32.add
          global.set $threadwork:stack-size
        end
        return
      end
      local.get 2
      i32.const 4
      i32.add
      local.tee 2
      local.get 3
      i32.lt_u
      br_if 0 (;@1;)
    end
  )
)

