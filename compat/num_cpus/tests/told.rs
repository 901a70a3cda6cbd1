//! What a program gets.

#[test]
#[cfg(target_family = "wasm")]
fn a_guest_has_what_its_host_tells() {
    // Hosts tell only programs that start threads.
    let counted = std::thread::spawn(num_cpus::get).join().unwrap();
    let told = std::env::var("THREADWORK_PARALLELISM").unwrap();
    assert_eq!(counted, told.parse().unwrap());
    assert_eq!(num_cpus::get_physical(), num_cpus::get());
}

#[test]
#[cfg(not(target_family = "wasm"))]
fn natively_it_is_what_std_says() {
    let std = std::thread::available_parallelism().unwrap().get();
    assert_eq!(num_cpus::get(), std);
    assert!(num_cpus::get_physical() >= 1);
}
