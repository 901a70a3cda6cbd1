//! What a container may use, as its guest is told.
//!
//! The limits of a container are its control group's, which the system holds. Where it meets
//! them itself, a program is killed or stalls; so the engine is given limits of its own that
//! come first, with a status and a message. They are read from the container's specification,
//! since not every container can see its control group.
//!
//! Invariant: what is granted and what the host itself needs fit into the container's limit.

use std::num::NonZero;

use libcontainer::oci_spec::runtime::Spec;

/// Bytes that the host needs in a container, beside the guest's memory: what the process
/// begins with, the engine, and the module's code.
const HOST_MEMORY: u64 = 10 << 20;

/// One part in so many of a limit is for what grows with the guest: stacks of threads, tables
/// of pages, instances.
const HOST_PART: u64 = 16;

/// Threads of the host: the first of the process, the guest's main one, and two that look after
/// time and the cache.
const HOST_THREADS: u32 = 4;

/// What a container may use; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// Threads that can run at the same time.
    pub(crate) parallelism: Option<NonZero<u32>>,
    /// Bytes of linear memory.
    pub(crate) memory: Option<u64>,
    /// Threads beside the main one.
    pub(crate) threads: Option<u32>,
}

impl Share {
    /// That of a container.
    ///
    /// # Errors
    ///
    /// If a limit leaves nothing for the guest, with what would do.
    pub(crate) fn of(spec: &Spec) -> Result<Self, String> {
        let resources = spec.linux().as_ref().and_then(|l| l.resources().as_ref());
        let Some(resources) = resources else {
            return Ok(Self::default());
        };
        let cpu = resources.cpu().as_ref();
        let quota = cpu.and_then(|cpu| Some((cpu.quota()?, cpu.period().unwrap_or(PERIOD))));
        let memory = resources.memory().as_ref().and_then(|m| m.limit());
        let pids = resources.pids().as_ref().map(|pids| pids.limit());
        Ok(Self {
            parallelism: quota.and_then(|(quota, period)| whole_cores(quota, period)),
            memory: memory.and_then(limit).map(guest_memory).transpose()?,
            threads: pids.and_then(limit).map(guest_threads).transpose()?,
        })
    }
}

/// Microseconds in which a quota is used up where the container does not say it.
const PERIOD: u64 = 100_000;

/// Control groups have no limit where it is zero or less.
fn limit(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|value| *value > 0)
}

/// The cores of a quota, rounded down as std and most runtimes do, and at least one.
fn whole_cores(quota: i64, period: u64) -> Option<NonZero<u32>> {
    let cores = limit(quota)?.checked_div(period)?;
    let cores = u32::try_from(cores).unwrap_or(u32::MAX);
    Some(NonZero::new(cores).unwrap_or(NonZero::<u32>::MIN))
}

fn guest_memory(limit: u64) -> Result<u64, String> {
    let host = HOST_MEMORY + limit / HOST_PART;
    match limit.checked_sub(host) {
        // A page of linear memory.
        Some(guest) if guest >= 1 << 16 => Ok(guest),
        _ => Err(format!(
            "the container's memory limit of {} KiB leaves no linear memory: the host needs {} KiB \
             of it",
            limit >> 10,
            host >> 10
        )),
    }
}

fn guest_threads(pids: u64) -> Result<u32, String> {
    let pids = u32::try_from(pids).unwrap_or(u32::MAX);
    let threads = pids.checked_sub(HOST_THREADS).filter(|left| *left > 0);
    threads.ok_or_else(|| {
        format!(
            "the container's limit of {pids} processes is too low: the host needs {HOST_THREADS}, \
             and each thread of the program one more"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(resources: &str) -> Result<Share, String> {
        let spec = format!(r#"{{"ociVersion":"1.0.2","linux":{{"resources":{resources}}}}}"#);
        Share::of(&serde_json::from_str(&spec).expect("a specification"))
    }

    #[test]
    fn without_limits_nothing_is_said() {
        assert_eq!(share("{}"), Ok(Share::default()));
        let unlimited = r#"{"cpu":{"quota":-1},"memory":{"limit":-1},"pids":{"limit":0}}"#;
        assert_eq!(share(unlimited), Ok(Share::default()));
    }

    #[test]
    fn a_quota_is_rounded_down_to_one_core_at_least() {
        let cores = |quota| {
            let cpu = format!(r#"{{"cpu":{{"quota":{quota},"period":50000}}}}"#);
            share(&cpu).unwrap().parallelism.map(NonZero::get)
        };
        assert_eq!([cores(25_000), cores(50_000)], [Some(1), Some(1)]);
        assert_eq!([cores(99_999), cores(100_000)], [Some(1), Some(2)]);
        let zero = share(r#"{"cpu":{"quota":50000,"period":0}}"#).unwrap();
        assert_eq!(zero.parallelism, None);
    }

    #[test]
    fn what_the_host_needs_is_taken_off() {
        let of = |limit: u64| share(&format!(r#"{{"memory":{{"limit":{limit}}}}}"#));
        assert_eq!(of(32 << 20).unwrap().memory, Some(20 << 20));
        assert!(of(8 << 20).unwrap_err().contains("leaves no linear memory"));
        let pids = |limit: u64| share(&format!(r#"{{"pids":{{"limit":{limit}}}}}"#));
        assert_eq!(pids(8).unwrap().threads, Some(4));
        assert_eq!(pids(5).unwrap().threads, Some(1));
        assert!(pids(4).unwrap_err().contains("too low"));
        assert_eq!(pids(1 << 40).unwrap().threads, Some(u32::MAX - 4));
    }
}
