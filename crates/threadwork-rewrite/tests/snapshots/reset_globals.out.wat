;; memory 0: env.memory, 1 to Some(1) pages
;; sync notify:0: Notify of memory 0
;; enter: false, reset: true
(module
  (type (;0;) (func (result i32)))
  (type (;1;) (func (param i32 i32 i64) (result i32)))
  (type (;2;) (func))
  (import "env" "base" (global $base (;0;) i32))
  (import "env" "memory" (memory (;0;) 1 1 shared))
  (import "threadwork" "notify:0" (func $threadwork:notify:0 (;0;) (type 1)))
  (global $constant (;1;) i32 i32.const 1)
  (global $stack (;2;) (mut i32) i32.const 65536)
  (global $long (;3;) (mut i64) i64.const -1)
  (global $single (;4;) (mut f32) f32.const 0x1.8p+0 (;=1.5;))
  (global $double (;5;) (mut f64) f64.const nan:0x8000000000001 (;=NaN;))
  (global $vector (;6;) (mut v128) v128.const i32x4 0x00000001 0x00000002 0x00000003 0x00000004)
  (global $computed (;7;) (mut i32) global.get $base i32.const 4 i32.add)
  (global $function (;8;) (mut funcref) ref.func $wake)
  (global $null (;9;) (mut funcref) ref.null func)
  (export "exported" (global $stack))
  (export "threadwork:reset" (func $threadwork:reset))
  (func $wake (;1;) (type 0) (result i32)
    i32.const 0
    i32.const 1
    i64.const 0
    call $threadwork:notify:0
  )
  (func $threadwork:reset (;2;) (type 2)
    i32.const 65536
    global.set $stack
    i64.const -1
    global.set $long
    f32.const 0x1.8p+0 (;=1.5;)
    global.set $single
    f64.const nan:0x8000000000001 (;=NaN;)
    global.set $double
    v128.const i32x4 0x00000001 0x00000002 0x00000003 0x00000004
    global.set $vector
    global.get $base
    i32.const 4
    i32.add
    global.set $computed
    ref.func $wake
    global.set $function
    ref.null func
    global.set $null
  )
)

