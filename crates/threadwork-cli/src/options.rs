//! The values of options: text to sizes, durations, directories, variables.
//!
//! Each function takes what the user typed and says in its error what to type
//! instead; clap adds the name of the option (see [`explain_bad_value`]).

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::error::{ContextKind, ContextValue};

/// A host directory, and the path under which the program sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DirMapping {
    /// Where the directory is.
    pub(crate) host: PathBuf,
    /// What the program calls it.
    pub(crate) guest: String,
    /// Whether it may only read there.
    pub(crate) read_only: bool,
}

/// A variable for the program's environment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EnvVar {
    /// Its name, never empty.
    pub(crate) name: String,
    /// Its value, or `None` to pass on the one that `threadwork` itself has.
    pub(crate) value: Option<String>,
}

impl EnvVar {
    /// The value to give, or `None` if the variable is to be passed on and is not set
    /// here: then it is not set there either.
    pub(crate) fn resolve(&self) -> anyhow::Result<Option<String>> {
        if self.value.is_some() {
            return Ok(self.value.clone());
        }
        match env::var_os(&self.name).map(OsString::into_string) {
            Some(Err(_)) => bail!("--env {0}: the value of {0} is not UTF-8", self.name),
            Some(Ok(value)) => Ok(Some(value)),
            None => Ok(None),
        }
    }
}

/// Suffixes of sizes, as GNU tools have them: `K` and `KiB` are 1024, `KB` 1000.
const SIZE_UNITS: [(&str, u64); 14] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1000),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
    ("t", 1 << 40),
    ("tib", 1 << 40),
    ("tb", 1_000_000_000_000),
];

/// More than any system has threads for by default.
const MOST_WORKERS: u32 = 1 << 16;

/// Units of durations, in nanoseconds.
const DURATION_UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("d", 86_400 * 1_000_000_000),
];

/// The smallest native stack that a program starts with, and the largest that makes sense.
const STACKS: std::ops::RangeInclusive<u64> = 64 << 10..=4 << 30;

/// A number of things of which there must be at least one: `4`.
pub(crate) fn parse_count(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) => Err(zero()),
        Ok(count) => Ok(count),
        Err(_) => Err("write a whole number, for example 4".into()),
    }
}

/// A number of workers, which all exist at the same time.
pub(crate) fn parse_workers(text: &str) -> Result<u32, String> {
    match parse_count(text)? {
        count @ ..=MOST_WORKERS => Ok(count),
        _ => Err(format!("that is too many: write at most {MOST_WORKERS}")),
    }
}

/// The bytes of a thread's native stack.
pub(crate) fn parse_stack(text: &str) -> Result<usize, String> {
    let bytes = parse_size(text)?;
    let fits = STACKS.contains(&bytes).then_some(bytes);
    let bytes = fits.and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| "write a size from 64K to 4G".to_owned())
}

/// A number of bytes: `1048576`, `64KiB`, `16M`, `1G`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let (digits, suffix) = split_number(text);
    let number: u64 = digits.parse().map_err(|_| bad_size())?;
    let suffix = suffix.to_lowercase();
    let (_, unit) = SIZE_UNITS
        .iter()
        .find(|(name, _)| *name == suffix)
        .ok_or_else(bad_size)?;
    match number.checked_mul(*unit) {
        Some(0) => Err(zero()),
        Some(bytes) => Ok(bytes),
        None => Err("that is more than there are bytes in 64 bits".into()),
    }
}

/// A time span: `500ms`, `10s`, `2m`, `1h30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text;
    let mut nanoseconds: u64 = 0;
    while !rest.is_empty() {
        let (digits, after) = split_number(rest);
        let number: u64 = digits.parse().map_err(|_| bad_duration())?;
        let (name, after) = after.split_at(after.find(is_digit).unwrap_or(after.len()));
        if name.is_empty() {
            return Err(format!(
                "the unit is missing: write {digits}s, {digits}ms or {digits}m"
            ));
        }
        let (_, unit) = DURATION_UNITS
            .iter()
            .find(|(n, _)| *n == name)
            .ok_or_else(bad_duration)?;
        let part = number.checked_mul(*unit).ok_or_else(too_long)?;
        nanoseconds = nanoseconds.checked_add(part).ok_or_else(too_long)?;
        rest = after;
    }
    match nanoseconds {
        0 if text.is_empty() => Err(bad_duration()),
        0 => Err(zero()),
        _ => Ok(Duration::from_nanos(nanoseconds)),
    }
}

/// `HOST`, which the program sees under the same name, or `HOST::GUEST`.
pub(crate) fn parse_dir(text: &str) -> Result<DirMapping, String> {
    let (host, guest) = text.split_once("::").unwrap_or((text, text));
    if host.is_empty() || guest.is_empty() {
        return Err("write HOST or HOST::GUEST, for example ./data::/data".into());
    }
    Ok(DirMapping {
        host: host.into(),
        guest: guest.into(),
        read_only: false,
    })
}

/// As [`parse_dir`], and with `:ro` at the end for reading only.
pub(crate) fn parse_grant(text: &str) -> Result<DirMapping, String> {
    let (text, read_only) = match text.strip_suffix(":ro") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let mapping = parse_dir(text)?;
    Ok(DirMapping {
        read_only,
        ..mapping
    })
}

