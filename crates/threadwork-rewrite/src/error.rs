//! Why a file is refused, in words that say what to do next.
//!
//! Invariant: every refusal names the reason *and* the remedy; a reader who has
//! never heard of this crate can act on the line alone. The texts are checked
//! word by word in `tests/refusals.rs`.

use std::fmt;

use wasm_encoder::reencode;

use crate::{HOST_MODULE, RESERVED};

/// Why [`rewrite`](crate::rewrite) refused a file.
///
/// ```
/// use threadwork_rewrite::{NotWasm, RewriteError, rewrite};
///
/// let error = rewrite(b"(module)").unwrap_err();
/// assert_eq!(error, RewriteError::NotWasm(NotWasm::Text));
/// assert_eq!(
///     error.to_string(),
///     "not a WebAssembly binary: this is WebAssembly text; \
///      convert it first, for example with `wasm-tools parse`",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RewriteError {
    /// The file does not begin with `\0asm`.
    #[error("not a WebAssembly binary: {0}")]
    NotWasm(NotWasm),

    /// The file is a component, not a core module.
    #[error(
        "this is a WebAssembly component, and threads need a core module; \
         build for `wasm32-wasip1-threads`, or take the module out with \
         `wasm-tools component unbundle`"
    )]
    Component,

    /// The file is WebAssembly, but not a valid module.
    #[error(
        "invalid WebAssembly module: {message} (at byte {offset:#x}); \
         if that names a feature, switch it off in the compiler, else build the file again"
    )]
    Invalid {
        /// Offset from the start of the file.
        offset: usize,
        /// What the validator says.
        message: String,
    },

    /// The file is the output of a compiler that no linker has seen yet.
    #[error(
        "this is a relocatable object file (it has a `linking` section), not a \
         finished module; link it first, for example with `wasm-ld`"
    )]
    Object,

    /// The module imports from the module name that the rewriter uses.
    #[error(
        "the module imports `{HOST_MODULE}.{name}`, and the import module `{HOST_MODULE}` \
         belongs to the runtime; give the file as the compiler made it (this one may \
         have been rewritten before), or rename the import"
    )]
    ReservedImport {
        /// The import's field name.
        name: String,
    },

    /// The module exports a name that the rewriter uses.
    #[error(
        "the module exports `{name}`, and names that begin with `{RESERVED}` belong to \
         the runtime; give the file as the compiler made it (this one may have been \
         rewritten before), or rename the export"
    )]
    ReservedExport {
        /// The export's name.
        name: String,
    },

    /// The module, or what it becomes, is larger than engines accept.
    #[error(
        "the module has {count} {what}, with what the runtime adds, and engines accept \
         {limit}; split the module or strip what it does not use"
    )]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        count: u64,
        /// How much is allowed.
        limit: u64,
    },
}

/// What a file that is not WebAssembly looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotWasm {
    /// No bytes at all.
    Empty,
    /// The text format.
    Text,
    /// An ELF program, library or object.
    Elf,
    /// A Mach-O program, library or object.
    MachO,
    /// A Windows program or library.
    Pe,
    /// A static library.
    Archive,
    /// A gzip stream.
    Gzip,
    /// Anything else.
    Unknown,
}

impl fmt::Display for NotWasm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the file is empty; build it again",
            Self::Text => {
                "this is WebAssembly text; \
                 convert it first, for example with `wasm-tools parse`"
            }
            Self::Elf => {
                "this is an ELF program for Linux or the like; \
                 build with `--target wasm32-wasip1-threads`"
            }
            Self::MachO => {
                "this is a Mach-O program for macOS; \
                 build with `--target wasm32-wasip1-threads`"
            }
            Self::Pe => {
                "this is a Windows program; \
                 build with `--target wasm32-wasip1-threads`"
            }
            Self::Archive => "this is a static library; link it into a module first",
            Self::Gzip => "this is compressed; unpack it first with `gunzip`",
            Self::Unknown => {
                "it does not begin with the bytes `\\0asm`; \
                 check the path, and that the download or the build finished"
            }
        })
    }
}

/// Decides from its first bytes whether `wasm` is a core module.
pub(crate) fn check_kind(wasm: &[u8]) -> Result<(), RewriteError> {
    if wasm.starts_with(b"\0asm") {
        return if wasmparser::Parser::is_component(wasm) {
            Err(RewriteError::Component)
        } else {
            Ok(())
        };
    }
    Err(RewriteError::NotWasm(match wasm {
        [] => NotWasm::Empty,
        [0x7f, b'E', b'L', b'F', ..] => NotWasm::Elf,
        // 32 and 64 bits, in either byte order, and the universal form.
        [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..]
        | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..]
        | [0xca, 0xfe, 0xba, 0xbe, ..] => NotWasm::MachO,
        [b'M', b'Z', ..] => NotWasm::Pe,
        [b'!', b'<', b'a', b'r', b'c', b'h', b'>', ..] => NotWasm::Archive,
        [0x1f, 0x8b, ..] => NotWasm::Gzip,
        _ if is_text(wasm) => NotWasm::Text,
        _ => NotWasm::Unknown,
    }))
}

/// The text format begins, after white space and comments, with a parenthesis.
fn is_text(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = bytes.trim_ascii_start();
    [b"(".as_slice(), b";;"].iter().any(|s| text.starts_with(s))
}

impl From<wasmparser::Error> for RewriteError {
    fn from(error: wasmparser::Error) -> Self {
        Self::Invalid {
            offset: error.offset(),
            message: error.message().to_owned(),
        }
    }
}

impl From<reencode::Error> for RewriteError {
    /// After validation the encoder meets nothing that it cannot say again, so
    /// this is a refusal that should not happen, and not a panic if it does.
    fn from(error: reencode::Error) -> Self {
        match error {
            reencode::Error::ParseError(error) => error.into(),
            other => Self::Invalid {
                offset: 0,
                message: other.to_string(),
            },
        }
    }
}
