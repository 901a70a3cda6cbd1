//! What Clang needs to compile for threads, put together in the cache: headers, libraries, and a file of options.
//!
//! It is made once for each compiler, C library and form of it, of which its folder is named. The C++
//! library is compiled when it is first wanted.
//!
//! Invariant: a folder with a file of options is complete but for the C++ library, and a C++ library that
//! is there is whole: both get their names last, under a lock.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, anyhow, bail};

use crate::toolchain::{self, WASM_TARGET};
use crate::{children, engine, report};

/// Our own part: headers for what wasi-libc leaves out, and the functions.
const FILES: [(&str, &str); 15] = [
    ("pthread.h", include_str!("../../c/include/pthread.h")),
    ("setjmp.h", include_str!("../../c/include/setjmp.h")),
    ("signal.h", include_str!("../../c/include/signal.h")),
    ("time.h", include_str!("../../c/include/time.h")),
    ("unistd.h", include_str!("../../c/include/unistd.h")),
    (
        "__typedef_sigset_t.h",
        include_str!("../../c/include/__typedef_sigset_t.h"),
    ),
    ("sys/mman.h", include_str!("../../c/include/sys/mman.h")),
    (
        "sys/resource.h",
        include_str!("../../c/include/sys/resource.h"),
    ),
    ("sys/stat.h", include_str!("../../c/include/sys/stat.h")),
    (
        "sys/sysinfo.h",
        include_str!("../../c/include/sys/sysinfo.h"),
    ),
    ("sys/times.h", include_str!("../../c/include/sys/times.h")),
    (EXCEPTIONS, include_str!("../../c/exceptions.c")),
    (POSIX, include_str!("../../c/posix.c")),
    (UNWINDING, include_str!("../../c/unwinding.c")),
    (SIGNALS, include_str!("../../c/signals.c")),
];
const EXCEPTIONS: &str = "exceptions.c";
const POSIX: &str = "posix.c";
const UNWINDING: &str = "unwinding.c";
const SIGNALS: &str = "signals.c";

/// Libraries that are asked for by habit, and have nothing that is not in `libc` or `libthreadwork`.
const EMPTY: [&str; 11] = [
    "m",
    "pthread",
    "rt",
    "dl",
    "util",
    "crypt",
    "resolv",
    "wasi-emulated-signal",
    "wasi-emulated-mman",
    "wasi-emulated-getpid",
    "wasi-emulated-process-clocks",
];

/// An archive of nothing.
const NO_MEMBERS: &str = "!<arch>\n";

/// What the linker is told, and which library programs have besides: `--max-memory` is rustc's, too, and the main
/// thread's stack as large as Linux' is.
const LINKING: &str = "\
--no-wasm-opt
-Wl,--import-memory,--export-memory,--max-memory=1073741824
-Wl,-z,stack-size=8388608,--stack-first,--wrap=sysconf
-lthreadwork
";

/// As Zig configures its libc++, but with threads, and files.
const LIBCPP: &str = "\
-D_LIBCPP_ABI_VERSION=1
-D_LIBCPP_ABI_NAMESPACE=__1
-D_LIBCPP_HAS_THREADS=1
-D_LIBCPP_HAS_THREAD_API_PTHREAD=1
-D_LIBCPP_HAS_THREAD_API_EXTERNAL=0
-D_LIBCPP_HAS_THREAD_API_WIN32=0
-D_LIBCPP_HAS_MONOTONIC_CLOCK=1
-D_LIBCPP_HAS_TERMINAL=1
-D_LIBCPP_HAS_MUSL_LIBC=1
-D_LIBCPP_HAS_VENDOR_AVAILABILITY_ANNOTATIONS=0
-D_LIBCPP_HAS_FILESYSTEM=1
-D_LIBCPP_HAS_RANDOM_DEVICE=1
-D_LIBCPP_HAS_LOCALIZATION=1
-D_LIBCPP_HAS_UNICODE=1
-D_LIBCPP_HAS_WIDE_CHARACTERS=1
-D_LIBCPP_PSTL_BACKEND_SERIAL
-D_LIBCPP_HARDENING_MODE=_LIBCPP_HARDENING_MODE_NONE
-D_LIBCPP_ASSERTION_SEMANTIC_DEFAULT=_LIBCPP_ASSERTION_SEMANTIC_IGNORE
-D_LIBCPP_DISABLE_VISIBILITY_ANNOTATIONS
-D_LIBCXXABI_DISABLE_VISIBILITY_ANNOTATIONS
";

