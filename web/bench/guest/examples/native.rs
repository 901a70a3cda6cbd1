//! The same, natively: `native meet|spawn_join|nested NUMBER` prints nanoseconds for each thread.

use std::env;
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [what, number] = args.as_slice() else {
        return Err("give a name and a number".into());
    };
    let number: u32 = number.parse()?;
    let nanoseconds = match what.as_str() {
        "meet" => {
            let begin = Instant::now();
            bench_guest::meet(number as usize);
            begin.elapsed().as_nanos() as f64
        }
        "spawn_join" => bench_guest::spawn_join(number),
        "nested" => bench_guest::nested(number),
        other => return Err(format!("{other} is nothing to measure").into()),
    };
    println!("{nanoseconds} {}", bench_guest::seen());
    Ok(())
}
