//! Atomics with cache lines of their own.

/// A value that shares its cache line with nobody, such as a counter of one thread
/// among those of others: `CacheAligned<AtomicU64>`.
///
/// Two threads that write to different words of one line pass the line to and fro as if
/// they wrote to the same word. This is [`threadwork_sync::CachePadded`] under the name
/// by which this runtime's hosts call it, too: 128 bytes.
///
/// # Example
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use threadwork_runtime::CacheAligned;
///
/// let hits: [CacheAligned<AtomicU64>; 4] = Default::default();
/// std::thread::scope(|scope| {
///     for own in &hits {
///         scope.spawn(move || own.fetch_add(1, Ordering::Relaxed));
///     }
/// });
/// let total: u64 = hits.into_iter().map(|own| own.into_inner().into_inner()).sum();
/// assert_eq!(total, 4);
/// ```
pub type CacheAligned<T> = threadwork_sync::CachePadded<T>;
