//! Code that is to be stopped: polls stand where they must, and operators that were cut
//! into pieces do what they did.
//!
//! The pieces are run by an interpreter, beside the operators as they were.

use crate::{
    interpreter::Running,
    numbers::{Numbers, seeds},
};
use threadwork_rewrite::{ENTER, FEATURES, Options, Rewritten, Stopping, rewrite_with};
use wasmi::Val;
use wasmparser::{Catch, Operator, Parser, Payload, TypeRef, Validator};

/// What the pieces are.
const PIECE: u64 = 1 << 20;
const PAGE: u64 = 1 << 16;

fn stoppable(wasm: &[u8], stopping: Stopping) -> Rewritten {
    let options = Options {
        stopping,
        ..Options::default()
    };
    let new = rewrite_with(wasm, options).unwrap();
    Validator::new_with_features(FEATURES)
        .validate_all(&new.wasm)
        .unwrap_or_else(|error| panic!("{stopping:?}: {error}"));
    new
}

/// Checks what must hold of every module; tells whether code polls that polls at all.
pub(crate) fn check(wasm: &[u8]) -> bool {
    let signals = stoppable(wasm, Stopping::BySignal);
    let code = Code::of(&signals.wasm);
    let mut loops = 0;
    for body in code.kept(wasm) {
        for at in positions(body, |o| matches!(o, Operator::Loop { .. })) {
            loops += 1;
            let throws = body.get(at + 4).is_some_and(is_throw);
            assert!(throws || !code.polls(body, at + 1), "a poll in a loop");
        }
        for at in positions(body, is_throw) {
            let poll = at.checked_sub(3);
            assert!(
                poll.is_some_and(|at| code.polls(body, at)),
                "no poll before a throw"
            );
        }
    }
    let defines = !Code::of(wasm).bodies.is_empty();
    assert_eq!(signals.stop_function.is_some(), defines);
    if let Some(stop) = signals.stop_function {
        let body = &code.bodies[(stop - code.imported_functions) as usize];
        assert_eq!(body[..], [Operator::Unreachable, Operator::End]);
    }

    let polled = stoppable(wasm, Stopping::ByPoll);
    assert_eq!(polled.stop_function, None);
    let code = Code::of(&polled.wasm);
    for (old, body) in Code::of(wasm).bodies.iter().zip(code.kept(wasm)) {
        let calls = !positions(old, is_call).is_empty();
        assert!(
            !calls || code.polls(body, 0),
            "no poll at the start of a function"
        );
        for at in positions(body, |o| matches!(o, Operator::Loop { .. })) {
            loops -= 1;
            assert!(code.polls(body, at + 1), "no poll in a loop");
        }
    }
    assert_eq!(loops, 0);

    for code in [Code::of(&signals.wasm), code] {
        for body in code.kept(wasm) {
            for at in positions(body, is_bulk) {
                assert!(code.polls(body, at + 1), "no poll after {:?}", body[at]);
            }
            let fills = |o: &Operator<'_>| matches!(o, Operator::MemoryFill { .. });
            assert!(positions(body, fills).is_empty(), "it is a call now");
        }
    }
    check_looks(wasm);
    polled.has_poll
}

/// Checks where code looks at a byte of its own memory.
fn check_looks(wasm: &[u8]) {
    let new = stoppable(wasm, Stopping::ByWord);
    let Some(address) = new.stop_byte else {
        let has_code = !Code::of(wasm).bodies.is_empty();
        assert!(
            new.memories.is_empty() || !has_code,
            "it has a memory to look at"
        );
        return;
    };
    let first = &new.memories[0];
    assert_eq!(address, (first.minimum - 1) * PAGE, "a page of its own");
    let looks = |body: &[Operator<'_>], at: usize| {
        let there = match body.get(at) {
            Some(&Operator::I32Const { value }) => u64::from(value.cast_unsigned()),
            Some(&Operator::I64Const { value }) => value.cast_unsigned(),
            _ => return false,
        };
        let loads = |o: &Operator<'_>| matches!(o, Operator::I32AtomicLoad8U { memarg } if memarg.memory == first.index);
        there == address
            && loads(&body[at + 1])
            && matches!(
                body.get(at + 2..at + 9),
                Some([
                    Operator::If { .. },
                    Operator::GlobalGet { .. },
                    own,
                    Operator::If { .. },
                    Operator::Unreachable,
                    Operator::End,
                    Operator::End,
                ]) if loads(own)
            )
    };
    let code = Code::of(&new.wasm);
    for (old, body) in Code::of(wasm).bodies.iter().zip(code.kept(wasm)) {
        let calls = !positions(old, is_call).is_empty();
        assert!(
            !calls || looks(body, 0),
            "no look at the start of a function"
        );
        for at in positions(body, |o| matches!(o, Operator::Loop { .. })) {
            assert!(looks(body, at + 1), "no look in a loop");
        }
    }
}

