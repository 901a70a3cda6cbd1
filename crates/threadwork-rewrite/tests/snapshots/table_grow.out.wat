;; memory 0: env.memory, 1 to Some(1) pages
;; enter: false, reset: false
(module
  (type (;0;) (func))
  (import "env" "memory" (memory (;0;) 1 1 shared))
  (table (;0;) 1 funcref)
  (elem $e (;0;) func $f)
  (func $f (;0;) (type 0)
    ref.null func
    i32.const 1
    table.grow 0
    drop
  )
)

