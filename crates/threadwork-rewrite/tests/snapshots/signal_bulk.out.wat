;; memory 0: env.memory, 1 to Some(9) pages
;; sync grow:0: Grow of memory 0
;; enter: false, reset: false
;; poll: true
;; stop: function 4
(module
  (type (;0;) (func (param i32)))
  (type (;1;) (func (param i32) (result i32)))
  (type (;2;) (func (param i32 i32 i32)))
  (type (;3;) (func (param i32 i64 i32)))
  (type (;4;) (func))
  (import "env" "memory" (memory $shared (;0;) 1 9 shared))
  (import "threadwork" "poll" (memory (;1;) 1 1 shared))
  (import "threadwork" "grow:0" (func $threadwork:grow:0 (;0;) (type 1)))
  (table (;0;) 1 funcref)
  (memory $own (;2;) i64 1)
  (export "threadwork:stop" (func $threadwork:stop))
  (func $fill (;1;) (type 0) (param i32)
    loop ;; label = @1
      local.get 0
      i32.const 0
      local.get 0
      call $threadwork:fill:0
      local.get 0
      i64.const 0
      local.get 0
      call $threadwork:copy:0:2
      local.get 0
      i32.const 0
      i32.const 64
      memory.copy
      local.get 0
      i32.const 0
      i32.const 4
      memory.init $read
      i32.const 0
      i32.atomic.load8_u 1
      drop
      i32.const 1
      call $threadwork:grow:0
      drop
      i64.const 1
      memory.grow $own
      i32.const 0
      i32.atomic.load8_u 1
      drop
      drop
      i32.const 0
      ref.null func
      i32.const 1
      table.fill 0
      i32.const 0
      i32.atomic.load8_u 1
      drop
      br 0 (;@1;)
    end
  )
  (func $threadwork:fill:0 (;2;) (type 2) (param i32 i32 i32)
    block ;; label = @1
      local.get 2
      i32.const 1048576
      i32.gt_u
      i32.eqz
      br_if 0 (;@1;)
      local.get 0
      local.get 2
      i32.add
      i32.const 1
      i32.sub
      local.get 0
      i32.lt_u
      br_if 0 (;@1;)
      local.get 0
      local.get 2
      i32.add
      i32.const 1
      i32.sub
      i32.load8_u
      drop
      loop ;; label = @2
        local.get 0
        local.get 1
        i32.const 1048576
        memory.fill
        i32.const 0
        i32.atomic.load8_u 1
        drop
        local.get 0
        i32.const 1048576
        i32.add
        local.set 0
        local.get 2
        i32.const 1048576
        i32.sub
        local.set 2
        local.get 2
        i32.const 1048576
        i32.gt_u
        br_if 0 (;@2;)
      end
    end
    local.get 0
    local.get 1
    local.get 2
    memory.fill
    i32.const 0
    i32.atomic.load8_u 1
    drop
  )
  (func $threadwork:copy:0:2 (;3;) (type 3) (param i32 i64 i32)
    block ;; label = @1
      local.get 2
      i32.const 1048576
      i32.gt_u
      i32.eqz
      br_if 0 (;@1;)
      local.get 0
      local.get 2
      i32.add
      i32.const 1
      i32.sub
      local.get 0
      i32.lt_u
      br_if 0 (;@1;)
      local.get 1
      local.get 2
      i64.extend_i32_u
      i64.add
      i64.const 1
      i64.sub
      local.get 1
      i64.lt_u
      br_if 0 (;@1;)
      local.get 0
      local.get 2
      i32.add
      i32.const 1
      i32.sub
      i32.load8_u
      drop
      local.get 1
      local.get 2
      i64.extend_i32_u
      i64.add
      i64.const 1
      i64.sub
      i32.load8_u $own
      drop
      loop ;; label = @2
        local.get 0
        local.get 1
        i32.const 1048576
        memory.copy $shared $own
        i32.const 0
        i32.atomic.load8_u 1
        drop
        local.get 0
        i32.const 1048576
        i32.add
        local.set 0
        local.get 1
        i64.const 1048576
        i64.add
        local.set 1
        local.get 2
        i32.const 1048576
        i32.sub
        local.set 2
        local.get 2
        i32.const 1048576
        i32.gt_u
        br_if 0 (;@2;)
      end
    end
    local.get 0
    local.get 1
    local.get 2
    memory.copy $shared $own
    i32.const 0
    i32.atomic.load8_u 1
    drop
  )
  (func $threadwork:stop (;4;) (type 4)
    unreachable
  )
  (data $read (;0;) "data")
)

