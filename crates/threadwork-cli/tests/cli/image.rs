//! `threadwork image`: a container image of a program. What containerd makes of one is tried by
//! `fleet/test.sh`.

use crate::support::{file, finish, guest, temporary_folder, threadwork};
use std::fs;

#[test]
fn a_program_makes_the_same_image_each_time() {
    let folder = temporary_folder();
    let image = |name: &str, options: &[&str]| {
        let output = folder.path().join(name);
        let mut image = threadwork();
        image.arg("image").arg(guest()).args(options);
        let said = finish(image.arg("-o").arg(&output)).expect_code(0).stdout;
        (said, fs::read(&output).unwrap())
    };
    let (name, first) = image("first.tar", &[]);
    let stem = guest().file_stem().unwrap().to_str().unwrap();
    assert_eq!(name, format!("docker.io/library/{stem}:latest\n"));
    assert!(first.len() as u64 > fs::metadata(guest()).unwrap().len());
    assert!(first.starts_with(b"oci-layout\0"));
    assert!(image("second.tar", &[]).1 == first);

    let (name, other) = image("other.tar", &["--name", "registry.example/app:7"]);
    assert_eq!(name, "registry.example/app:7\n");
    let has = |text: &str| {
        other
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    assert!(has(
        r#""io.containerd.image.name":"registry.example/app:7""#
    ));
    assert!(has(r#""org.opencontainers.image.ref.name":"7""#));
}

#[test]
fn what_is_no_program_makes_no_image() {
    let folder = temporary_folder();
    let output = folder.path().join("image.tar");
    for (name, text, says) in [
        ("text.wasm", "hello", "cannot make an image of"),
        ("empty.wasm", "", "is empty"),
        ("code.wasm", "\0twcode\n", "is machine code"),
    ] {
        let mut image = threadwork();
        image.arg("image").arg(file(folder.path(), name, text));
        finish(image.arg("-o").arg(&output))
            .expect_code(125)
            .expect_stderr(&[name, says]);
    }
    assert!(!output.exists());
}
