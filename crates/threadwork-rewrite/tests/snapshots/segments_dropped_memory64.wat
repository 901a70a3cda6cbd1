;; A segment that is read into two memories has one flag and two helpers.
(module
  (memory $a (import "env" "a") i64 1 1 shared)
  (memory $b (import "env" "b") 1 1 shared)
  (data $d "data")
  (func
    (memory.init $a $d (i64.const 0) (i32.const 0) (i32.const 4))
    (memory.init $b $d (i32.const 0) (i32.const 0) (i32.const 4))
    (data.drop $d)))