/// How libc++ itself is compiled.
const LIBCPP_OPTIONS: [&str; 10] = [
    "-O2",
    "-std=c++23",
    "-fno-exceptions",
    "-ffunction-sections",
    "-fdata-sections",
    "-w",
    "-D_LIBCPP_BUILDING_LIBRARY",
    "-D_LIBCXXABI_BUILDING_LIBRARY",
    "-DLIBCXX_BUILDING_LIBCXXABI",
    "-DHAVE___CXA_THREAD_ATEXIT_IMPL",
];

/// Sources of libc++ and libc++abi, below Zig's libraries.
const LIBCPP_SOURCES: [&str; 4] = [
    "libcxx/src",
    "libcxx/src/filesystem",
    "libcxx/src/ryu",
    "libcxxabi/src",
];

/// Those that unwind: `exceptions.c` stands for them.
const UNUSED: [&str; 3] = [
    "cxa_exception.cpp",
    "cxa_exception_storage.cpp",
    "cxa_personality.cpp",
];

/// Compilers at one time, at most.
const COMPILERS: usize = 8;

/// A compiler, and what it needs.
pub(super) struct Kit {
    zig: PathBuf,
    /// Zig's headers, and the sources of its C++ library.
    zig_libraries: PathBuf,
    folder: PathBuf,
}

impl Kit {
    /// Finds the compiler, and puts together what is missing.
    pub(super) fn open() -> anyhow::Result<Self> {
        let (zig, zig_libraries) = find_zig()?;
        let rust = toolchain::wasm_libraries()?;
        let cache = engine::cache_folder()
            .context("no folder to keep the C library in: set HOME or THREADWORK_CACHE_DIR")?;
        let cache = std::path::absolute(&cache).unwrap_or(cache).join("cc");
        let mut hash = blake3::Hasher::new();
        for part in [&zig, &zig_libraries, &rust] {
            hash.update(part.as_os_str().as_encoded_bytes());
            // A new version in an old place.
            let changed = fs::metadata(part).and_then(|part| part.modified());
            hash.update(format!("{changed:?}").as_bytes());
        }
        for (name, text) in FILES {
            hash.update(name.as_bytes()).update(text.as_bytes());
        }
        hash.update(LINKING.as_bytes()).update(LIBCPP.as_bytes());
        let kit = Self {
            zig,
            zig_libraries,
            folder: cache.join(&hash.finalize().to_hex()[..16]),
        };
        if !kit.options().exists() {
            let made = kit.locked(|| kit.make(&rust));
            made.map_err(|error| anyhow!("cannot make {}: {error:#}", kit.folder.display()))?;
        }
        Ok(kit)
    }

    /// Clang with its options.
    pub(super) fn clang(&self) -> Command {
        self.clang_with(&self.options())
    }

    /// The C++ library, compiled if it is missing.
    pub(super) fn ensure_cpp(&self) -> anyhow::Result<()> {
        if self.library("c++").exists() {
            return Ok(());
        }
        self.locked(|| {
            if self.library("c++").exists() {
                return Ok(());
            }
            report::tell("compiles the C++ library, once: half a minute of two cores");
            self.make_cpp()
        })
    }

