//! Every refusal, word by word: the texts are for people who never heard of this
//! crate, and must say what to do. (Those for size are in `limits.rs`.)

use threadwork_rewrite::{NotWasm, RewriteError, rewrite};

/// What is said about a file.
fn refusal(file: impl AsRef<[u8]>) -> String {
    rewrite(file.as_ref()).unwrap_err().to_string()
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn a_file_that_is_not_wasm() {
    let not_wasm = "not a WebAssembly binary: ";
    let text = "this is WebAssembly text; convert it first, for example with `wasm-tools parse`";
    let elf =
        "this is an ELF program for Linux or the like; build with `--target wasm32-wasip1-threads`";
    let mach_o = "this is a Mach-O program for macOS; build with `--target wasm32-wasip1-threads`";
    let pe = "this is a Windows program; build with `--target wasm32-wasip1-threads`";
    let archive = "this is a static library; link it into a module first";
    let unknown = "it does not begin with the bytes `\\0asm`; \
                   check the path, and that the download or the build finished";
    for (file, said) in [
        (b"".as_slice(), "the file is empty; build it again"),
        (b"(module)", text),
        (b"\xef\xbb\xbf\n ;; a comment\n(module)", text),
        (b"(; a comment ;)", text),
        (b"\x7fELF\x02\x01\x01", elf),
        (b"\xcf\xfa\xed\xfe\x07", mach_o),
        (b"\xce\xfa\xed\xfe\x07", mach_o),
        (b"\xfe\xed\xfa\xce\x07", mach_o),
        (b"\xca\xfe\xba\xbe\x00", mach_o),
        (b"MZ\x90\x00", pe),
        (b"!<arch>\n", archive),
        (
            b"\x1f\x8b\x08",
            "this is compressed; unpack it first with `gunzip`",
        ),
        (b"\0as", unknown),
        (b"<html>404</html>", unknown),
        (b"asm\0\x01\0\0\0", unknown),
    ] {
        assert_eq!(refusal(file), format!("{not_wasm}{said}"), "{file:?}");
    }
    assert_eq!(
        rewrite(b"MZ").unwrap_err(),
        RewriteError::NotWasm(NotWasm::Pe),
    );
}

#[test]
fn a_component() {
    assert_eq!(
        refusal(wat("(component)")),
        "this is a WebAssembly component, and threads need a core module; \
         build for `wasm32-wasip1-threads`, or take the module out with \
         `wasm-tools component unbundle`",
    );
}

#[test]
fn an_invalid_module() {
    let remedy =
        "if that names a feature, switch it off in the compiler, else build the file again";
    for (file, said) in [
        (
            wat("(module (func (result i32) i64.const 1))"),
            "type mismatch: expected i32, found i64 (at byte 0x1a)",
        ),
        (
            wat("(module (memory 1 shared))").to_vec(),
            "shared memory must have maximum size (at byte 0xb)",
        ),
        (
            wat("(module (memory 1 1 shared) (func (drop (memory.grow 1 (i32.const 0)))))"),
            "unknown memory 1 (at byte 0x1f)",
        ),
        (
            b"\0asm\x01\0\0\0\x01".to_vec(),
            "unexpected end-of-file (at byte 0x9)",
        ),
    ] {
        assert_eq!(
            refusal(&file),
            format!("invalid WebAssembly module: {said}; {remedy}")
        );
    }
}

#[test]
fn features_that_are_off() {
    for (file, said) in [
        ("(module (table 1 externref))", "gc types are disallowed"),
        (
            "(module (func try catch_all end))",
            "legacy_exceptions feature required",
        ),
        ("(module (type (struct)))", "without the gc feature"),
        (
            "(module (type $f (func)) (func (param (ref $f))))",
            "function references required",
        ),
        (
            "(module (memory 1 (pagesize 1)))",
            "the custom page sizes proposal must be enabled",
        ),
    ] {
        let refusal = refusal(wat(file));
        assert!(refusal.contains(said), "{file}: {refusal}");
        assert!(
            refusal.contains("switch it off in the compiler"),
            "{refusal}"
        );
    }
}

/// The validator of wasmparser 0.254 lets this pass.
#[test]
fn an_exact_function_type() {
    let import = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x07\x01\x01a\x01b\x20\0";
    assert_eq!(
        refusal(import),
        "invalid WebAssembly module: custom descriptors proposal not enabled: exact function \
         type (at byte 0x11); if that names a feature, switch it off in the compiler, else \
         build the file again",
    );
}

#[test]
fn an_object_file() {
    let said = "this is a relocatable object file (it has a `linking` section), not a \
                finished module; link it first, for example with `wasm-ld`";
    assert_eq!(refusal(wat(r#"(module (@custom "linking" "\02"))"#)), said);
    // Whatever is in it.
    assert_eq!(refusal(wat(r#"(module (@custom "linking" ""))"#)), said);
}

#[test]
fn names_of_the_runtime() {
    assert_eq!(
        refusal(wat(r#"(module (import "threadwork" "wait32:0" (func)))"#)),
        "the module imports `threadwork.wait32:0`, and the import module `threadwork` \
         belongs to the runtime; give the file as the compiler made it (this one may \
         have been rewritten before), or rename the import",
    );
    assert_eq!(
        refusal(wat(r#"(module (func (export "threadwork:enter")))"#)),
        "the module exports `threadwork:enter`, and names that begin with `threadwork:` \
         belong to the runtime; give the file as the compiler made it (this one may have \
         been rewritten before), or rename the export",
    );
    // Names that only look like them are the program's own.
    let near = r#"(module (import "threadwork2" "f" (func)) (func (export "threadwork")))"#;
    assert!(rewrite(&wat(near)).is_ok());
}

#[test]
fn a_module_that_was_rewritten_before() {
    let once = rewrite(&wat(
        r#"(module (memory 1 1 shared) (func (result i32) (memory.grow (i32.const 1))))"#,
    ));
    assert!(refusal(once.unwrap().wasm).contains("rewritten before"));
}
