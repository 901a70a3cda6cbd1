//! The object file: one function for each instruction, in the format that LLVM's
//! linker reads (tool-conventions, `Linking.md`).
//!
//! Each function takes the operands of its instruction as parameters and contains
//! nothing else. It is opaque to LLVM, which therefore never inlines it: the operands
//! are never constants. V8's baseline compiler in Node 20 overwrites a local variable
//! across a wait whose address and expected value are both constants.
//!
//! Written byte by byte, since an encoder would be compiled for every native user, who needs none
//! of this. `tests/object.rs` compares it with what `wasm-encoder` makes.

/// The instructions, in the order of their functions.
pub(crate) const NAMES: [&str; 3] = ["wait32", "wait64", "notify"];

const I32: u8 = 0x7f;
const I64: u8 = 0x7e;

/// Of each instruction: its parameters, the byte after the prefix of atomics, and the alignment of
/// its operand as a power of two: the natural one, the instructions accept nothing else.
const FUNCTIONS: [(&[u8], u8, u8); 3] = [
    (&[I32, I32, I64], 0x01, 2),
    (&[I32, I64, I64], 0x02, 3),
    (&[I32, I32], 0x00, 2),
];

/// The object file, whose functions are called `symbols`.
pub(crate) fn build(symbols: &[String; 3]) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();

    let types = FUNCTIONS.map(|(parameters, ..)| {
        let mut function = vec![0x60];
        push_sized(&mut function, parameters);
        push_sized(&mut function, &[I32]);
        function
    });
    push_section(&mut module, 1, &list(&types));

    // The linker replaces this import by the memory of the program.
    let mut memory = Vec::new();
    push_sized(&mut memory, b"env");
    push_sized(&mut memory, b"__linear_memory");
    // A memory, of no pages at least, and no most.
    memory.extend([0x02, 0x00, 0x00]);
    push_section(&mut module, 2, &list(&[memory]));

    // Each function has the type of its own.
    push_section(&mut module, 3, &list(&[[0], [1], [2]]));

    let code = FUNCTIONS.map(|(parameters, instruction, align)| {
        // No variables; `local.get` for each parameter.
        let mut body = vec![0];
        for (index, _) in (0..).zip(parameters) {
            body.extend([0x20, index]);
        }
        // At the address itself; the end.
        body.extend([0xfe, instruction, align, 0, 0x0b]);
        let mut function = Vec::new();
        push_sized(&mut function, &body);
        function
    });
    push_section(&mut module, 10, &list(&code));

    let table = [0, 1, 2].map(|index: u8| {
        // A function; hidden, so for the program's own code, not among its exports.
        let mut symbol = vec![0, 0x04, index];
        push_sized(&mut symbol, symbols[usize::from(index)].as_bytes());
        symbol
    });
    // Version 2; the symbol table.
    let mut linking = vec![2, 8];
    push_sized(&mut linking, &list(&table));
    push_custom(&mut module, "linking", &linking);

    // One feature, which is used ('+'): the linker refuses an object without it in a
    // program with a shared memory.
    let mut features = vec![1, b'+'];
    push_sized(&mut features, b"atomics");
    push_custom(&mut module, "target_features", &features);
    module
}

fn push_section(module: &mut Vec<u8>, id: u8, content: &[u8]) {
    module.push(id);
    push_sized(module, content);
}

fn push_custom(module: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut content = Vec::new();
    push_sized(&mut content, name.as_bytes());
    content.extend(data);
    push_section(module, 0, &content);
}

/// How many there are, and then all of them.
fn list(items: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut list = Vec::new();
    push_number(&mut list, items.len());
    list.extend(items.iter().flat_map(AsRef::as_ref));
    list
}

/// Their number, and then the bytes.
fn push_sized(into: &mut Vec<u8>, bytes: &[u8]) {
    push_number(into, bytes.len());
    into.extend(bytes);
}

/// As LEB128: seven bits in each byte, the lowest first.
fn push_number(into: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}
