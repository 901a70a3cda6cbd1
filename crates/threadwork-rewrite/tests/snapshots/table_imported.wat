;; An imported table may be changed by others: there is no RESET, and nothing else
;; to do either, so that the module stays as it is.
(module
  (memory (import "env" "memory") 1 1 shared)
  (import "env" "table" (table 1 funcref)))