fn is_throw(operator: &Operator<'_>) -> bool {
    matches!(operator, Operator::Throw { .. } | Operator::ThrowRef)
}

fn is_call(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
    )
}

fn is_bulk(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::MemoryInit { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
            | Operator::MemoryGrow { .. }
    )
}

fn positions(body: &[Operator<'_>], wanted: impl Fn(&Operator<'_>) -> bool) -> Vec<usize> {
    (0..body.len()).filter(|&at| wanted(&body[at])).collect()
}

/// The functions of a module.
#[derive(Default)]
struct Code<'a> {
    imported_functions: u32,
    bodies: Vec<Vec<Operator<'a>>>,
    poll_memory: Option<u32>,
}

impl<'a> Code<'a> {
    fn of(wasm: &'a [u8]) -> Self {
        let mut code = Self::default();
        let mut memories = 0;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.unwrap() {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import.unwrap();
                        match import.ty {
                            TypeRef::Func(_) => code.imported_functions += 1,
                            TypeRef::Memory(_) => {
                                if (import.module, import.name) == ("threadwork", "poll") {
                                    code.poll_memory = Some(memories);
                                }
                                memories += 1;
                            }
                            _ => {}
                        }
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    let operators = body.get_operators_reader().unwrap();
                    code.bodies
                        .push(operators.into_iter().map(Result::unwrap).collect());
                }
                _ => {}
            }
        }
        code
    }

    /// The functions that `original` had.
    fn kept(&self, original: &[u8]) -> impl Iterator<Item = &[Operator<'a>]> {
        let count = Code::of(original).bodies.len();
        self.bodies.iter().take(count).map(Vec::as_slice)
    }

    /// Whether there is a poll at a place.
    fn polls(&self, body: &[Operator<'_>], at: usize) -> bool {
        matches!(
            body.get(at..at + 3),
            Some([
                Operator::I32Const { value: 0 },
                Operator::I32AtomicLoad8U { memarg },
                Operator::Drop,
            ]) if memarg.offset == 0 && Some(memarg.memory) == self.poll_memory
        )
    }
}

/// `ENTER` may have much to write, in one segment or in many.
#[test]
fn active_segments_are_written_with_polls() {
    for (count, len, polls) in [(1, 10, 0), (4, 600_000, 2), (3_000, 1, 2)] {
        let data = letters(len);
        let data = format!("(data (i32.const 0) \"{data}\")").repeat(count);
        let text = format!("(module (memory (import \"env\" \"a\") 99 99 shared) {data})");
        let new = stoppable(&wat::parse_str(text).unwrap(), Stopping::BySignal);
        assert_eq!(new.has_poll, polls > 0);
        let code = Code::of(&new.wasm);
        let [enter, ..] = &code.bodies[..] else {
            panic!("there is no ENTER");
        };
        let all = (0..enter.len()).filter(|&at| code.polls(enter, at));
        assert_eq!(all.count(), polls, "{count} of {len}");
    }
}

/// Walks at random through functions with much code and many ways, and counts.
#[test]
fn no_way_is_long_without_a_poll() {
    let (mut longest, mut longest_call) = (0, 0);
    for seed in seeds(200, 4_000) {
        let mut numbers = Numbers(seed);
        let mut body = String::new();
        write_blocks(&mut numbers, &mut body, 0, 6);
        let text = format!("(module (tag $e) (func $f (export \"f\") (param i32) {body}))");
        let wasm = wat::parse_str(text).unwrap();
        let new = stoppable(&wasm, Stopping::ByPoll);
        let code = Code::of(&new.wasm);
        for _ in 0..50 {
            let (way, from_call) = walk(&code, &mut numbers);
            longest = longest.max(way);
            longest_call = longest_call.max(from_call);
        }
    }
    // The poll itself is three more.
    assert!(longest > 900 && longest <= 1_000 + 3, "{longest}");
    assert!(longest_call > 0 && longest_call <= 32 + 3, "{longest_call}");
}

