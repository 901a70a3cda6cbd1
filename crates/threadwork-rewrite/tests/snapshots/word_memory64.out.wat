;; memory 0: threadwork.memory:0, 3 to Some(3) pages, 64 bits
;; enter: false, reset: false
;; stop byte: 131072
(module
  (type (;0;) (func))
  (import "threadwork" "memory:0" (memory (;0;) i64 3 3 shared))
  (memory (;1;) 1)
  (global $threadwork:stop-at (;0;) (mut i64) i64.const 131072)
  (export "threadwork:memory" (memory 1))
  (export "threadwork:stop-at" (global $threadwork:stop-at))
  (func (;0;) (type 0)
    loop ;; label = @1
      i64.const 131072
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
)

