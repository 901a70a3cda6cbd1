;; The same in an instance that cannot be used again: dropping stays.
(module
  (memory (import "env" "memory") 1 1 shared)
  (table 1 funcref)
  (data $written "written and dropped")
  (data $unread "dropped, never written")
  (func $init
    (memory.init $written (i32.const 0) (i32.const 0) (i32.const 19))
    (data.drop $written)
    (data.drop $unread)
    (table.set (i32.const 0) (ref.null func)))
  (start $init))
