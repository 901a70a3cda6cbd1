//! Threads that have the page fetch what lies at addresses, one each; `-` is an address where
//! nothing is. The page also hears of each as soon as it is there.

use std::thread;

fn main() {
    let addresses: Vec<String> = std::env::args().skip(1).collect();
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
