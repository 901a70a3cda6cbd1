//! Says hello, from the main thread and from another one, and prints its
//! arguments and its environment.

use std::env;
use std::thread;

fn main() {
    println!("hello from {}", thread::current().name().unwrap_or("?"));
    let speaker = thread::Builder::new()
        .name("a thread".into())
        .spawn(|| println!("hello from {}", thread::current().name().unwrap_or("?")));
    speaker.expect("cannot start a thread").join().expect("the thread panicked");

    for (index, arg) in env::args().enumerate() {
        println!("arg {index}: {arg}");
    }
    let mut variables: Vec<_> = env::vars().collect();
    variables.sort();
    for (name, value) in variables {
        println!("env {name}={value}");
    }
    println!("ok hello");
}
