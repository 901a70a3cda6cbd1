//! Linux's description of its cores: one folder for each that is online or was, with a list of
//! those that share one core. A core counts once, however many threads it runs.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZero;
use std::path::Path;

/// The number of different lists of siblings below `system`; `None` where there are none.
pub(crate) fn cores(system: &Path) -> Option<NonZero<usize>> {
    let siblings: BTreeSet<String> = fs::read_dir(system)
        .ok()?
        .filter_map(|entry| {
            let folder = entry.ok()?.path();
            let number = folder.file_name()?.to_str()?.strip_prefix("cpu")?;
            number.parse::<u32>().ok()?;
            fs::read_to_string(folder.join("topology/thread_siblings_list")).ok()
        })
        .collect();
    NonZero::new(siblings.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_count_once() {
        let system = std::env::temp_dir().join(format!("cores-{}", std::process::id()));
        for (cpu, siblings) in [
            ("cpu0", "0,2"),
            ("cpu1", "1"),
            ("cpu2", "0,2"),
            ("cpufreq", "9"),
        ] {
            let topology = system.join(cpu).join("topology");
            fs::create_dir_all(&topology).unwrap();
            fs::write(topology.join("thread_siblings_list"), siblings).unwrap();
        }
        fs::create_dir_all(system.join("cpu7")).unwrap(); // Not online: it has no topology.
        assert_eq!(cores(&system).map(NonZero::get), Some(2));
        fs::remove_dir_all(&system).unwrap();
        assert_eq!(cores(&system), None);
    }
}
