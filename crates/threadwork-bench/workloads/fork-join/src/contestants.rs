//! Who divides work: no more than the workloads need of each.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{LazyLock, Mutex};

use rayon::prelude::*;
use threadwork::par;

/// Who can run two closures at the same time.
pub(crate) trait Fork: 'static {
    /// What is handed down from join to join.
    type Context<'a>;

    /// Has a warm pool of so many threads run `body`, which may fork there.
    fn inside<R: Send + 'static>(
        threads: u32,
        body: impl FnOnce(&mut Self::Context<'_>) -> R + Send + 'static,
    ) -> R;

    /// Runs `body` on the calling thread, which is of no pool; it may fork in the global one.
    fn outside<R>(body: impl FnOnce(&mut Self::Context<'_>) -> R) -> R;

    fn join<A: Send, B: Send>(
        context: &mut Self::Context<'_>,
        a: impl FnOnce(&mut Self::Context<'_>) -> A + Send,
        b: impl FnOnce(&mut Self::Context<'_>) -> B + Send,
    ) -> (A, B);
}

/// Who has loops, sorts and scopes, too.
pub(crate) trait Loops: Fork {
    fn sum(numbers: &[u32], map: impl Fn(u32) -> u64 + Send + Sync) -> u64;
    fn each_row(numbers: &mut [f64], width: usize, body: impl Fn(usize, &mut [f64]) + Send + Sync);
    fn sort(numbers: &mut [u64]);
    fn sort_unstable(numbers: &mut [u64]);
    /// Spawns a job for each, in one scope.
    fn spawn_each(items: &mut [u8], body: impl Fn(&mut u8) + Send + Sync);
}

pub(crate) struct Sequential;
pub(crate) struct Threadwork;
pub(crate) struct Rayon;
pub(crate) struct Chili;

impl Fork for Sequential {
    type Context<'a> = ();

    fn inside<R: Send + 'static>(_: u32, body: impl FnOnce(&mut ()) -> R + Send + 'static) -> R {
        body(&mut ())
    }
    fn outside<R>(body: impl FnOnce(&mut ()) -> R) -> R {
        body(&mut ())
    }
    #[inline]
    fn join<A: Send, B: Send>(
        (): &mut (),
        a: impl FnOnce(&mut ()) -> A + Send,
        b: impl FnOnce(&mut ()) -> B + Send,
    ) -> (A, B) {
        (a(&mut ()), b(&mut ()))
    }
}

impl Loops for Sequential {
    fn sum(numbers: &[u32], map: impl Fn(u32) -> u64 + Send + Sync) -> u64 {
        numbers.iter().map(|number| map(*number)).sum()
    }
    fn each_row(numbers: &mut [f64], width: usize, body: impl Fn(usize, &mut [f64]) + Send + Sync) {
        let rows = numbers.chunks_mut(width).enumerate();
        rows.for_each(|(index, row)| body(index, row));
    }
    fn sort(numbers: &mut [u64]) {
        numbers.sort();
    }
    fn sort_unstable(numbers: &mut [u64]) {
        numbers.sort_unstable();
    }
    fn spawn_each(items: &mut [u8], body: impl Fn(&mut u8) + Send + Sync) {
        items.iter_mut().for_each(body);
    }
}

impl Fork for Threadwork {
    type Context<'a> = ();

    fn inside<R: Send + 'static>(
        threads: u32,
        body: impl FnOnce(&mut ()) -> R + Send + 'static,
    ) -> R {
        let pool = kept(threads, |threads| {
            threadwork::ThreadPool::new(threads).expect("a pool")
        });
        let task = pool.execute(|| body(&mut ()));
        task.wait().expect("no workload panics")
    }
    fn outside<R>(body: impl FnOnce(&mut ()) -> R) -> R {
        body(&mut ())
    }
    #[inline]
    fn join<A: Send, B: Send>(
        (): &mut (),
        a: impl FnOnce(&mut ()) -> A + Send,
        b: impl FnOnce(&mut ()) -> B + Send,
    ) -> (A, B) {
        threadwork::join(|| a(&mut ()), || b(&mut ()))
    }
}

impl Loops for Threadwork {
    fn sum(numbers: &[u32], map: impl Fn(u32) -> u64 + Send + Sync) -> u64 {
        par(numbers).map_reduce(|number| map(*number), || 0, |a, b| a + b)
    }
    fn each_row(numbers: &mut [f64], width: usize, body: impl Fn(usize, &mut [f64]) + Send + Sync) {
        let rows = par(numbers).chunks(width).enumerate();
        rows.for_each(|(index, row)| body(index, row));
    }
    fn sort(numbers: &mut [u64]) {
        par(numbers).sort();
    }
    fn sort_unstable(numbers: &mut [u64]) {
        par(numbers).sort_unstable();
    }
    fn spawn_each(items: &mut [u8], body: impl Fn(&mut u8) + Send + Sync) {
        let body = &body;
        threadwork::scope(|scope| {
            for item in items {
                scope.spawn(move |_| body(item));
            }
        });
    }
}

impl Fork for Rayon {
    type Context<'a> = ();

    fn inside<R: Send + 'static>(
        threads: u32,
        body: impl FnOnce(&mut ()) -> R + Send + 'static,
    ) -> R {
        let pool = kept(threads, |threads| {
            let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
            builder.build().expect("a pool")
        });
        pool.install(|| body(&mut ()))
    }
    fn outside<R>(body: impl FnOnce(&mut ()) -> R) -> R {
        body(&mut ())
    }
    #[inline]
    fn join<A: Send, B: Send>(
        (): &mut (),
        a: impl FnOnce(&mut ()) -> A + Send,
        b: impl FnOnce(&mut ()) -> B + Send,
    ) -> (A, B) {
        rayon::join(|| a(&mut ()), || b(&mut ()))
    }
}

