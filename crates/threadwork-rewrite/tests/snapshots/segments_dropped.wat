;; What a compiler makes for threads: passive data, written and dropped by the
;; start function. The instance can be used again, so dropping sets a flag.
(module
  (memory (import "env" "memory") 1 1 shared)
  (data $written "written and dropped")
  (data $kept "written, never dropped")
  (data $unread "dropped, never written")
  (func $init
    (memory.init $written (i32.const 0) (i32.const 0) (i32.const 19))
    (data.drop $written)
    (memory.init $kept (i32.const 32) (i32.const 0) (i32.const 22))
    (data.drop $unread))
  (start $init))
