//! How many threads can run at once.

use std::io;
use std::num::NonZero;

/// Set by the engine for guests, or by anybody.
const OURS: &str = "THREADWORK_PARALLELISM";

/// Set by hosts for guests that use rayon, as our engine does.
const RAYON: &str = "RAYON_NUM_THREADS";

/// How many threads can run at once: how many to start for work that keeps a core busy.
///
/// The environment variable `THREADWORK_PARALLELISM` comes first. The engine sets it for
/// its guests, to the number of cores or the limit of threads, unless the user has. Then
/// whatever [`std`](std::thread::available_parallelism) knows, which is nothing in a guest.
/// Then `RAYON_NUM_THREADS`, by which other hosts may tell.
///
/// It may ask the system, which takes microseconds: call it once, and not for each task.
///
/// # Errors
///
/// [`Unsupported`](io::ErrorKind::Unsupported) if nobody says: pools have one worker then.
///
/// # Example
///
/// ```
/// let workers = threadwork::thread::available_parallelism().map_or(1, |count| count.get());
/// assert!(workers >= 1);
/// ```
pub fn available_parallelism() -> io::Result<NonZero<usize>> {
    choose(
        |name| std::env::var(name).ok(),
        || std::thread::available_parallelism().ok(),
    )
    .ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::Unsupported,
            "nobody says how many threads can run at once: set THREADWORK_PARALLELISM",
        )
    })
}

fn choose(
    variable: impl Fn(&str) -> Option<String>,
    system: impl Fn() -> Option<NonZero<usize>>,
) -> Option<NonZero<usize>> {
    // Whatever is not a number, or zero, says nothing.
    let told = |name| variable(name)?.trim().parse().ok();
    told(OURS).or_else(system).or_else(|| told(RAYON))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(ours: Option<&str>, rayon: Option<&str>, system: Option<usize>) -> Option<usize> {
        let variable = |name: &str| match name {
            OURS => ours.map(str::to_owned),
            RAYON => rayon.map(str::to_owned),
            _ => panic!("no other variable"),
        };
        choose(variable, || system.and_then(NonZero::new)).map(NonZero::get)
    }

    #[test]
    fn our_variable_comes_first() {
        assert_eq!(chosen(Some("3"), Some("5"), Some(7)), Some(3));
        assert_eq!(chosen(Some(" 3\n"), None, None), Some(3));
    }

    #[test]
    fn then_what_std_knows() {
        assert_eq!(chosen(None, Some("5"), Some(7)), Some(7));
    }

    #[test]
    fn then_rayons_variable() {
        assert_eq!(chosen(None, Some("5"), None), Some(5));
    }

    #[test]
    fn nonsense_says_nothing() {
        for nonsense in ["0", "", "-1", "many", "99999999999999999999999"] {
            assert_eq!(chosen(Some(nonsense), Some("5"), None), Some(5));
            assert_eq!(chosen(None, Some(nonsense), None), None);
        }
    }
}
