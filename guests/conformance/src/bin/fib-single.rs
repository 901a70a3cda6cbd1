//! One thread, no imports of threads: Fibonacci numbers the slow way.
//!
//! Built for plain `wasm32-wasip1` too: programs without threads must run as
//! they always did. `fib-single [N]`, 30 by default.

use conformance::arg_or;

fn main() {
    let n: u32 = arg_or(1, 30);
    println!("fib({n}) = {}", fibonacci(n));
    println!("ok fib-single");
}

fn fibonacci(n: u32) -> u64 {
    if n < 2 { u64::from(n) } else { fibonacci(n - 1) + fibonacci(n - 2) }
}