/// Writes straight code, blocks, branches out of them, and calls.
fn write_blocks(numbers: &mut Numbers, text: &mut String, depth: usize, most: usize) {
    for _ in 0..1 + numbers.below(most) {
        match numbers.below(if depth < 5 { 7 } else { 4 }) {
            0 | 1 => *text += &"nop ".repeat(numbers.below(400)),
            2 => {
                let target = numbers.below(depth + 1);
                *text += &format!("(br_if {target} (local.get 0)) ");
            }
            3 => match numbers.below(5) {
                0 => *text += "(call $f (local.get 0)) ",
                1 => *text += "(if (local.get 0) (then (throw $e))) ",
                2 => {
                    let [a, b] = [0; 2].map(|_| numbers.below(depth + 1));
                    *text += &format!("(block (br_table {a} {b} (local.get 0))) ");
                }
                _ => {}
            },
            4 | 5 => {
                let outer = numbers.below(depth + 1);
                *text += &match numbers.below(6) {
                    0 => "(loop ".to_owned(),
                    1 | 2 => format!("(try_table (catch_all {outer}) "),
                    _ => "(block ".to_owned(),
                };
                write_blocks(numbers, text, depth + 1, most);
                *text += ") ";
            }
            _ => {
                *text += "(if (local.get 0) (then ";
                write_blocks(numbers, text, depth + 1, most);
                *text += ") (else ";
                write_blocks(numbers, text, depth + 1, most);
                *text += ")) ";
            }
        }
    }
}

/// One walk through the first function; the most operators between two polls or calls, and
/// the most between a call and a poll. Each branch back is the end of the walk.
fn walk(code: &Code<'_>, numbers: &mut Numbers) -> (usize, usize) {
    let body = &code.bodies[0];
    let (mut at, mut since, mut longest) = (0, 0, 0);
    let (mut since_call, mut longest_call) = (None, 0);
    // Where each open block goes on, or `None` for a loop; and what it catches to.
    let mut open = vec![(Some(body.len()), None)];
    while let Some(operator) = body.get(at) {
        since += 1;
        longest = longest.max(since);
        if let Some(since_call) = &mut since_call {
            *since_call += 1;
            longest_call = longest_call.max(*since_call);
        }
        if code.polls(body, at) {
            since = 0;
            since_call = None;
        }
        at += 1;
        let coin = numbers.below(2) == 0;
        let mut branch = None;
        match operator {
            Operator::Block { .. } => open.push((Some(after(body, at).1), None)),
            Operator::Loop { .. } => open.push((None, None)),
            Operator::TryTable { try_table } => {
                let [Catch::All { label }] = try_table.catches[..] else {
                    panic!("{try_table:?}");
                };
                open.push((Some(after(body, at).1), Some(label)));
            }
            Operator::Throw { .. } => {
                let Some(inner) = open.iter().rposition(|(_, catch)| catch.is_some()) else {
                    break;
                };
                branch = open[inner].1;
                open.truncate(inner);
            }
            Operator::If { .. } => {
                let (other, end) = after(body, at);
                open.push((Some(end), None));
                if coin {
                    at = other;
                    if other == end {
                        open.pop();
                    }
                }
            }
            Operator::Else => branch = Some(0), // From the end of the first half.
            Operator::End => drop(open.pop()),
            Operator::Call { .. } => {
                since = 0;
                since_call = Some(0);
            }
            Operator::BrIf { relative_depth } => branch = coin.then_some(*relative_depth),
            Operator::BrTable { targets } => {
                branch = Some(match coin {
                    true => targets.default(),
                    false => targets.targets().next().unwrap().unwrap(),
                });
            }
            _ => {}
        }
        if let Some(depth) = branch {
            open.truncate(open.len() - depth as usize);
            match open.pop().unwrap() {
                (Some(place), _) => at = place,
                (None, _) => break,
            }
        }
    }
    (longest, longest_call)
}