/// `NAME=VALUE`, or `NAME` to pass on the host's value.
pub(crate) fn parse_env(text: &str) -> Result<EnvVar, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("the name is missing: write NAME=VALUE or NAME".into());
    }
    Ok(EnvVar {
        name: name.into(),
        value,
    })
}

/// clap's error about a value, in one line that names the option.
pub(crate) fn explain_bad_value(error: &clap::Error) -> anyhow::Error {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let option = context(ContextKind::InvalidArg);
    let value = context(ContextKind::InvalidValue);
    let reason = std::error::Error::source(error).map(|reason| format!(": {reason}"));
    anyhow::anyhow!(
        "invalid value '{value}' for {option}{}",
        reason.unwrap_or_default()
    )
}

/// The digits that `text` begins with, and what follows them.
fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c| !is_digit(c)).unwrap_or(text.len()))
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn zero() -> String {
    "zero allows nothing; leave the option out for no limit".into()
}

fn bad_size() -> String {
    "write a number of bytes, or one with a unit: 64KiB, 16M, 1G".into()
}

fn bad_duration() -> String {
    "write a number with a unit: 500ms, 10s, 2m, 1h30m".into()
}

fn too_long() -> String {
    "that is too long: the longest span is about 584 years".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_and_without_units() {
        for (text, bytes) in [
            ("1", 1),
            ("65536", 65_536),
            ("10B", 10),
            ("64KiB", 65_536),
            ("64k", 65_536),
            ("64KB", 64_000),
            ("16M", 16 << 20),
            ("1G", 1 << 30),
            ("2TiB", 2 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn bad_sizes() {
        for text in [
            "", "M", "-1", "+1", "1.5G", "16 M", "16X", "0x10", "1K1", "MiB16", "1é",
        ] {
            assert_eq!(parse_size(text), Err(bad_size()), "{text}");
        }
        for text in ["0", "0K", "00"] {
            assert_eq!(parse_size(text), Err(zero()), "{text}");
        }
        assert!(parse_size("16777216T").is_err_and(|error| error.contains("64 bits")));
        assert!(parse_size("18446744073709551616").is_err());
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("2m", 120_000),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
            ("1m1s1ms", 61_001),
            ("0s1ms", 1),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        assert_eq!(parse_duration("1ns"), Ok(Duration::from_nanos(1)));
    }

    #[test]
    fn bad_durations() {
        for text in [
            "", "s", "-1s", "1.5s", "10 s", "10sec", "1h 30m", "µs", "1é",
        ] {
            assert_eq!(parse_duration(text), Err(bad_duration()), "{text}");
        }
        for text in ["10", "1h30"] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.starts_with("the unit is missing"), "{text}: {error}");
        }
        for text in ["0s", "0h0m"] {
            assert_eq!(parse_duration(text), Err(zero()), "{text}");
        }
        for text in ["99999999999h", "584y", "20000000000s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts() {
        assert_eq!(parse_count("4"), Ok(4));
        assert_eq!(parse_count("0"), Err(zero()));
        for text in ["", "-1", "four", "1.5", "4294967296"] {
            assert!(parse_count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn workers() {
        assert_eq!(parse_workers("65536"), Ok(65_536));
        assert_eq!(parse_workers("0"), Err(zero()));
        for text in ["65537", "4294967295", "4294967296"] {
            assert!(parse_workers(text).is_err(), "{text}");
        }
    }

    #[test]
    fn directories() {
        let mapping = |host: &str, guest: &str| DirMapping {
            host: host.into(),
            guest: guest.into(),
            read_only: false,
        };
        let read_only = |mapping| DirMapping {
            read_only: true,
            ..mapping
        };
        for (text, expected) in [
            ("a", mapping("a", "a")),
            ("a:ro", read_only(mapping("a", "a"))),
            ("a::b:ro", read_only(mapping("a", "b"))),
            ("a:ro::b", mapping("a:ro", "b")),
        ] {
            assert_eq!(parse_grant(text), Ok(expected));
        }
        assert!(parse_grant(":ro").is_err());
        assert_eq!(parse_dir("."), Ok(mapping(".", ".")));
        assert_eq!(parse_dir("/a/b"), Ok(mapping("/a/b", "/a/b")));
        assert_eq!(parse_dir("./data::/data"), Ok(mapping("./data", "/data")));
        assert_eq!(parse_dir(r"C:\data::/"), Ok(mapping(r"C:\data", "/")));
        for text in ["", "::", "a::", "::b"] {
            assert!(parse_dir(text).is_err(), "{text}");
        }
    }

    #[test]
    fn variables() {
        let variable = |name: &str, value: Option<&str>| EnvVar {
            name: name.into(),
            value: value.map(str::to_owned),
        };
        assert_eq!(parse_env("A=b"), Ok(variable("A", Some("b"))));
        assert_eq!(parse_env("A=b=c"), Ok(variable("A", Some("b=c"))));
        assert_eq!(parse_env("A="), Ok(variable("A", Some(""))));
        assert_eq!(parse_env("A"), Ok(variable("A", None)));
        for text in ["", "=", "=b"] {
            assert!(parse_env(text).is_err(), "{text}");
        }
    }
}
