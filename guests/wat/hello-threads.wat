;; The smallest complete threaded program: four threads add to a shared sum, and
;; main sleeps until the last one is done.
;;
;; It shows the whole ABI: a shared memory that is imported (here as
;; `env.memory`), `wasi.thread-spawn` to start a thread, and `wasi_thread_start`
;; that the host calls in an instance of its own for each thread.
;;
;; Prints `ok hello-threads` and exits with 0; exits with 1 if the sum is wrong,
;; and with 2 if a thread could not be started.
(module
  (import "env" "memory" (memory 1 1 shared))
  (import "wasi" "thread-spawn" (func $thread_spawn (param $argument i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))

  ;;   0: i32, the sum
  ;;   4: i32, how many threads are done; main waits on it
  ;;   8: the buffer (address, length) for fd_write, and the count that it writes
  ;;  32: the text
  ;; A start argument of n makes the thread add n, a thousand times.
  (export "memory" (memory 0))

  (func (export "_start")
    (local $n i32)
    (local $done i32)
    (loop $spawn_all
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (if (i32.lt_s (call $thread_spawn (local.get $n)) (i32.const 1))
        (then (call $proc_exit (i32.const 2))))
      (br_if $spawn_all (i32.lt_u (local.get $n) (i32.const 4))))

    (block $all_done
      (loop $wait
        (local.set $done (i32.atomic.load (i32.const 4)))
        (br_if $all_done (i32.eq (local.get $done) (i32.const 4)))
        ;; Returns at once if the count has changed since it was loaded.
        (drop (memory.atomic.wait32 (i32.const 4) (local.get $done) (i64.const -1)))
        (br $wait)))

    ;; 1000 * (1 + 2 + 3 + 4)
    (if (i32.ne (i32.atomic.load (i32.const 0)) (i32.const 10000))
      (then (call $proc_exit (i32.const 1))))
    (i32.store (i32.const 8) (i32.const 32))
    (i32.store (i32.const 12) (i32.const 17))
    (drop (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))
    (call $proc_exit (i32.const 0)))

  (func (export "wasi_thread_start") (param $id i32) (param $argument i32)
    (local $rounds i32)
    (local.set $rounds (i32.const 1000))
    (loop $again
      (drop (i32.atomic.rmw.add (i32.const 0) (local.get $argument)))
      (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
      (br_if $again (local.get $rounds)))
    (drop (i32.atomic.rmw.add (i32.const 4) (i32.const 1)))
    (drop (memory.atomic.notify (i32.const 4) (i32.const 1))))

  (data (i32.const 32) "ok hello-threads\n"))
