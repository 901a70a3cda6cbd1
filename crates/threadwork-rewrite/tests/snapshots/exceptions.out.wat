;; memory 0: env.memory, 1 to Some(1) pages
;; sync notify:0: Notify of memory 0
;; enter: false, reset: true
(module
  (type (;0;) (func (param i32)))
  (type (;1;) (func (param i64)))
  (type (;2;) (func (result i32)))
  (type (;3;) (func (result i32 exnref)))
  (type (;4;) (func))
  (type (;5;) (func (param i32 i32 i64) (result i32)))
  (type (;6;) (func))
  (import "env" "memory" (memory (;0;) 1 1 shared))
  (import "env" "tag" (tag $theirs (;0;) (type 0) (param i32)))
  (import "threadwork" "notify:0" (func $threadwork:notify:0 (;0;) (type 5)))
  (tag $ours (;1;) (type 1) (param i64))
  (global $last (;0;) (mut exnref) ref.null exn)
  (export "tag" (tag 1))
  (export "catches" (func 2))
  (export "again" (func 3))
  (export "threadwork:reset" (func $threadwork:reset))
  (func $wake (;1;) (type 2) (result i32)
    i32.const 0
    i32.const 1
    i64.const 0
    call $threadwork:notify:0
  )
  (func (;2;) (type 2) (result i32)
    block $caught (type 3) (result i32 exnref)
      try_table (catch_ref $theirs $caught) ;; label = @2
        call $wake
        drop
        i64.const 1
        throw $ours
      end
      unreachable
    end
    global.set $last
  )
  (func (;3;) (type 4)
    global.get $last
    throw_ref
  )
  (func $threadwork:reset (;4;) (type 6)
    ref.null exn
    global.set $last
  )
)