    fn make(&self, rust: &Path) -> anyhow::Result<()> {
        if self.options().exists() {
            return Ok(());
        }
        let include = self.folder.join("include");
        let own = include.join(WASM_TARGET);
        let libraries = self.folder.join("lib").join(WASM_TARGET);
        let builtins = self
            .folder
            .join("resource/lib/wasm32-unknown-wasip1-threads");
        for folder in [
            &include,
            &own.join("c++"),
            &include.join("c++"),
            &libraries,
            &builtins,
        ] {
            fs::create_dir_all(folder)?;
        }
        let zig = |path: &str| self.zig_libraries.join(path);
        copy_all(&zig("libc/include/generic-musl"), &include)?;
        copy_all(&zig("libc/include/wasm-wasi-musl"), &include)?;
        link(&zig("libcxx/include"), &include.join("c++/v1"))?;
        link(&zig("libcxxabi/include"), &own.join("c++/v1"))?;
        link(&zig("include"), &self.folder.join("resource/include"))?;
        for (name, text) in FILES {
            let file = match Path::new(name).extension().is_some_and(|kind| kind == "h") {
                true => own.join(name),
                false => self.folder.join(name),
            };
            fs::create_dir_all(file.parent().unwrap_or(&own))?;
            fs::write(file, text)?;
        }
        copy_all(&rust.join("self-contained"), &libraries)?;
        let name = "libclang_rt.builtins.a";
        fs::copy(toolchain::builtins(rust)?, builtins.join(name))?;
        for name in EMPTY {
            fs::write(self.library(name), NO_MEMBERS)?;
        }
        let linker = toolchain::linker()?;
        let folder = self.folder.display();
        // In a file of options, what is in quotes is one option.
        let text = format!(
            "--target={WASM_TARGET}\n-pthread\n\"--sysroot={folder}\"\n\
             \"-resource-dir={folder}/resource\"\n\"-fuse-ld={}\"\n{LINKING}{LIBCPP}",
            linker.display(),
        );
        let unfinished = self.options().with_added_extension("unfinished");
        fs::write(&unfinished, text)?;
        let sources = [POSIX, SIGNALS, UNWINDING].map(|name| self.folder.join(name));
        let options = ["-O2", "-ffunction-sections"];
        let objects = self.compile(&unfinished, &sources, &options)?;
        self.archive("threadwork", &objects)?;
        Ok(fs::rename(unfinished, self.options())?)
    }

    fn make_cpp(&self) -> anyhow::Result<()> {
        let mut sources = vec![self.folder.join(EXCEPTIONS)];
        for folder in LIBCPP_SOURCES {
            for entry in fs::read_dir(self.zig_libraries.join(folder))? {
                let path = entry?.path();
                let is = |names: &[&str]| {
                    path.file_name()
                        .is_some_and(|name| names.iter().any(|other| name == *other))
                };
                if path.extension().is_some_and(|kind| kind == "cpp") && !is(&UNUSED) {
                    sources.push(path);
                }
            }
        }
        let includes = [
            "libcxx/src",
            "libcxx/src/include",
            "libcxx/libc",
            "libcxxabi/src",
        ];
        let includes =
            includes.map(|folder| format!("-I{}", self.zig_libraries.join(folder).display()));
        let options = LIBCPP_OPTIONS
            .into_iter()
            .chain(includes.iter().map(String::as_str));
        let objects = self.compile(&self.options(), &sources, &options.collect::<Vec<_>>())?;
        fs::write(self.library("c++abi"), NO_MEMBERS)?;
        self.archive("c++", &objects)
    }

