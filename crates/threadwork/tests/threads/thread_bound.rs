//! Values that end with their threads.

use std::cell::{Cell, RefCell};
use std::sync::mpsc;
use std::sync::{Arc, Barrier};

use threadwork::ThreadBound;
use threadwork::sync::Latch;
use threadwork::thread::{self, Thread};

use crate::support::{Census, rounds};

#[test]
fn each_thread_has_its_own() {
    let bound = ThreadBound::new();
    assert!(bound.with(|own: Option<&Cell<u32>>| own.is_none()));
    bound.with_or(|| Cell::new(1), |own| own.set(own.get() + 1));
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(bound.with_or(|| Cell::new(9), Cell::get), 9));
    });
    assert_eq!(bound.with(|own| own.map(Cell::get)), Some(2));
    let other = ThreadBound::<Cell<u32>>::default();
    assert_eq!(other.with_or_try(|| Err("no"), |_| ()), Err("no"));
    assert!(other.with(|own| own.is_none()));
}

/// Whoever has joined the thread knows that its value is gone, dropped by the thread itself.
#[test]
fn it_is_dropped_when_the_thread_ends() {
    struct Noted(
        Thread,
        Arc<Barrier>,
        #[expect(dead_code)] crate::support::Counted,
    );
    impl Drop for Noted {
        fn drop(&mut self) {
            assert_eq!(self.0.id(), thread::current().id());
        }
    }
    let census = Census::default();
    let bound = Arc::new(ThreadBound::new());
    let both = Arc::new(Barrier::new(2));
    let threads = [(); 2].map(|()| {
        let (bound, both, census) = (bound.clone(), both.clone(), census.clone());
        thread::spawn(move || {
            let make = || Noted(thread::current(), both.clone(), census.birth());
            bound.with_or(make, |own| own.1.wait().is_leader())
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(census.living(), 0);
    drop(bound);
    assert_eq!(census.living(), 0);
}

/// The values of threads that still run are dropped with the object.
#[test]
fn it_is_dropped_with_the_object() {
    let census = Census::default();
    let bound = ThreadBound::new();
    let (made, dropped) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let bound = &bound;
        let other = scope.spawn(|| {
            bound.with_or(|| census.birth(), |_| ());
            bound.with_or(|| panic!("there is one"), |_| ());
        });
        other.join().unwrap();
    });
    let bound = Arc::new(bound);
    thread::scope(|scope| {
        scope.spawn({
            let bound = bound.clone();
            let (census, made, dropped) = (&census, &made, &dropped);
            move || {
                bound.with_or(|| census.birth(), |_| ());
                drop(bound);
                made.wait();
                dropped.wait();
            }
        });
        made.wait();
        // The thread of the scope before may be ending still.
        assert!(census.living() >= 1);
        drop(bound);
        while census.living() > 0 {
            thread::yield_now();
        }
        dropped.wait();
    });
}

/// The object and a thread end at the same time: each value is dropped once.
#[test]
fn the_object_and_the_thread_may_end_together() {
    for _ in 0..rounds(500) {
        let census = Census::default();
        let bound = Arc::new(ThreadBound::new());
        let threads = [(); 2].map(|()| {
            let (bound, census) = (bound.clone(), census.clone());
            thread::spawn(move || bound.with_or(|| census.birth(), |_| ()))
        });
        drop(bound);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(census.living(), 0);
    }
}

/// A place is used again, but never with a value in it.
#[test]
fn a_new_thread_begins_anew() {
    let bound = Arc::new(ThreadBound::<Cell<u32>>::new());
    for _ in 0..rounds(500) {
        let bound = bound.clone();
        let fresh = thread::spawn(move || {
            bound.with_or(Cell::default, |own| {
                own.set(own.get() + 1);
                own.get()
            })
        });
        assert_eq!(fresh.join().unwrap(), 1);
    }
}

/// Also while the one before it is still ending, with one of its values dropped and one not.
#[test]
fn a_new_thread_begins_anew_while_others_end() {
    struct Slow(mpsc::Sender<()>, Arc<Latch>);
    impl Drop for Slow {
        fn drop(&mut self) {
            let _ = self.0.send(());
            self.1.wait();
        }
    }
    let bounds: Arc<[ThreadBound<Slow>; 2]> = Arc::default();
    let (ends, has_begun_to_end) = mpsc::channel();
    let go_on = Arc::new(Latch::new());
    let ending = thread::spawn({
        let (bounds, go_on) = (bounds.clone(), go_on.clone());
        move || {
            for bound in bounds.iter() {
                bound.with_or(|| Slow(ends.clone(), go_on.clone()), |_| ());
            }
        }
    });
    has_begun_to_end.recv().unwrap();
    let another = ThreadBound::new();
    let begins_anew = thread::scope(|scope| {
        let new = scope.spawn(|| {
            // Only who has a value somewhere has a place, which could be the other's.
            another.with_or(|| 0, |_| ());
            bounds.iter().all(|bound| bound.with(|own| own.is_none()))
        });
        new.join().unwrap()
    });
    go_on.open();
    ending.join().unwrap();
    assert!(begins_anew, "it has values of another thread");
}

/// The object drops the values of those that live, even while a thread that ends is busy
/// with its own.
#[test]
fn a_thread_that_ends_holds_up_nobody() {
    struct Blocking(
        Option<Arc<Barrier>>,
        #[expect(dead_code)] crate::support::Counted,
    );
    impl Drop for Blocking {
        fn drop(&mut self) {
            if let Some(barrier) = &self.0 {
                barrier.wait();
                barrier.wait();
            }
        }
    }
    let census = Census::default();
    let bound = Arc::new(ThreadBound::new());
    let (ending, made) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let make = |barrier: Option<&Arc<Barrier>>| {
        let (bound, census) = (bound.clone(), census.clone());
        let barrier = barrier.cloned();
        move || bound.with_or(|| Blocking(barrier, census.birth()), |_| ())
    };
    let ends = thread::spawn(make(Some(&ending)));
    let lives = {
        let (make, made) = (make(None), made.clone());
        thread::spawn(move || {
            make();
            made.wait();
            made.wait();
        })
    };
    made.wait();
    ending.wait();
    assert_eq!(census.living(), 2);
    assert_eq!(Arc::strong_count(&bound), 1);
    drop(bound);
    assert_eq!(census.living(), 1);
    ending.wait();
    ends.join().unwrap();
    assert_eq!(census.living(), 0);
    made.wait();
    lives.join().unwrap();
}

/// A destructor may use the object whose value it destroys, and another one.
#[test]
fn a_destructor_may_use_the_object() {
    thread_local! {
        static SEEN: Cell<u32> = const { Cell::new(0) };
    }
    struct Recursive(
        Arc<ThreadBound<Recursive>>,
        Census,
        #[expect(dead_code)] crate::support::Counted,
    );
    impl Drop for Recursive {
        fn drop(&mut self) {
            let depth = SEEN.get() + 1;
            SEEN.set(depth);
            if depth < 5 {
                let make = || Recursive(self.0.clone(), self.1.clone(), self.1.birth());
                self.0.with_or(make, |own| assert!(own.1.living() >= 1));
            }
        }
    }
    let census = Census::default();
    let bound = Arc::new(ThreadBound::new());
    let thread = thread::spawn({
        let (bound, census) = (bound.clone(), census.clone());
        move || {
            bound.with_or(
                || Recursive(bound.clone(), census.clone(), census.birth()),
                |_| (),
            )
        }
    });
    thread.join().unwrap();
    assert_eq!(census.living(), 0);
    assert_eq!(Arc::strong_count(&bound), 1);
}

/// After its value is gone, a thread's other destructors get one for a call.
#[test]
fn a_late_destructor_gets_a_value_for_a_call() {
    struct Late(Arc<ThreadBound<crate::support::Counted>>, Census);
    impl Drop for Late {
        fn drop(&mut self) {
            self.0.with_or(|| self.1.birth(), |_| ());
            assert!(self.0.with(|own| own.is_none()));
        }
    }
    thread_local! {
        static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
    }
    let census = Census::default();
    let bound = Arc::new(ThreadBound::new());
    for _ in 0..10 {
        let thread = thread::spawn({
            let (bound, census) = (bound.clone(), census.clone());
            move || {
                let late = Late(bound.clone(), census.clone());
                LATE.with(|local| *local.borrow_mut() = Some(late));
                bound.with_or(|| census.birth(), |_| ());
            }
        });
        thread.join().unwrap();
        assert_eq!(census.living(), 0);
    }
}

/// All of a thread's values are dropped with it, however many objects there are, and
/// however many there were.
#[test]
fn a_thread_tells_all() {
    let census = Census::default();
    let objects: Arc<Vec<ThreadBound<_>>> = Arc::new((0..50).map(|_| ThreadBound::new()).collect());
    let thread = thread::spawn({
        let (objects, census) = (objects.clone(), census.clone());
        move || {
            for object in &*objects {
                ThreadBound::new().with_or(|| census.birth(), |_| ());
                object.with_or(|| census.birth(), |_| ());
            }
            assert_eq!(census.living(), 50);
        }
    });
    thread.join().unwrap();
    assert_eq!(census.living(), 0);
}

/// The value of the inner call stays; that of the outer one is dropped, once.
#[test]
fn an_initializer_may_make_the_value_itself() {
    let census = Census::default();
    let bound = Arc::new(ThreadBound::new());
    let make = {
        let (bound, census) = (bound.clone(), census.clone());
        move || {
            bound.with_or(|| (1, census.birth()), |_| ());
            (2, census.birth())
        }
    };
    assert_eq!(bound.with_or(make, |own| own.0), 1);
    assert_eq!(census.living(), 1);
    drop(bound);
    assert_eq!(census.living(), 0);
}

/// Objects that come and go leave nothing in a thread that stays.
#[test]
fn many_objects_in_one_thread() {
    let census = Census::default();
    for _ in 0..rounds(20_000) {
        let bound = ThreadBound::new();
        bound.with_or(|| census.birth(), |_| ());
        assert_eq!(census.living(), 1);
        drop(bound);
        assert_eq!(census.living(), 0);
    }
}
