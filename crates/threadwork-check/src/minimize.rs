//! Leaves out what a failure does not need: delta debugging over deviations.
//!
//! Invariant: what is returned fails like what was given, unless even that does not.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::strategy::Deviation;

/// How long to try. What is there by then fails, too; it is only longer than it has to be.
pub(crate) const TIME: Duration = Duration::from_secs(30);

/// A part of `all` from which nothing can be left out without losing the failure.
pub(crate) fn minimize(
    all: &[Deviation],
    mut fails: impl FnMut(&[Deviation]) -> Result<bool, Error>,
) -> Result<Vec<Deviation>, Error> {
    let begun = Instant::now();
    let mut needed = all.to_vec();
    let mut size = needed.len().div_ceil(2);
    while size > 0 {
        let mut place = 0;
        let before = needed.len();
        while place < needed.len() {
            if begun.elapsed() > TIME {
                return Ok(needed);
            }
            let end = (place + size).min(needed.len());
            let mut without = needed.clone();
            without.drain(place..end);
            match fails(&without)? {
                true => needed = without,
                false => place = end,
            }
        }
        // What was needed before may not be, now that others are gone.
        if size > 1 || needed.len() == before {
            size /= 2;
        }
    }
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choices::Choice;

    #[test]
    fn what_is_needed_stays_and_nothing_else() {
        let deviation = |nth| Deviation {
            thread: 0,
            nth,
            choice: Choice::Run(1),
        };
        let all: Vec<_> = (0..100).map(deviation).collect();
        let needs = [3, 50, 99];
        let mut tries = 0;
        let found = minimize(&all, |part| {
            tries += 1;
            let has = |nth: &u64| part.iter().any(|deviation| deviation.nth == *nth);
            Ok(needs.iter().all(has))
        });
        let found: Vec<_> = found
            .unwrap()
            .iter()
            .map(|deviation| deviation.nth)
            .collect();
        assert_eq!(found, needs);
        assert!(tries < 100, "{tries}");
    }
}
