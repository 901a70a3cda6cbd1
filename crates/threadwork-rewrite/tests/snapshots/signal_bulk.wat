;; Nothing in loops. Operators on many bytes are calls of functions that work in pieces,
;; but not a copy that is so short that it is no library call; and others that are one
;; have a poll behind them.
(module
  (memory $shared (import "env" "memory") 1 9 shared)
  (memory $own i64 1)
  (table 1 funcref)
  (data $read "data")
  (func $fill (param i32)
    (loop
      (memory.fill $shared (local.get 0) (i32.const 0) (local.get 0))
      (memory.copy $shared $own (local.get 0) (i64.const 0) (local.get 0))
      (memory.copy $shared $shared (local.get 0) (i32.const 0) (i32.const 64))
      (memory.init $shared $read (local.get 0) (i32.const 0) (i32.const 4))
      (drop (memory.grow $shared (i32.const 1)))
      (drop (memory.grow $own (i64.const 1)))
      (table.fill (i32.const 0) (ref.null func) (i32.const 1))
      (br 0))))
