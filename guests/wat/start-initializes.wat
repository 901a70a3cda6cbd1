;; What happens each time that an instance is made. Every thread has an instance
;; of its own, over the one memory, so that by the specification
;;  - the start function runs once for each instance (linkers know that: theirs
;;    picks a winner with an atomic, as the one here does);
;;  - an active data segment is written again by each instance (linkers know that
;;    too, and write passive ones; a program by hand may not).
;;
;; Main overwrites a byte that an active segment has set, starts three threads
;; one after another, and prints what it finds:
;;
;;   starts: <n>      start functions run: at least 4, more if the host makes
;;                    instances ahead
;;   winners: <n>     1, or the memory was initialised twice
;;   segment: kept    main's byte is still there; or `reset`, if instances made
;;                    since have written the segment again
(module
  (import "env" "memory" (memory 1 1 shared))
  (import "wasi" "thread-spawn" (func $thread_spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (export "memory" (memory 0))

  ;;   0: i32, state of the initialisation: 0 nobody, 1 somebody is at it, 2 done
  ;;   4: i32, start functions run
  ;;   8: i32, winners
  ;;  12: i32, threads that are done; main waits on it
  ;;  16: i32, 42 once the winner has initialised it
  ;;  24: the buffer (address, length) for fd_write, and the count that it writes
  ;;  40: digits of a number
  ;;  64: texts
  (data (i32.const 64) "segment: ")
  (data (i32.const 80) "reset\n")
  (data (i32.const 96) "kept\n")
  (data (i32.const 112) "starts: ")
  (data (i32.const 128) "winners: ")
  (data (i32.const 144) "A")

  (start $initialize)
  (func $initialize
    (drop (i32.atomic.rmw.add (i32.const 4) (i32.const 1)))
    (if (i32.eqz (i32.atomic.rmw.cmpxchg (i32.const 0) (i32.const 0) (i32.const 1)))
      (then
        (drop (i32.atomic.rmw.add (i32.const 8) (i32.const 1)))
        (i32.store (i32.const 16) (i32.const 42))
        (i32.atomic.store (i32.const 0) (i32.const 2))
        (drop (memory.atomic.notify (i32.const 0) (i32.const -1))))
      (else
        (loop $wait
          (drop (memory.atomic.wait32 (i32.const 0) (i32.const 1) (i64.const -1)))
          (br_if $wait (i32.ne (i32.atomic.load (i32.const 0)) (i32.const 2)))))))

  (func (export "_start")
    (i32.atomic.store8 (i32.const 144) (i32.const 0x42)) ;; 'B' over the 'A'
    (call $run_thread (i32.const 0))
    (call $run_thread (i32.const 1))
    (call $run_thread (i32.const 2))

    (call $print (i32.const 112) (i32.const 8))
    (call $print_number (i32.atomic.load (i32.const 4)))
    (call $print (i32.const 128) (i32.const 9))
    (call $print_number (i32.atomic.load (i32.const 8)))
    (call $print (i32.const 64) (i32.const 9))
    (if (i32.eq (i32.atomic.load8_u (i32.const 144)) (i32.const 0x42))
      (then (call $print (i32.const 96) (i32.const 5)))
      (else (call $print (i32.const 80) (i32.const 6)))))

  ;; Starts thread number $number and waits until it is done.
  (func $run_thread (param $number i32)
    (if (i32.lt_s (call $thread_spawn (i32.const 0)) (i32.const 1))
      (then (call $proc_exit (i32.const 2))))
    (loop $wait
      (drop (memory.atomic.wait32 (i32.const 12) (local.get $number) (i64.const -1)))
      (br_if $wait (i32.eq (i32.atomic.load (i32.const 12)) (local.get $number)))))

  ;; Traps if its own start function let it run before the memory was ready.
  (func (export "wasi_thread_start") (param $id i32) (param $argument i32)
    (if (i32.ne (i32.load (i32.const 16)) (i32.const 42)) (then (unreachable)))
    (drop (i32.atomic.rmw.add (i32.const 12) (i32.const 1)))
    (drop (memory.atomic.notify (i32.const 12) (i32.const 1))))

  (func $print (param $address i32) (param $length i32)
    (i32.store (i32.const 24) (local.get $address))
    (i32.store (i32.const 28) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 24) (i32.const 1) (i32.const 32))))

  ;; Prints a decimal number and a line's end, written from the back to address 56.
  (func $print_number (param $number i32)
    (local $address i32)
    (local.set $address (i32.const 55))
    (i32.store8 (local.get $address) (i32.const 0x0a))
    (loop $digits
      (local.set $address (i32.sub (local.get $address) (i32.const 1)))
      (i32.store8 (local.get $address)
        (i32.add (i32.const 0x30) (i32.rem_u (local.get $number) (i32.const 10))))
      (local.set $number (i32.div_u (local.get $number) (i32.const 10)))
      (br_if $digits (local.get $number)))
    (call $print (local.get $address) (i32.sub (i32.const 56) (local.get $address)))))
