//! The latch of a join or a scope: nobody misses the end, nor touches it afterwards.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::Ordering;
use loom::thread;
use threadwork::model::fork_join::CountLatch;
use threadwork::sync::AtomicU32;

use crate::model;

#[test]
fn the_waiter_sees_what_was_done() {
    model(3, || {
        let work = Arc::new((CountLatch::new(2), [UnsafeCell::new(0), UnsafeCell::new(0)]));
        let workers: Vec<_> = (0..2)
            .map(|index| {
                let work = work.clone();
                thread::spawn(move || {
                    work.1[index].with_mut(|result| unsafe { *result = 1 });
                    work.0.done();
                })
            })
            .collect();
        while !work.0.is_open() {
            work.0.sleep();
        }
        for result in &work.1 {
            assert_eq!(result.with(|result| unsafe { *result }), 1);
        }
        workers
            .into_iter()
            .for_each(|worker| worker.join().unwrap());
    });
}

/// The waiter's frame is gone when it goes on. Here it makes something else of the memory.
#[test]
fn nobody_touches_an_open_latch() {
    const SOMETHING_ELSE: u32 = 1000;
    model(4, || {
        let latch = Arc::new(CountLatch::new(1));
        let worker = {
            let latch = latch.clone();
            thread::spawn(move || latch.done())
        };
        while !latch.is_open() {
            latch.sleep();
        }
        let word = unsafe { &*(&raw const *latch).cast::<AtomicU32>() };
        word.store(SOMETHING_ELSE, Ordering::Relaxed);
        worker.join().unwrap();
        assert_eq!(word.load(Ordering::Relaxed), SOMETHING_ELSE);
    });
}