/// Where the block that begins before `at` has its second half, and where it ends.
fn after(body: &[Operator<'_>], mut at: usize) -> (usize, usize) {
    let (mut depth, mut other) = (0, None);
    loop {
        match body[at] {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::TryTable { .. }
            | Operator::If { .. } => depth += 1,
            Operator::Else if depth == 0 => other = Some(at + 1),
            Operator::End if depth == 0 => return (other.unwrap_or(at + 1), at + 1),
            Operator::End => depth -= 1,
            _ => {}
        }
        at += 1;
    }
}

/// A module as it was, and with pieces.
struct Pair {
    was: Running,
    is: Running,
    trapped: usize,
    ran: usize,
}

impl Pair {
    fn new(text: &str, stopping: Stopping, imports: &[u32]) -> Self {
        let wasm = wat::parse_str(text).unwrap();
        let new = stoppable(&wasm, stopping);
        let was = Running::new(&wasm, imports);
        let mut is = Running::new(&new.wasm, imports);
        if new.has_enter {
            is.call(ENTER, &[Val::I32(1)]).unwrap();
        }
        Self {
            was,
            is,
            trapped: 0,
            ran: 0,
        }
    }

    fn call(&mut self, name: &str, operands: &[Val]) {
        let [was, is] = [&mut self.was, &mut self.is].map(|r| r.call(name, operands));
        assert_eq!(was, is, "{name} {operands:?}");
        self.trapped += usize::from(was.is_err());
        self.ran += usize::from(was.is_ok());
    }

    fn compare(&self) {
        for (was, is) in self.was.memories.iter().zip(&self.is.memories) {
            assert!(was.data(&self.was.store) == is.data(&self.is.store));
        }
    }
}

/// Bytes that differ from their neighbours, as the text of a string.
fn letters(len: u64) -> String {
    let mut numbers = Numbers(len);
    (0..len)
        .map(|_| (b'a' + numbers.below(26) as u8) as char)
        .collect()
}

/// An address or a length, near where something changes.
fn number(numbers: &mut Numbers, size: u64) -> u64 {
    let near = match numbers.below(8) {
        0 => 0,
        1 => size,
        2 => 1 << 32,
        3 => return numbers.next(),
        4 => numbers.next() % size,
        _ => PIECE * numbers.below(5) as u64,
    };
    near.wrapping_add(numbers.below(7) as u64).wrapping_sub(3)
}

/// The functions of a module with `memories`, of which those that say so have 64 bits.
fn functions(memories: &[(&str, bool)], segments: usize) -> (String, Vec<(String, [bool; 3])>) {
    let ty = |wide| if wide { "i64" } else { "i32" };
    let mut text = String::new();
    let mut all = Vec::new();
    let mut add = |name: String, operator: String, params: [bool; 3]| {
        let [a, b, c] = params.map(ty);
        text += &format!(
            "(func (export \"{name}\") (param {a} {b} {c})
                ({operator} (local.get 0) (local.get 1) (local.get 2)))"
        );
        all.push((name, params));
    };
    for &(to, wide) in memories {
        add(
            format!("fill {to}"),
            format!("memory.fill ${to}"),
            [wide, false, wide],
        );
        for &(from, other) in memories {
            let params = [wide, other, wide && other];
            add(
                format!("copy {to} {from}"),
                format!("memory.copy ${to} ${from}"),
                params,
            );
        }
        for segment in 0..segments {
            let operator = format!("memory.init ${to} {segment}");
            add(
                format!("init {to} {segment}"),
                operator,
                [wide, false, false],
            );
        }
    }
    for segment in 0..segments {
        text += &format!("(func (export \"drop {segment}\") (data.drop {segment}))");
    }
    (text, all)
}

/// Calls functions at random, and compares.
fn try_at_random(
    pair: &mut Pair,
    numbers: &mut Numbers,
    functions: &[(String, [bool; 3])],
    times: usize,
) {
    let size = pair.was.memories[0].data(&pair.was.store).len() as u64;
    pair.compare();
    for _ in 0..times {
        let (name, params) = &functions[numbers.below(functions.len())];
        let mut operands = [0; 3].map(|_| number(numbers, size));
        if numbers.below(3) > 0 {
            // Within bounds, mostly; and often with sides that overlap.
            operands[0] %= size / 2;
            operands[1] %= size / 2;
            operands[2] %= size * 2 / 3;
        }
        let mut wide = params.iter();
        let operands = operands.map(|operand| match wide.next() {
            Some(true) => Val::I64(operand as i64),
            _ => Val::I32(operand as i32),
        });
        pair.call(name, &operands);
        pair.compare();
    }
}

