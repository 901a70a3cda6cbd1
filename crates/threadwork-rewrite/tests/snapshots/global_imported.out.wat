;; memory 0: env.memory, 1 to Some(1) pages
;; enter: false, reset: false
(module
  (import "env" "memory" (memory (;0;) 1 1 shared))
  (import "env" "global" (global (;0;) (mut i32)))
)

