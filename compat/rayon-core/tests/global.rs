//! The global pool: of one test, since there is one in a process.

use rayon_core::{ThreadPoolBuilder, current_num_threads, spawn};

#[test]
fn it_is_made_once() {
    // SAFETY: no other thread looks at the environment.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", "3") };
    ThreadPoolBuilder::new().build_global().unwrap();
    assert_eq!(current_num_threads(), 3);
    let again = ThreadPoolBuilder::new().num_threads(2).build_global();
    let error = again.unwrap_err().to_string();
    assert!(error.contains("already been initialized"), "{error}");
    let (sender, receiver) = std::sync::mpsc::channel();
    spawn(move || sender.send(current_num_threads()).unwrap());
    assert_eq!(receiver.recv(), Ok(3));
}
