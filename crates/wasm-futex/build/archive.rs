//! A static library of one object: the `ar` format as GNU writes it.
//!
//! The format is two headers and a list of names, and the crates that write it bring a
//! reader of all object formats along, which every user of this crate would compile.

/// A library that contains `object` as a file called `name`, which must fit into its
/// header (15 bytes), with an index of its global `symbols`.
pub(crate) fn build(name: &str, object: &[u8], symbols: &[String]) -> Vec<u8> {
    const MAGIC: &[u8] = b"!<arch>\n";

    // The index: how many symbols, where the member of each begins, their names.
    let names: Vec<u8> = symbols
        .iter()
        .flat_map(|symbol| symbol.bytes().chain([0]))
        .collect();
    let index_length = 4 + 4 * symbols.len() + names.len();
    let position = MAGIC.len() + HEADER_LENGTH + index_length.next_multiple_of(2);
    let mut index = big_endian(symbols.len()).to_vec();
    for _ in symbols {
        index.extend(big_endian(position));
    }
    index.extend(names);

    let mut library = MAGIC.to_vec();
    push_member(&mut library, "/", &index);
    push_member(&mut library, &format!("{name}/"), object);
    library
}

const HEADER_LENGTH: usize = 60;

/// Appends a member. Each begins at an even place.
fn push_member(library: &mut Vec<u8>, name: &str, content: &[u8]) {
    // Name, date, owner, group, mode, length. The first four after the name are zero:
    // the same input makes the same bytes.
    let header = format!(
        "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
        0,
        0,
        0,
        0,
        content.len()
    );
    assert_eq!(
        header.len(),
        HEADER_LENGTH,
        "a name too long for its header"
    );
    library.extend(header.bytes());
    library.extend(content);
    if library.len() % 2 == 1 {
        library.push(b'\n');
    }
}

fn big_endian(number: usize) -> [u8; 4] {
    u32::try_from(number)
        .expect("an object of three functions is small")
        .to_be_bytes()
}
