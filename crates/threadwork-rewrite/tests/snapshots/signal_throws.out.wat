;; enter: false, reset: false
;; poll: true
;; stop: function 2
(module
  (type (;0;) (func (param i32)))
  (type (;1;) (func))
  (type (;2;) (func (param exnref)))
  (type (;3;) (func))
  (import "threadwork" "poll" (memory (;0;) 1 1 shared))
  (tag $t (;0;) (type 0) (param i32))
  (export "threadwork:stop" (func $threadwork:stop))
  (func (;0;) (type 1)
    loop $again
      block $caught (result i32)
        try_table (catch $t $caught) ;; label = @3
          i32.const 7
          i32.const 0
          i32.atomic.load8_u
          drop
          throw $t
        end
        unreachable
      end
      br_if $again
    end
  )
  (func (;1;) (type 2) (param exnref)
    local.get 0
    i32.const 0
    i32.atomic.load8_u
    drop
    throw_ref
  )
  (func $threadwork:stop (;2;) (type 3)
    unreachable
  )
)

