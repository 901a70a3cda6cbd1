;; So may an imported mutable global.
(module
  (memory (import "env" "memory") 1 1 shared)
  (import "env" "global" (global (mut i32))))
