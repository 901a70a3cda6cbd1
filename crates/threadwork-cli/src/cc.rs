//! `threadwork cc` and `threadwork c++`: Clang, for C and C++ with threads.
//!
//! Clang comes with PyPI's `ziglang`, the C library with threads and the linker with Rust; `kit` puts
//! them together, once. Then Clang takes the place of this process: all arguments are its own, and so are its
//! exit code and what it prints.

mod kit;

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;

use clap::Args;

use crate::{exit_codes, report};
use kit::Kit;

/// The command line of `threadwork cc` and `threadwork c++`.
#[derive(Args)]
#[command(
    disable_help_flag = true,
    after_help = "\
It needs Python's ziglang (python3 -m pip install ziglang; or ZIG names another way to run Zig) and Rust's \
target (rustup target add wasm32-wasip1-threads). For Make: CC=\"threadwork cc\" CXX=\"threadwork c++\"; for \
CMake the same in the environment; for Rust's crate cc: CC_wasm32_wasip1_threads=\"threadwork cc\"."
)]
pub(crate) struct CcArgs {
    /// What Clang is told: threadwork cc -O2 app.c -o app.wasm
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// A language, and with it the library that programs are linked with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    C,
    Cpp,
}

/// Options with which Clang does not link.
const LINKS_NOT: [&str; 8] = [
    "-c",
    "-S",
    "-E",
    "-M",
    "-MM",
    "-fsyntax-only",
    "--version",
    "--help",
];

/// Options whose value is the next argument, which therefore is no input.
const WITH_VALUE: [&str; 19] = [
    "-o",
    "-x",
    "-I",
    "-D",
    "-U",
    "-L",
    "-B",
    "-T",
    "-u",
    "-z",
    "-include",
    "-isystem",
    "-iquote",
    "-idirafter",
    "-MF",
    "-MT",
    "-MQ",
    "-Xclang",
    "-mllvm",
];

/// How options begin with which Clang answers a question, and needs no input.
const ASKS: [&str; 7] = [
    "-v",
    "-###",
    "-print",
    "--print",
    "-dump",
    "--version",
    "--help",
];

impl Language {
    /// The one that a command of this name compiles.
    fn of_command(name: &OsStr) -> Option<Self> {
        match name.to_str()? {
            "cc" => Some(Self::C),
            "c++" => Some(Self::Cpp),
            _ => None,
        }
    }

    /// The command that compiles it.
    fn command(self) -> &'static str {
        match self {
            Self::C => "cc",
            Self::Cpp => "c++",
        }
    }

    /// A name that its files have.
    fn file(self) -> &'static str {
        match self {
            Self::C => "app.c",
            Self::Cpp => "app.cpp",
        }
    }
}

/// What the command line asks for if it begins with one of the two commands: all that follows is Clang's,
/// also what would be an option of ours.
pub(crate) fn given() -> Option<(Language, CcArgs)> {
    let mut args = env::args_os().skip(1);
    let language = Language::of_command(&args.next()?)?;
    let args = args.collect();
    Some((language, CcArgs { args }))
}

/// Whether there is anything to compile or to link. An option that is not known here counts its value as an
/// input: then Clang is asked.
fn has_input(args: &[OsString]) -> bool {
    let mut args = args.iter().map(|arg| arg.to_string_lossy());
    while let Some(arg) = args.next() {
        let links = ["-l", "-Wl,", "-Xlinker"];
        if arg == "-" || !arg.starts_with('-') || links.iter().any(|with| arg.starts_with(with)) {
            return true;
        }
        if WITH_VALUE.contains(&&*arg) {
            args.next();
        }
    }
    false
}

/// Becomes Clang; returns only if it cannot, or if there is nothing to do.
pub(crate) fn cc(language: Language, args: &CcArgs) -> anyhow::Result<i32> {
    let is_idle = !has_input(&args.args);
    let asks = |arg: &OsString| {
        let arg = arg.to_string_lossy();
        ASKS.iter().any(|asks| arg.starts_with(asks))
    };
    if is_idle && !args.args.iter().any(asks) {
        let (name, file) = (language.command(), language.file());
        report::tell(format_args!(
            "no input files: threadwork {name} -O2 {file} -o app.wasm"
        ));
        return Ok(exit_codes::NO_INPUT);
    }
    let links = !args
        .args
        .iter()
        .any(|arg| LINKS_NOT.iter().any(|not| arg == not));
    let kit = Kit::open()?;
    if language == Language::Cpp && links {
        kit.ensure_cpp()?;
    }
    let mut clang = kit.clang();
    // With this its errors begin.
    clang.arg0(format!("threadwork {}", language.command()));
    if language == Language::Cpp {
        clang.arg("--driver-mode=g++");
    }
    if is_idle {
        // Our own options of the linker are inputs to Clang, which would make a program of them.
        clang.arg("-c");
    }
    let error = clang.args(&args.args).exec();
    Err(report::explain("cannot run Clang", error))
}