impl Loops for Rayon {
    fn sum(numbers: &[u32], map: impl Fn(u32) -> u64 + Send + Sync) -> u64 {
        numbers.par_iter().map(|number| map(*number)).sum()
    }
    fn each_row(numbers: &mut [f64], width: usize, body: impl Fn(usize, &mut [f64]) + Send + Sync) {
        let rows = numbers.par_chunks_mut(width).enumerate();
        rows.for_each(|(index, row)| body(index, row));
    }
    fn sort(numbers: &mut [u64]) {
        numbers.par_sort();
    }
    fn sort_unstable(numbers: &mut [u64]) {
        numbers.par_sort_unstable();
    }
    fn spawn_each(items: &mut [u8], body: impl Fn(&mut u8) + Send + Sync) {
        let body = &body;
        rayon::scope(|scope| {
            for item in items {
                scope.spawn(move |_| body(item));
            }
        });
    }
}

impl Fork for Chili {
    type Context<'a> = chili::Scope<'a>;

    fn inside<R: Send + 'static>(
        threads: u32,
        body: impl FnOnce(&mut chili::Scope<'_>) -> R + Send + 'static,
    ) -> R {
        // The calling thread is one of them.
        let pool = kept(threads, |threads| {
            chili::ThreadPool::with_config(chili::Config {
                thread_count: NonZero::new(threads),
                ..chili::Config::default()
            })
        });
        body(&mut pool.scope())
    }
    fn outside<R>(body: impl FnOnce(&mut chili::Scope<'_>) -> R) -> R {
        body(&mut chili::Scope::global())
    }
    #[inline]
    fn join<A: Send, B: Send>(
        context: &mut chili::Scope<'_>,
        a: impl FnOnce(&mut chili::Scope<'_>) -> A + Send,
        b: impl FnOnce(&mut chili::Scope<'_>) -> B + Send,
    ) -> (A, B) {
        context.join(a, b)
    }
}

/// The pool of a kind and size, made once.
fn kept<P: Any + Send + Sync>(threads: u32, make: impl FnOnce(usize) -> P) -> &'static P {
    type Kept = HashMap<(TypeId, u32), &'static (dyn Any + Send + Sync)>;
    static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);
    let mut kept = KEPT.lock().expect("nobody panics");
    let pool = kept
        .entry((TypeId::of::<P>(), threads))
        .or_insert_with(|| Box::leak(Box::new(make(threads as usize))));
    pool.downcast_ref()
        .unwrap_or_else(|| unreachable!("the type is the key"))
}
