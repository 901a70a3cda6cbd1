//! The interface of `num_cpus` 1, with the number of cores that a guest's host tells.
//!
//! A program takes it by a patch, and stays as it is:
//!
//! ```toml
//! [patch.crates-io]
//! num_cpus = { path = "../threadwork/compat/num_cpus" }
//! ```
//!
//! WebAssembly cannot ask for the number of cores, so the original says 1 there, and pools that
//! are made of it have one thread. Threadwork's hosts tell the number in an environment variable.

#[cfg(target_os = "linux")]
mod physical;

use std::num::NonZero;

/// Set by Threadwork's hosts for their guests.
const OURS: &str = "THREADWORK_PARALLELISM";

/// Set by hosts for guests that use rayon, as ours do.
const RAYON: &str = "RAYON_NUM_THREADS";

/// How many threads can run at once: 1 or more.
///
/// In a guest: what `THREADWORK_PARALLELISM` says, or else `RAYON_NUM_THREADS`, or 1. Elsewhere
/// [`std::thread::available_parallelism`], which heeds affinity and quotas as the original does.
///
/// It may ask the system, which takes microseconds.
///
/// ```
/// assert!(num_cpus::get() >= 1);
/// ```
pub fn get() -> usize {
    let told = if cfg!(target_family = "wasm") {
        told(|name| std::env::var(name).ok())
    } else {
        std::thread::available_parallelism().ok()
    };
    told.map_or(1, NonZero::get)
}

/// How many cores the machine has, without counting those twice that run two threads: 1 or more.
///
/// On Linux what the system's description says; in a guest, which is told nothing of it, and on
/// other systems it is [`get`].
///
/// It may read files, which takes microseconds for each core.
///
/// ```
/// assert!(num_cpus::get_physical() >= 1);
/// ```
pub fn get_physical() -> usize {
    #[cfg(target_os = "linux")]
    if let Some(cores) = physical::cores(std::path::Path::new("/sys/devices/system/cpu")) {
        return cores.get();
    }
    get()
}

/// Whatever is not a number, or zero, says nothing.
fn told(variable: impl Fn(&str) -> Option<String>) -> Option<NonZero<usize>> {
    [OURS, RAYON]
        .into_iter()
        .find_map(|name| variable(name)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_variable_comes_first_and_nonsense_says_nothing() {
        let chosen = |ours: &str, rayon: &str| {
            told(|name| Some(if name == OURS { ours } else { rayon }.to_owned())).map(NonZero::get)
        };
        assert_eq!(chosen("3", "5"), Some(3));
        assert_eq!(chosen(" 3\n", ""), Some(3));
        for nonsense in ["0", "", "-1", "many", "99999999999999999999999"] {
            assert_eq!(chosen(nonsense, "5"), Some(5));
            assert_eq!(chosen(nonsense, nonsense), None);
        }
        assert_eq!(told(|_| None), None);
    }
}
