;; memory 0: env.memory, 1 to Some(1) pages
;; sync grow:0: Grow of memory 0
;; enter: false, reset: true
(module
  (@custom "first" (before first) "1")
  (type (;0;) (func (result i32)))
  (type (;1;) (func (param i32) (result i32)))
  (type (;2;) (func))
  (import "env" "memory" (memory (;0;) 1 1 shared))
  (import "threadwork" "grow:0" (func $threadwork:grow:0 (;0;) (type 1)))
  (export "threadwork:reset" (func $threadwork:reset))
  (func (;1;) (type 0) (result i32)
    i32.const 1
    call $threadwork:grow:0
  )
  (func $threadwork:reset (;2;) (type 2))
  (@producers)
  (@custom "target_features" (after code) "\00")
  (@custom "sourceMappingURL" (after code) "\04a.js")
  (@custom "last" (after code) "2")
)

