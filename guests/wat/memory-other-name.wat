;; A shared memory imported under an unusual name and not exported at all: the
;; host must go by the import's type, not by `env.memory`, and WASI calls must
;; find the memory although no export leads to it.
;;
;; One thread writes the first word of the text, and main prints it:
;; `ok memory-other-name`.
(module
  (import "foo" "bar" (memory $bar 2 8 shared))
  (import "wasi" "thread-spawn" (func $thread_spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))

  ;;   0: i32, 1 when the thread is done
  ;;   8: the buffer (address, length) for fd_write, and the count that it writes
  ;; 65536: the text, in the second page
  (func (export "_start")
    (memory.init $text (i32.const 65538) (i32.const 0) (i32.const 19))
    (data.drop $text)
    ;; The thread's argument is the letter 'k'.
    (if (i32.lt_s (call $thread_spawn (i32.const 0x6b)) (i32.const 1))
      (then (call $proc_exit (i32.const 2))))
    (loop $wait
      (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))
      (br_if $wait (i32.eqz (i32.atomic.load (i32.const 0)))))
    (i32.store (i32.const 8) (i32.const 65536))
    (i32.store (i32.const 12) (i32.const 21))
    (drop (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16))))

  (func (export "wasi_thread_start") (param $id i32) (param $k i32)
    (i32.atomic.store8 (i32.const 65536) (i32.const 0x6f)) ;; 'o'
    (i32.atomic.store8 (i32.const 65537) (local.get $k))
    (i32.atomic.store (i32.const 0) (i32.const 1))
    (drop (memory.atomic.notify (i32.const 0) (i32.const -1))))

  ;; Passive, so that it is main's to place, and no later instance resets it.
  (data $text " memory-other-name\n"))
