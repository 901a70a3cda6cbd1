//! A task panics. Where that ends the program, its last words name the task:
//! `cargo run --target wasm32-wasip1-threads --example last_words`.

use threadwork::{TaskHandle, ThreadPool};

fn main() {
    let pool = match ThreadPool::new(1) {
        Ok(pool) => pool,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    let task: TaskHandle<()> = pool.task().name("divide").execute(|| panic!("by zero"));
    // Where a panic unwinds, the handle says the same.
    match task.wait() {
        Ok(()) => println!("it did not panic"),
        Err(error) => println!("{error}"),
    }
}
