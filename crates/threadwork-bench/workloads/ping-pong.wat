;; The bare wait/notify round trip, as a guest: what `wait-notify` of src/ping_pong.rs
;; is natively. It speaks the protocol of `workload serve`: for each line
;; `<name> <threads> <iterations>` of its input it plays `iterations` round trips,
;; divided over `threads / 2` pairs, and answers `ns_per_op=<decimal> answer=<round trips>`.
;;
;;     echo "wait-notify 2 1000" | threadwork run ping-pong.wat
;;
;; The one page of memory:
;;      0  iovec and result of fd_read and fd_write; 16: the byte that was read
;;     48  the game: its number, threads, iterations
;;     64  the texts
;;    128  the reply
;;    256  arrived   how many players are at the gate
;;    384  gate      the number of the game that may begin
;;    512  done      how many players are at the end
;;    640  returned  how many round trips were completed
;;   1024  times     of player i at 1024 + 16 i: its start, its end
;;   8192  turns     of pair p at 8192 + 128 p: whose turn it is, 0 or 1
;;
;; Addresses and expected values are kept in locals: V8's baseline compiler in Node 20
;; clobbers a local across a wait with two constant operands.
(module
  (import "env" "memory" (memory 1 1 shared))
  (import "wasi" "thread-spawn" (func $thread_spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (export "memory" (memory 0))

  (data $texts "ns_per_op= answer=")

  ;; The main thread's own (globals are not shared); the players find the game in memory.
  (global $game (mut i32) (i32.const 0))
  (global $threads (mut i32) (i32.const 0))
  (global $iterations (mut i64) (i64.const 0))
  (global $end_of_reply (mut i32) (i32.const 128))

  ;; ---------------------------------------------------------------- the players

  (func (export "wasi_thread_start") (param $thread i32) (param $player i32)
    (local $pair i32) (local $pairs i32) (local $side i32) (local $other i32)
    (local $turn i32) (local $rounds i64) (local $times i32) (local $game i32)
    (local $returned i64)
    (local.set $game (i32.load (i32.const 48)))
    (local.set $pairs (i32.shr_u (i32.load (i32.const 52)) (i32.const 1)))
    (local.set $pair (i32.shr_u (local.get $player) (i32.const 1)))
    (local.set $side (i32.and (local.get $player) (i32.const 1)))
    (local.set $other (i32.xor (local.get $side) (i32.const 1)))
    (local.set $turn (i32.add (i32.const 8192) (i32.shl (local.get $pair) (i32.const 7))))
    (local.set $times (i32.add (i32.const 1024) (i32.shl (local.get $player) (i32.const 4))))
    ;; rounds = iterations / pairs, and one more for the first (iterations % pairs)
    (local.set $rounds
      (i64.add
        (i64.div_u (i64.load (i32.const 56)) (i64.extend_i32_u (local.get $pairs)))
        (i64.extend_i32_u
          (i64.lt_u
            (i64.extend_i32_u (local.get $pair))
            (i64.rem_u (i64.load (i32.const 56)) (i64.extend_i32_u (local.get $pairs)))))))

    (call $arrive (i32.const 256))
    (call $wait_for (i32.const 384) (local.get $game))
    (drop (call $clock_time_get (i32.const 1) (i64.const 1) (local.get $times)))
    (block $over
      (loop $round
        (br_if $over (i64.eqz (local.get $rounds)))
        (block $mine
          (loop $sleep
            (br_if $mine (i32.eq (i32.atomic.load (local.get $turn)) (local.get $side)))
            (drop (memory.atomic.wait32 (local.get $turn) (local.get $other) (i64.const -1)))
            (br $sleep)))
        (local.set $returned (i64.add (local.get $returned) (i64.extend_i32_u (local.get $side))))
        (i32.atomic.store (local.get $turn) (local.get $other))
        (drop (memory.atomic.notify (local.get $turn) (i32.const 1)))
        (local.set $rounds (i64.sub (local.get $rounds) (i64.const 1)))
        (br $round)))
    (drop (call $clock_time_get (i32.const 1) (i64.const 1)
      (i32.add (local.get $times) (i32.const 8))))
    (drop (i64.atomic.rmw.add (i32.const 640) (local.get $returned)))
    (call $arrive (i32.const 512)))

  ;; Adds one to the word, and wakes whoever waits for it.
  (func $arrive (param $word i32)
    (drop (i32.atomic.rmw.add (local.get $word) (i32.const 1)))
    (drop (memory.atomic.notify (local.get $word) (i32.const -1))))

  ;; Sleeps until the word has the value.
  (func $wait_for (param $word i32) (param $value i32)
    (local $seen i32)
    (loop $again
      (local.set $seen (i32.atomic.load (local.get $word)))
      (if (i32.ne (local.get $seen) (local.get $value))
        (then
          (drop (memory.atomic.wait32 (local.get $word) (local.get $seen) (i64.const -1)))
          (br $again)))))

  ;; ------------------------------------------------------------ the main thread

  (func (export "_start")
    (memory.init $texts (i32.const 64) (i32.const 0) (i32.const 18))
    (loop $next
      (if (call $read_request)
        (then
          (call $play)
          (call $reply)
          (br $next)))))

  ;; Reads a line into $threads and $iterations. Gives 0 at the end of the input.
  (func $read_request (result i32)
    (local $byte i32) (local $field i32)
    (global.set $threads (i32.const 0))
    (global.set $iterations (i64.const 0))
    (loop $next
      (i32.store (i32.const 0) (i32.const 16))
      (i32.store (i32.const 4) (i32.const 1))
      (i32.store (i32.const 8) (i32.const 0))
      (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (i32.eqz (i32.load (i32.const 8))) (then (return (i32.const 0))))
      (local.set $byte (i32.load8_u (i32.const 16)))
      (if (i32.eq (local.get $byte) (i32.const 10)) (then (return (i32.const 1))))
      (if (i32.eq (local.get $byte) (i32.const 32))
        (then (local.set $field (i32.add (local.get $field) (i32.const 1))))
        (else
          (local.set $byte (i32.sub (local.get $byte) (i32.const 48)))
          (if (i32.eq (local.get $field) (i32.const 1))
            (then (global.set $threads
              (i32.add (i32.mul (global.get $threads) (i32.const 10)) (local.get $byte)))))
          (if (i32.eq (local.get $field) (i32.const 2))
            (then (global.set $iterations
              (i64.add (i64.mul (global.get $iterations) (i64.const 10))
                (i64.extend_i32_u (local.get $byte))))))))
      (br $next))
    (unreachable))

  ;; Starts the players, opens the gate when all are there, waits for their end.
  (func $play
    (local $player i32)
    ;; Whole pairs, at least one, and no more than have a line in the memory.
    (global.set $threads (i32.and (global.get $threads) (i32.const 0x7e)))
    (if (i32.eqz (global.get $threads)) (then (global.set $threads (i32.const 2))))
    (global.set $game (i32.add (global.get $game) (i32.const 1)))
    (i32.store (i32.const 48) (global.get $game))
    (i32.store (i32.const 52) (global.get $threads))
    (i64.store (i32.const 56) (global.get $iterations))
    (i32.atomic.store (i32.const 256) (i32.const 0))
    (i32.atomic.store (i32.const 512) (i32.const 0))
    (i64.atomic.store (i32.const 640) (i64.const 0))
    (loop $next
      (if (i32.lt_s (call $thread_spawn (local.get $player)) (i32.const 0)) (then (unreachable)))
      (local.set $player (i32.add (local.get $player) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $player) (global.get $threads))))
    (call $wait_for (i32.const 256) (global.get $threads))
    (i32.atomic.store (i32.const 384) (global.get $game))
    (drop (memory.atomic.notify (i32.const 384) (i32.const -1)))
    (call $wait_for (i32.const 512) (global.get $threads)))

  ;; The time from the first start to the last end, in nanoseconds.
  (func $elapsed (result i64)
    (local $times i32) (local $last i32) (local $start i64) (local $end i64)
    (local.set $times (i32.const 1024))
    (local.set $last
      (i32.add (i32.const 1024) (i32.shl (global.get $threads) (i32.const 4))))
    (local.set $start (i64.const -1))
    (loop $next
      (if (i64.lt_u (i64.load (local.get $times)) (local.get $start))
        (then (local.set $start (i64.load (local.get $times)))))
      (if (i64.gt_u (i64.load offset=8 (local.get $times)) (local.get $end))
        (then (local.set $end (i64.load offset=8 (local.get $times)))))
      (local.set $times (i32.add (local.get $times) (i32.const 16)))
      (br_if $next (i32.lt_u (local.get $times) (local.get $last))))
    (i64.sub (local.get $end) (local.get $start)))

  (func $reply
    (local $thousandths i64)
    (local.set $thousandths
      (i64.div_u (i64.mul (call $elapsed) (i64.const 1000)) (global.get $iterations)))
    (global.set $end_of_reply (i32.const 128))
    (call $put_text (i32.const 64) (i32.const 10))
    (call $put_number (i64.div_u (local.get $thousandths) (i64.const 1000)))
    (call $put (i32.const 46))
    (call $put_digit (i64.div_u (local.get $thousandths) (i64.const 100)))
    (call $put_digit (i64.div_u (local.get $thousandths) (i64.const 10)))
    (call $put_digit (local.get $thousandths))
    (call $put_text (i32.const 74) (i32.const 8))
    (call $put_number (i64.atomic.load (i32.const 640)))
    (call $put (i32.const 10))
    (i32.store (i32.const 0) (i32.const 128))
    (i32.store (i32.const 4) (i32.sub (global.get $end_of_reply) (i32.const 128)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))

  (func $put (param $byte i32)
    (i32.store8 (global.get $end_of_reply) (local.get $byte))
    (global.set $end_of_reply (i32.add (global.get $end_of_reply) (i32.const 1))))

  (func $put_text (param $from i32) (param $length i32)
    (memory.copy (global.get $end_of_reply) (local.get $from) (local.get $length))
    (global.set $end_of_reply (i32.add (global.get $end_of_reply) (local.get $length))))

  ;; The last decimal digit of the number.
  (func $put_digit (param $number i64)
    (call $put (i32.add (i32.const 48)
      (i32.wrap_i64 (i64.rem_u (local.get $number) (i64.const 10))))))

  (func $put_number (param $number i64)
    (if (i64.ge_u (local.get $number) (i64.const 10))
      (then (call $put_number (i64.div_u (local.get $number) (i64.const 10)))))
    (call $put_digit (local.get $number))))
