;; memory 0: threadwork.memory:0, 1 to Some(1) pages
;; sync grow:0: Grow of memory 0
;; enter: false, reset: false
(module $named
  (type $signature (;0;) (func (param i32)))
  (type (;1;) (func (param i32) (result i32)))
  (import "env" "log" (func $log (;0;) (type $signature)))
  (import "threadwork" "memory:0" (memory $second (;0;) 1 1 shared))
  (import "threadwork" "grow:0" (func $threadwork:grow:0 (;1;) (type 1)))
  (table $table (;0;) 1 funcref)
  (memory $first (;1;) 1)
  (global $global (;0;) (mut i32) i32.const 0)
  (export "threadwork:memory" (memory $first))
  (elem $elements (;0;) (i32.const 0) func $outer)
  (func $outer (;2;) (type $signature) (param $parameter i32)
    (local $local i32)
    block $label
      local.get $parameter
      br_if $label
      local.get $parameter
      call $threadwork:grow:0
      local.set $local
    end
    global.get $global
    call $log
    i32.const 0
    i32.const 0
    i32.const 4
    memory.init $data
  )
  (func (;3;) (type $signature) (param i32)
    local.get 0
    call $outer
  )
  (data $data (;0;) "data")
)

