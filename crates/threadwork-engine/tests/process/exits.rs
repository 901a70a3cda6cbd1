//! Whoever does not block for a process is told of its end: futures and callbacks.

use crate::support::{start, text, until};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use threadwork_engine::{ExitStatus, Module, ProcessBuilder, Task, ThreadRuntime};

fn forever() -> Module {
    text(r#"(module (func (export "_start") (loop (br 0))))"#)
}

/// Counts its wakes.
#[derive(Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn poll<F: Future>(self: &Arc<Self>, future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(self))))
    }

    fn get(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

#[test]
fn a_future_is_woken_once_by_the_end() {
    let process = start(ProcessBuilder::new(&forever()));
    let (count, other, dropped) = <(Arc<Count>, Arc<Count>, Arc<Count>)>::default();
    let mut exited = pin!(process.exited());
    assert!(count.poll(exited.as_mut()).is_pending());
    // The one that polled last is woken, and none whose future is gone.
    assert!(other.poll(exited.as_mut()).is_pending());
    {
        let mut gone = pin!(process.exited());
        assert!(dropped.poll(gone.as_mut()).is_pending());
    }
    process.kill_with("enough");
    until(|| other.get() > 0);
    let Poll::Ready(status) = other.poll(exited.as_mut()) else {
        panic!("it was woken before the end");
    };
    assert_eq!(status.to_string(), "killed: enough");
    assert_eq!((count.get(), other.get(), dropped.get()), (0, 1, 0));
    assert!(process.threads().is_empty());
    // As often as one likes, and after the process is gone.
    let mut late = pin!(process.exited());
    drop(process);
    assert!(count.poll(late.as_mut()).is_ready());
}

#[test]
fn the_first_reason_stays() {
    let process = start(ProcessBuilder::new(&forever()));
    process.killer().kill_with("one");
    process.kill_with("two");
    process.kill();
    let ExitStatus::Killed { reason } = process.wait() else {
        panic!("not killed");
    };
    assert_eq!(reason.as_deref(), Some("one"));
}

#[test]
fn each_callback_is_called_once_also_beside_one_that_panics() {
    let process = start(ProcessBuilder::new(&forever()));
    let codes = Arc::new(Mutex::new(Vec::new()));
    for number in 0..4 {
        let codes = Arc::clone(&codes);
        process.on_exit(move |status| {
            assert!(number != 1, "a panic that was meant to be");
            codes.lock().unwrap().push(status.code());
        });
    }
    process.kill();
    assert!(matches!(process.wait(), ExitStatus::Killed { .. }));
    until(|| codes.lock().unwrap().len() == 3);
    // At once now, on this thread.
    let (own, late) = (std::thread::current().id(), Arc::clone(&codes));
    process.on_exit(move |status| {
        assert_eq!(std::thread::current().id(), own);
        late.lock().unwrap().push(status.code());
    });
    assert_eq!(*codes.lock().unwrap(), [130; 4]);
}

/// A callback may drop the last that is held of a process, or start the next one.
#[test]
fn a_callback_may_use_the_engine() {
    let module = text(r#"(module (func (export "_start")))"#);
    let (first, last) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
    let process = start(ProcessBuilder::new(&module));
    let (next, own) = (Arc::clone(&last), Arc::clone(&first));
    process.on_exit(move |_| {
        drop(own.lock().unwrap().take());
        let next_process = ProcessBuilder::new(&module).spawn().unwrap();
        *next.lock().unwrap() = Some(next_process.wait().code());
    });
    *first.lock().unwrap() = Some(process);
    until(|| last.lock().unwrap().is_some());
}

#[test]
fn a_task_is_a_future_too() {
    let module = text(
        r#"(module (import "env" "memory" (memory 1 1 shared))
             (func (export "wait") (result i32)
               (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))"#,
    );
    let runtime = ThreadRuntime::builder(&module).build().unwrap();
    let task = runtime.execute(Task::new("wait", [] as [i32; 0])).unwrap();
    let count = Arc::new(Count::default());
    let mut wait = pin!(task.wait_async());
    assert!(count.poll(wait.as_mut()).is_pending());
    task.cancel();
    until(|| count.get() > 0);
    assert!(matches!(count.poll(wait.as_mut()), Poll::Ready(Err(_))));
}

/// A builder is made where a request comes in, and started elsewhere.
#[test]
fn builders_and_handles_can_be_sent() {
    fn sent<T: Send>() {}
    sent::<ProcessBuilder>();
    sent::<threadwork_engine::Process>();
    sent::<threadwork_engine::Exited>();
    sent::<threadwork_engine::RuntimeBuilder>();
}
