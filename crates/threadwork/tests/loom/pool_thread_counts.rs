//! The threads of a pool: as many are active as should be, and no spare sleeps on.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use threadwork::model::pool::Crew;

use crate::model;

/// Two block at once, where only one more thread may be started.
#[test]
fn one_thread_is_started_for_two_that_block() {
    model(4, || {
        let crew = Arc::new(Crew::new(2, 3));
        let other = {
            let crew = crew.clone();
            thread::spawn(move || crew.block())
        };
        let own = crew.block();
        assert!(own ^ other.join().unwrap());
    });
}

/// After a block there is one too many. It rests until the next one blocks, or leaves
/// before; then a thread is to be started, by whoever comes second of the two: the one that
/// blocks, or the one that leaves and may not have departed by then.
#[test]
fn a_spare_is_called_or_has_left() {
    model(4, || {
        let crew = Arc::new(Crew::new(1, 2));
        assert!(crew.block());
        crew.unblock();
        let spare = {
            let crew = crew.clone();
            thread::spawn(move || {
                let stays = crew.pause(|| false);
                (stays, !stays && crew.depart())
            })
        };
        let start = crew.block();
        let (stayed, replaced) = spare.join().unwrap();
        assert_eq!(u32::from(start) + u32::from(replaced), u32::from(!stayed));
    });
}

#[test]
fn a_spare_that_never_leaves_is_called() {
    model(4, || {
        let crew = Arc::new(Crew::new(1, 2));
        assert!(crew.block());
        crew.unblock();
        let spare = {
            let crew = crew.clone();
            thread::spawn(move || crew.pause_for_ever(|| false))
        };
        assert!(!crew.block());
        spare.join().unwrap();
    });
}

/// Of two workers between tasks one is one too many, not both.
#[test]
fn one_of_two_rests() {
    model(3, || {
        let crew = Arc::new(Crew::new(1, 2));
        assert!(crew.block());
        crew.unblock();
        let other = {
            let crew = crew.clone();
            thread::spawn(move || crew.retires())
        };
        let own = crew.retires();
        assert!(own ^ other.join().unwrap());
    });
}

/// A thread is counted before it comes, and so another may make itself spare. It does not come:
/// the spare is called.
#[test]
fn a_thread_that_does_not_come_is_replaced_by_a_spare() {
    model(4, || {
        let crew = Arc::new(Crew::new(1, 3));
        // One blocks, and so does the one that was started for it: a third is to be started.
        assert!(crew.block());
        assert!(crew.block());
        let first = {
            let crew = crew.clone();
            thread::spawn(move || {
                crew.unblock();
                crew.pause_for_ever(|| false);
            })
        };
        assert!(!crew.did_not_come());
        first.join().unwrap();
    });
}

/// The end comes while a worker makes itself spare: it does not sleep on.
#[test]
fn nobody_rests_after_the_end() {
    model(4, || {
        let crew = Arc::new(Crew::new(1, 2));
        assert!(crew.block());
        crew.unblock();
        let over = Arc::new(AtomicU32::new(0));
        let other = {
            let (crew, over) = (crew.clone(), over.clone());
            thread::spawn(move || {
                crew.pause_for_ever(|| over.load(Ordering::Relaxed) == 1);
                crew.leave()
            })
        };
        over.store(1, Ordering::Relaxed);
        crew.recall();
        let last = crew.leave();
        assert!(last ^ other.join().unwrap());
    });
}
