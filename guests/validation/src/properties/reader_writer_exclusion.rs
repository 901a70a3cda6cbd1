//! Readers share, a writer is alone.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use threadwork::sync::{RwLock, RwLockWriteGuard};

use super::words::Words;
use crate::case::{Case, Check, Property};

pub(crate) const PROPERTY: Property = Property {
    name: "reader_writer_exclusion",
    claim: "readers see nothing half done, and writers lose nothing",
    check,
    bugs: &["writer-shares", "reader-does-not-wait"],
};

fn check(case: &mut Case<'_>) -> Check {
    let lock = RwLock::new(());
    let words = Words::new(case.between(2, 6));
    let writes = AtomicU32::new(0);
    let (threads, rounds, one_in) = (case.between(2, 6), case.between(1, 60), case.between(2, 5));
    let (writer_shares, reader_does_not_wait) =
        (case.has_bug("writer-shares"), case.has_bug("reader-does-not-wait"));
    case.on_threads(threads, |_, random| {
        for _ in 0..rounds {
            random.pause();
            if random.one_in(one_in) {
                writes.fetch_add(1, SeqCst);
                if writer_shares {
                    let _guard = lock.read();
                    words.write(random)?;
                } else {
                    let guard = lock.write();
                    words.write(random)?;
                    if random.one_in(4) {
                        let _guard = RwLockWriteGuard::downgrade(guard);
                        words.read(random)?;
                    }
                }
            } else {
                let guard = if reader_does_not_wait { lock.try_read() } else { Some(lock.read()) };
                words.read(random)?;
                drop(guard);
            }
        }
        Ok(())
    })?;
    words.expect(writes.load(SeqCst))
}
