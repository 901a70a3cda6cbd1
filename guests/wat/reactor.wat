;; A library rather than a program: `_initialize` runs once, and then the host
;; calls the other exports, as often as it likes and on any thread.
;;
;;   add(a, b)     a + b, without any state
;;   next()        100, 101, 102, ...: every call gets a number of its own
;;   wait_for(n)   sleeps until `next` has given out n numbers; returns their count
;;   divide(a, b)  a / b; a division by zero traps
;;
;; The state is in the shared memory: a global would belong to one instance, and
;; each thread has an instance of its own.
(module
  (import "env" "memory" (memory 1 1 shared))

  ;; 0: i32, the number that `next` gives out next
  (func (export "_initialize")
    (i32.atomic.store (i32.const 0) (i32.const 100)))

  (func (export "add") (param $a i32) (param $b i32) (result i32)
    (i32.add (local.get $a) (local.get $b)))

  (func (export "next") (result i32)
    (i32.atomic.rmw.add (i32.const 0) (i32.const 1))
    (drop (memory.atomic.notify (i32.const 0) (i32.const -1))))

  (func (export "wait_for") (param $n i32) (result i32)
    (local $next i32)
    (loop $wait
      (local.set $next (i32.atomic.load (i32.const 0)))
      (if (i32.lt_u (i32.sub (local.get $next) (i32.const 100)) (local.get $n))
        (then
          (drop (memory.atomic.wait32 (i32.const 0) (local.get $next) (i64.const -1)))
          (br $wait))))
    (i32.sub (local.get $next) (i32.const 100)))

  (func (export "divide") (param $a i32) (param $b i32) (result i32)
    (i32.div_s (local.get $a) (local.get $b))))
