//! `threadwork::thread` in the place of `std::thread`: one program, compiled against both.

macro_rules! program {
    ($name:ident, $module:path) => {
        mod $name {
            use std::cell::Cell;
            use std::io;
            use std::num::NonZero;
            use std::time::Duration;

            use $module as thread;
            use $module::{Builder, JoinHandle, Thread, ThreadId};

            struct Worker {
                id: ThreadId,
                thread: Thread,
                handle: Option<JoinHandle<u32>>,
            }

            fn start(name: &str) -> io::Result<Worker> {
                let builder = Builder::new().name(name.into()).stack_size(256 * 1024);
                let handle = builder.spawn(|| {
                    thread::park_timeout(Duration::from_millis(1));
                    thread::yield_now();
                    thread::sleep(Duration::ZERO);
                    assert!(!thread::panicking());
                    thread::current().name().map_or(0, |name| name.len() as u32)
                })?;
                Ok(Worker {
                    id: handle.thread().id(),
                    thread: handle.thread().clone(),
                    handle: Some(handle),
                })
            }

            #[test]
            fn it_compiles_and_runs() -> io::Result<()> {
                let mut worker = start("worker")?;
                worker.thread.unpark();
                assert_ne!(worker.id, thread::current().id());
                assert_eq!(worker.thread.name(), Some("worker"));
                let result: thread::Result<u32> = worker.handle.take().unwrap().join();
                assert_eq!(result.unwrap(), 6);

                let mut numbers = [1, 2, 3];
                let sum: u32 = thread::scope(|scope| {
                    let (first, rest) = numbers.split_at_mut(1);
                    let doubled: thread::ScopedJoinHandle<'_, ()> = scope.spawn(|| first[0] *= 2);
                    let summed = Builder::new().spawn_scoped(scope, || rest.iter().sum::<u32>());
                    doubled.join().unwrap();
                    summed.unwrap().join().unwrap()
                });
                assert_eq!((numbers[0], sum), (2, 5));

                thread_local! {
                    static DEPTH: Cell<u32> = const { Cell::new(7) };
                }
                let local: &'static thread::LocalKey<Cell<u32>> = &DEPTH;
                let depth: Result<u32, thread::AccessError> = local.try_with(Cell::get);
                assert_eq!(depth, Ok(7));

                // An error in a guest, as far as std knows.
                let parallelism: io::Result<NonZero<usize>> = thread::available_parallelism();
                assert!(parallelism.map_or(1, NonZero::get) >= 1);
                let handle = thread::spawn(|| thread::current().id());
                assert!(!handle.is_finished() || handle.thread().name().is_none());
                let id = handle.thread().id();
                assert_eq!(handle.join().unwrap(), id);
                Ok(())
            }
        }
    };
}

program!(with_std, std::thread);
program!(with_ours, threadwork::thread);