    /// Compiles files, on all cores, and returns the objects.
    fn compile(
        &self,
        config: &Path,
        sources: &[PathBuf],
        options: &[&str],
    ) -> anyhow::Result<Vec<PathBuf>> {
        let folder = self.folder.join("objects");
        fs::create_dir_all(&folder)?;
        let jobs = sources.iter().enumerate();
        let jobs: VecDeque<_> = jobs
            .map(|(n, source)| (source, folder.join(format!("{n}.o"))))
            .collect();
        let objects = jobs.iter().map(|(_, object)| object.clone()).collect();
        let jobs = Mutex::new(jobs);
        let next = || {
            jobs.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front()
        };
        let work = || {
            while let Some((source, object)) = next() {
                let mut clang = self.clang_with(config);
                // A library in C++, and C beside it.
                let is_c = source.extension().is_some_and(|kind| kind == "c");
                let options = options
                    .iter()
                    .filter(|option| !(is_c && option.starts_with("-std=")));
                clang
                    .args(options)
                    .arg("-c")
                    .arg(source)
                    .arg("-o")
                    .arg(object);
                succeed(&mut clang)?;
            }
            anyhow::Ok(())
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..cores.min(COMPILERS))
                .map(|_| scope.spawn(work))
                .collect();
            workers
                .into_iter()
                .try_for_each(|worker| match worker.join() {
                    Ok(outcome) => outcome,
                    Err(_) => bail!("a thread that compiles has panicked"),
                })
        })?;
        Ok(objects)
    }

    /// Makes a library of objects, which gets its name when it is whole.
    fn archive(&self, name: &str, objects: &[PathBuf]) -> anyhow::Result<()> {
        let library = self.library(name);
        let unfinished = library.with_added_extension("unfinished");
        // What somebody has left who was ended.
        let _ = fs::remove_file(&unfinished);
        let mut ar = Command::new(&self.zig);
        succeed(ar.args(["ar", "rcs"]).arg(&unfinished).args(objects))?;
        fs::rename(unfinished, library)?;
        Ok(fs::remove_dir_all(self.folder.join("objects"))?)
    }

    fn clang_with(&self, config: &Path) -> Command {
        let mut option = OsString::from("--config=");
        option.push(config);
        let mut clang = Command::new(&self.zig);
        clang.arg("clang").arg(option);
        clang
    }

    fn options(&self) -> PathBuf {
        self.folder.join("cc.cfg")
    }

    fn library(&self, name: &str) -> PathBuf {
        self.folder
            .join("lib")
            .join(WASM_TARGET)
            .join(format!("lib{name}.a"))
    }

    /// Does something while no other process does.
    fn locked<T>(&self, act: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        fs::create_dir_all(&self.folder)?;
        let lock = File::create(self.folder.join("lock"))?;
        lock.lock()?;
        act()
    }
}

/// Zig's program and its libraries, as Zig itself tells them.
fn find_zig() -> anyhow::Result<(PathBuf, PathBuf)> {
    let given = env::var("ZIG").unwrap_or_else(|_| "python3 -m ziglang".to_owned());
    let mut words = given.split_whitespace();
    let missing =
        "this needs Zig's Clang: python3 -m pip install ziglang (or say in ZIG how to run Zig)";
    let mut zig = Command::new(words.next().context(missing)?);
    let Ok(output) = children::output(zig.args(words).arg("env")) else {
        bail!(missing);
    };
    let text = String::from_utf8_lossy(&output.stdout);
    match (value(&text, "zig_exe"), value(&text, "lib_dir")) {
        (Some(zig), Some(libraries)) if output.status.success() => {
            Ok((zig.into(), libraries.into()))
        }
        _ => bail!(missing),
    }
}

/// The value of a name, in Zig's notation or in JSON.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(name)?;
    let (_, rest) = rest.trim_start_matches('"').split_once('"')?;
    rest.split_once('"').map(|(value, _)| value)
}

/// Runs a tool, whose complaint is the error.
fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let output =
        children::output(command).map_err(|error| report::explain("cannot run Zig", error))?;
    if !output.status.success() {
        bail!("Zig failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Copies what is in a folder into another.
fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_all(&entry.path(), &place)?,
            false => fs::copy(entry.path(), place).map(drop)?,
        }
    }
    Ok(())
}

/// Makes a link, unless somebody has who was ended then.
fn link(to: &Path, name: &Path) -> io::Result<()> {
    match symlink(to, name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_of_zig_are_read() {
        let zon = ".{\n    .zig_exe = \"/a/zig\",\n    .lib_dir = \"/a/lib\",\n}";
        assert_eq!(value(zon, "lib_dir"), Some("/a/lib"));
        let json = "{\n \"zig_exe\": \"/a/zig\",\n \"lib_dir\": \"/a/lib\"\n}";
        assert_eq!(value(json, "zig_exe"), Some("/a/zig"));
        assert_eq!(value("", "lib_dir"), None);
    }
}
