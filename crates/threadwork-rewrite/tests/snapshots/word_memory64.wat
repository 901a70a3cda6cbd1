;; Addresses of 64 bits, and a memory that is not the first.
(module
  (memory 1)
  (memory i64 2 3 shared)
  (func (loop (br 0))))
