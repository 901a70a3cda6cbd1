//! Interprets a WebAssembly module that counts primes, on so many threads: `wasmi THREADS`.

use std::{env, thread};

use wasmi::{Engine, Instance, Linker, Module, Store};

const PRIMES: &str = r#"(module
  (func (export "count") (param $from i32) (param $to i32) (result i32)
    (local $n i32) (local $d i32) (local $count i32)
    (local.set $n (local.get $from))
    (loop $numbers
      (local.set $d (i32.const 2))
      (block $composite
        (loop $divisors
          (if (i32.le_u (i32.mul (local.get $d) (local.get $d)) (local.get $n)) (then
            (br_if $composite (i32.eqz (i32.rem_u (local.get $n) (local.get $d))))
            (local.set $d (i32.add (local.get $d) (i32.const 1)))
            (br $divisors))))
        (local.set $count (i32.add (local.get $count) (i32.const 1))))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $numbers (i32.lt_u (local.get $n) (local.get $to))))
    (local.get $count)))"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads: i32 = env::args().nth(1).ok_or("usage: wasmi THREADS")?.parse()?;
    let engine = Engine::default();
    let module = Module::new(&engine, wat::parse_str(PRIMES)?)?;
    let count = |from: i32, to: i32| -> Result<i32, wasmi::Error> {
        let mut store = Store::new(&engine, ());
        let instance: Instance = Linker::new(&engine).instantiate_and_start(&mut store, &module)?;
        let count = instance.get_typed_func::<(i32, i32), i32>(&store, "count")?;
        count.call(&mut store, (from, to))
    };
    const PARTS: i32 = 96;
    const PART: i32 = 10_000;
    let counts = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let parts = (worker..PARTS).step_by(threads as usize);
                scope.spawn(move || {
                    parts
                        .map(|part| count(2 + part * PART, 2 + (part + 1) * PART))
                        .collect()
                })
            })
            .collect();
        let join = |worker: thread::ScopedJoinHandle<'_, Result<Vec<i32>, _>>| {
            worker.join().expect("no panic")
        };
        workers
            .into_iter()
            .map(join)
            .collect::<Result<Vec<_>, wasmi::Error>>()
    })?;
    println!("{} primes", counts.concat().iter().sum::<i32>());
    Ok(())
}
