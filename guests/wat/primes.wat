;; A library for workers, by hand and without WASI: counts primes, on as many workers as
;; the host likes, each in an instance of its own.
;;
;;   threadwork run --invoke count --workers 4 guests/wat/primes.wat 4 1000000
;;
;; calls count(0, 4, 1000000) to count(3, 4, 1000000), all at the same time. Each takes
;; blocks of numbers from an atomic counter until there are none left, adds what it has
;; found to a shared sum, and waits for the others at a barrier; so each returns the sum
;; of all.
(module
  (memory (export "memory") 1 1 shared)

  ;;   0: i32, the first number that nobody has taken
  ;;   4: i32, primes found
  ;;   8: the barrier: i32, workers that have arrived
  ;;  12: i32, times that it has opened; those that wait sleep on it
  (func (export "count")
    (param $worker i32) (param $workers i32) (param $limit i32) (result i32)
    (local $n i32) (local $end i32) (local $found i32) (local $sum i32)
    (block $none_left
      (loop $next_block
        (local.set $n (i32.atomic.rmw.add (i32.const 0) (i32.const 1000)))
        (br_if $none_left (i32.ge_u (local.get $n) (local.get $limit)))
        (local.set $end (call $min (i32.add (local.get $n) (i32.const 1000)) (local.get $limit)))
        (loop $next
          (local.set $found (i32.add (local.get $found) (call $is_prime (local.get $n))))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $n) (local.get $end))))
        (br $next_block)))
    (drop (i32.atomic.rmw.add (i32.const 4) (local.get $found)))
    (call $meet (local.get $workers))
    (local.set $sum (i32.atomic.load (i32.const 4)))
    ;; Nobody starts the next count before all have read the sum; the first worker makes
    ;; everything ready for it, and nobody returns before that.
    (call $meet (local.get $workers))
    (if (i32.eqz (local.get $worker))
      (then
        (i32.atomic.store (i32.const 0) (i32.const 0))
        (i32.atomic.store (i32.const 4) (i32.const 0))))
    (call $meet (local.get $workers))
    (local.get $sum))

  ;; Waits until all have come.
  (func $meet (param $workers i32) (local $opened i32)
    ;; Read before it arrives: afterwards it could be the next one.
    (local.set $opened (i32.atomic.load (i32.const 12)))
    (if (i32.eq
          (i32.add (i32.atomic.rmw.add (i32.const 8) (i32.const 1)) (i32.const 1))
          (local.get $workers))
      (then
        (i32.atomic.store (i32.const 8) (i32.const 0))
        (drop (i32.atomic.rmw.add (i32.const 12) (i32.const 1)))
        (drop (memory.atomic.notify (i32.const 12) (i32.const -1))))
      (else
        (loop $wait
          (drop (memory.atomic.wait32 (i32.const 12) (local.get $opened) (i64.const -1)))
          (br_if $wait (i32.eq (i32.atomic.load (i32.const 12)) (local.get $opened)))))))

  ;; 1 if it is, else 0, by division.
  (func $is_prime (param $n i32) (result i32) (local $divisor i32)
    (if (i32.lt_u (local.get $n) (i32.const 4))
      (then (return (i32.gt_u (local.get $n) (i32.const 1)))))
    (if (i32.eqz (i32.and (local.get $n) (i32.const 1))) (then (return (i32.const 0))))
    (local.set $divisor (i32.const 3))
    (loop $next
      (if (i32.gt_u (i32.mul (local.get $divisor) (local.get $divisor)) (local.get $n))
        (then (return (i32.const 1))))
      (if (i32.eqz (i32.rem_u (local.get $n) (local.get $divisor)))
        (then (return (i32.const 0))))
      (local.set $divisor (i32.add (local.get $divisor) (i32.const 2)))
      (br $next))
    (i32.const 0))

  (func $min (param i32 i32) (result i32)
    (select (local.get 0) (local.get 1) (i32.lt_u (local.get 0) (local.get 1)))))
