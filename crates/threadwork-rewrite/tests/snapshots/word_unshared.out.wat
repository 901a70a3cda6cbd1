;; memory 0: threadwork.memory:0, 2 to Some(65536) pages
;; enter: true, reset: true
;; stop byte: 65536
(module
  (type (;0;) (func))
  (type (;1;) (func (param i32)))
  (type (;2;) (func))
  (import "threadwork" "memory:0" (memory (;0;) 2 65536 shared))
  (global $threadwork:stop-at (;0;) (mut i32) i32.const 65536)
  (export "memory" (memory 0))
  (export "_start" (func 0))
  (export "threadwork:enter" (func $threadwork:enter))
  (export "threadwork:reset" (func $threadwork:reset))
  (export "threadwork:stop-at" (global $threadwork:stop-at))
  (func (;0;) (type 0)
    loop ;; label = @1
      i32.const 65536
      i32.atomic.load8_u
      if ;; label = @2
        global.get $threadwork:stop-at
        i32.atomic.load8_u
        if ;; label = @3
          unreachable
        end
      end
      br 0 (;@1;)
    end
  )
  (func $threadwork:enter (;1;) (type 1) (param i32)
    local.get 0
    if ;; label = @1
      i32.const 8
      i32.const 0
      i32.const 4
      memory.init 0
    end
  )
  (func $threadwork:reset (;2;) (type 2))
  (data (;0;) "data")
)