/// Four sizes of segments: nothing to cut, just not, just so, and more.
fn segments() -> [String; 4] {
    [9, PIECE, PIECE + 1, 2 * PIECE + 1234].map(letters)
}

#[test]
fn pieces_do_what_operators_do() {
    let (code, names) = functions(&[("a", false), ("b", false), ("c", true)], 4);
    let data = segments().map(|s| format!("(data \"{s}\")")).concat();
    let text = format!(
        "(module
            (memory $a (export \"a\") 80) (memory $b (export \"b\") 83)
            (memory $c (export \"c\") i64 81)
            {code} {data})"
    );
    let mut numbers = Numbers(1);
    for stopping in [Stopping::BySignal, Stopping::ByPoll] {
        let mut pair = Pair::new(&text, stopping, &[]);
        for segment in ["drop 0", "drop 3", "drop 1"] {
            try_at_random(&mut pair, &mut numbers, &names, 150);
            pair.call(segment, &[]);
        }
        try_at_random(&mut pair, &mut numbers, &names, 100);
        let Pair { ran, trapped, .. } = pair;
        println!("{stopping:?}: {ran} ran, {trapped} trapped");
        assert!(ran > 150 && trapped > 100, "{ran} {trapped}");
    }
}

/// With shared memories: segments are dropped by flags, and `ENTER` writes large ones. The
/// two memories are one.
#[test]
fn pieces_of_shared_memory_do_what_operators_do() {
    let (code, names) = functions(&[("a", false), ("b", false)], 4);
    let [tiny, full, more, large] = segments();
    let text = format!(
        "(module
            (memory $a (import \"env\" \"a\") 80 80 shared)
            (memory $b (import \"env\" \"b\") 80 80 shared)
            {code}
            (data \"{tiny}\") (data \"{full}\") (data (i32.const 70) \"{more}\") (data \"{large}\")
            (data (i32.const 2000000) \"{large}\"))"
    );
    let mut numbers = Numbers(2);
    for stopping in [Stopping::BySignal, Stopping::ByPoll] {
        let mut pair = Pair::new(&text, stopping, &[80, 80]);
        for segment in ["drop 0", "drop 2", "drop 3"] {
            try_at_random(&mut pair, &mut numbers, &names, 150);
            pair.call(segment, &[]);
        }
        try_at_random(&mut pair, &mut numbers, &names, 100);
        let Pair { ran, trapped, .. } = pair;
        println!("{stopping:?}: {ran} ran, {trapped} trapped");
        assert!(ran > 150 && trapped > 100, "{ran} {trapped}");
    }
}

/// Where the end is an address that 32 bits cannot say.
#[test]
fn pieces_reach_the_end_of_the_address_space() {
    let (code, _) = functions(&[("a", false)], 0);
    let text = format!("(module (memory $a (export \"a\") 65536) {code})");
    let mut pair = Pair::new(&text, Stopping::BySignal, &[]);
    let len = 2 * PIECE + 5;
    let start = (1u64 << 32) - len;
    let operands = |to: u64, second: u64, len: u64| [to, second, len].map(|n| Val::I32(n as i32));
    pair.call("fill a", &operands(start, 7, len));
    pair.call("fill a", &operands(start, 8, len + 1));
    pair.call("copy a a", &operands(PAGE, start - 3, len + 3));
    pair.call("copy a a", &operands(start - 5, PAGE, len + 5));
    pair.call("copy a a", &operands(start, PAGE, len + 1));
    assert_eq!((pair.ran, pair.trapped), (3, 2));
    for range in [0..8 * PIECE as usize, (start - PIECE) as usize..1 << 32] {
        let [was, is] = [&pair.was, &pair.is].map(|r| &r.memories[0].data(&r.store)[range.clone()]);
        assert!(was == is);
        assert!(was.contains(&7) && !was.contains(&8));
    }
}
