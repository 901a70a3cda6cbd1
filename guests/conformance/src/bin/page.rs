//! Threads that have the page fetch what lies at addresses, one each; `-` is an address where
//! nothing is. The page also hears of each as soon as it is there. Without addresses three threads
//! take the page's messages and send them back in capitals, until each has got an empty one.

use std::thread;
use std::time::Duration;

fn main() {
    let addresses: Vec<String> = std::env::args().skip(1).collect();
    if addresses.is_empty() {
        thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(echo))));
        println!("ok page");
        return;
    }
    let threads = addresses.into_iter().map(|address| {
        thread::spawn(move || {
            let answer = threadwork_page::call("fetch", address.as_bytes());
            let line = match answer {
                Ok(bytes) => {
                    let sum = bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
                    format!("{address}: {} bytes, sum {sum}", bytes.len())
                }
                Err(error) => format!("{address}: {error}"),
            };
            threadwork_page::post("fetched", line.as_bytes()).expect("this is WebAssembly");
            line
        })
    });
    // All are started before the first is waited for.
    let threads: Vec<_> = threads.collect();
    for thread in threads {
        println!("{}", thread.join().expect("no thread panics"));
    }
    println!("ok page");
}

fn echo() {
    let early = threadwork_page::receive_timeout(Duration::ZERO).expect("this is WebAssembly");
    let mut next = early.map_or_else(threadwork_page::receive, Ok);
    loop {
        let message = next.expect("this is WebAssembly");
        if message.is_empty() {
            return;
        }
        threadwork_page::send(&message.to_ascii_uppercase()).expect("this is WebAssembly");
        next = threadwork_page::receive();
    }
}
