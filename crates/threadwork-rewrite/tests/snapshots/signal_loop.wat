;; Nothing is added to loops, and no poll memory if nothing polls.
(module
  (memory (export "memory") 1)
  (func $loop (export "_start") (loop (br 0))))
