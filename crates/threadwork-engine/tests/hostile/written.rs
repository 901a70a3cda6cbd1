//! Written shapes: endless programs put together from all that a guest can do.
//!
//! A program is some *shapes*, functions that do not end, which its threads run. A shape is
//! a nest of loops, a circle of tail calls, a recursion, a long straight line, or a wait;
//! what it does in there are *acts*, statements that leave no value.
//!
//! Invariant: no act traps, and none ends the program.

mod acts;

use crate::case::{Case, Door, Output};
use crate::numbers::Numbers;
use std::fmt::Write;

/// Where acts load and store.
const SCRATCH: usize = 1024;

/// Where bulk instructions begin: below are the words of waits and of WASI.
const BULK: u64 = 8192;

const PAGE: u64 = 65536;

/// Pages of a memory of 1 GiB.
const HUGE: u64 = 16384;

/// Bytes of a segment.
const SEGMENT: usize = 32768;

/// What every function has, so that acts can use it.
const LOCALS: &str = "(local $n i32) (local $m i64) (local $x f64) (local $v v128)";

pub(crate) fn case(mut numbers: Numbers) -> Case {
    match numbers.below(12) {
        0 => bare(numbers),
        _ => Writer::new(numbers).case(),
    }
}

/// Nested loops in a module that has nothing else, not even a memory.
fn bare(mut numbers: Numbers) -> Case {
    let depth = 1 + numbers.below(4);
    let open: String = (0..depth).map(|n| format!("(loop $l{n} ")).collect();
    let jumps = (0..depth).rev().map(|last| {
        let label = numbers.below(last + 1);
        match numbers.below(3) {
            0 => format!("(br $l{label}))"),
            1 => format!("(br_if $l{last} (local.tee $n (i32.add (local.get $n) (i32.const 1)))))"),
            _ => format!("(br $l{last}))"),
        }
    });
    let loops = open + &jumps.collect::<String>();
    Case {
        module: format!(
            "(module (func (export \"_start\") (local $n i32) (loop $again {loops} (br $again))))"
        )
        .into_bytes(),
        door: Door::Command,
        output: Output::Forgotten,
        what: format!("command, bare: {loops}"),
        endless: true,
    }
}

/// Writes one program.
struct Writer {
    numbers: Numbers,
    door: Door,
    output: Output,
    shared: bool,
    memory64: bool,
    pages: u64,
    table: usize,
    threads: usize,
    shapes: usize,
    spawns: bool,
    /// Whether there is a second memory.
    second: bool,
    /// Functions that were written on the way.
    functions: String,
    /// Functions of the table of tail calls, by number.
    tails: Vec<String>,
    /// Makes labels and names of functions unique.
    names: usize,
    /// How deep acts are in functions of acts.
    depth: usize,
    what: String,
}

impl Writer {
    fn new(mut numbers: Numbers) -> Self {
        let door = match numbers.below(10) {
            0 => Door::Initialize,
            1 => Door::Call,
            2 => Door::Tasks(Vec::new()),
            _ => Door::Command,
        };
        let tasks = matches!(door, Door::Tasks(_));
        let shared = tasks || numbers.below(3) > 0;
        let threads = match shared {
            true => [1, 1, 2, 3, 4, 8, 16][numbers.below(7)],
            false => 1,
        };
        let output = [
            Output::Forgotten,
            Output::Kept,
            Output::Blocked,
            Output::Closed,
        ][numbers.below(if tasks { 2 } else { 4 })];
        Self {
            shared,
            threads,
            output,
            shapes: threads.min(1 + numbers.below(4)),
            spawns: shared && (threads > 1 && !tasks || numbers.below(4) == 0),
            memory64: numbers.below(8) == 0,
            pages: match numbers.below(24) {
                0 => HUGE,
                few => 2 + few as u64 % 3,
            },
            table: [100, 1000, 1000, 100_000][numbers.below(4)],
            second: numbers.below(6) == 0,
            door,
            numbers,
            functions: String::new(),
            tails: Vec::new(),
            names: 0,
            depth: 0,
            what: String::new(),
        }
    }

    fn case(mut self) -> Case {
        let shapes: Vec<_> = (0..self.shapes).map(|number| self.shape(number)).collect();
        let mut text = String::from("(module\n");
        text += &self.imports();
        text += &self.memories();
        text += &self.tables();
        text += &shapes.concat();
        text += &self.functions;
        text += &self.entries();
        text += ")\n";
        let mut what = format!("{}, threads: {}", self.door.name(), self.threads);
        if self.shared {
            what += ", shared";
        }
        if self.memory64 {
            what += ", 64 bit";
        }
        if self.pages == HUGE {
            what += ", 1 GiB";
        }
        what += &self.what;
        Case {
            module: text.into_bytes(),
            door: self.door,
            output: self.output,
            what,
            endless: true,
        }
    }

    // ---- The module around the shapes ----

    fn wasi(&self) -> bool {
        !self.memory64
    }

    fn imports(&self) -> String {
        let mut text = String::from(
            "(import \"host\" \"nothing\" (func $host))\n\
             (import \"host\" \"work\" (func $work (param i32) (result i32)))\n",
        );
        if self.spawns {
            text += "(import \"wasi\" \"thread-spawn\" (func $spawn (param i32) (result i32)))\n";
        }
        let functions = [
            ("clock_time_get", "i32 i64 i32"),
            ("random_get", "i32 i32"),
            ("sched_yield", ""),
            ("fd_write", "i32 i32 i32 i32"),
            ("fd_read", "i32 i32 i32 i32"),
            ("fd_close", "i32"),
            ("poll_oneoff", "i32 i32 i32 i32"),
        ];
        for (name, params) in functions.iter().filter(|_| self.wasi()) {
            writeln!(
                text,
                "(import \"wasi_snapshot_preview1\" \"{name}\" \
                   (func ${name} (param {params}) (result i32)))"
            )
            .unwrap();
        }
        text
    }

    fn memories(&self) -> String {
        let index = if self.memory64 { "i64" } else { "" };
        let shared = if self.shared { "shared" } else { "" };
        let pages = self.pages;
        let most = pages.max(64);
        let at = |n: usize| self.index(n as u64);
        let mut text = format!("(memory (export \"memory\") {index} {pages} {most} {shared})\n");
        if self.second {
            writeln!(text, "(memory $second 2 64)").unwrap();
        }
        // A subscription to the clock in an hour, and one in a microsecond; one to standard
        // input; a buffer of 4 KiB.
        let zeros = |count: usize| "\\00".repeat(count);
        let clock = |time: &str| {
            let (tag, id) = (zeros(8), format!("\\01{}", zeros(7)));
            format!("\"\\07{}{tag}{id}{time}{}\"", zeros(7), zeros(16))
        };
        let input = format!("\"\\07{}\\01{}\"", zeros(7), zeros(39));
        let data = [
            (64, clock("\\00\\a0\\b8\\30\\46\\03\\00\\00")),
            (192, "\"\\00\\10\\00\\00\\00\\10\\00\\00\"".to_owned()),
            (256, clock("\\e8\\03\\00\\00\\00\\00\\00\\00")),
            (320, input),
        ];
        for (address, bytes) in data {
            writeln!(text, "(data {} {bytes})", at(address)).unwrap();
        }
        let segment = "x".repeat(SEGMENT);
        writeln!(text, "(data $kept \"{segment}\") (data $dropped \"gone\")").unwrap();
        text
    }

    fn tables(&self) -> String {
        let (size, most) = (self.table, self.table + 1000);
        let tails = self.tails.join(" ");
        format!(
            "(table $t {size} {most} funcref)\n\
             (table $u {size} {size} funcref)\n\
             (table $functions funcref (elem $nothing $count $nothing))\n\
             (table $tails funcref (elem $nothing {tails}))\n\
             (elem $some func $nothing $count $nothing $count)\n\
             (elem $gone func $nothing)\n\
             (type $nothing (func))\n\
             (tag $exception)\n\
             (tag $other)\n\
             (type $tail (func (param i32 i64)))\n\
             (global $one (mut i32) (i32.const 1))\n\
             (global $counter (mut i32) (i32.const 0))\n\
             (func $nothing)\n\
             (func $count\n\
               (global.set $counter (i32.add (global.get $counter) (i32.const 1))))\n"
        )
    }

    /// What the host calls.
    fn entries(&mut self) -> String {
        let mut text = self.run();
        if self.spawns {
            text += "(func (export \"wasi_thread_start\") (param i32 i32)\n\
                       (call $run (local.get 1)))\n";
        }
        if let Door::Tasks(tasks) = &mut self.door {
            for number in 0..self.threads {
                tasks.push(format!("shape{}", number % self.shapes));
            }
            for number in 0..self.shapes {
                writeln!(text, "(export \"shape{number}\" (func $shape{number}))").unwrap();
            }
            return text + "(func (export \"answer\") (result i32) (i32.const 42))\n";
        }
        // One thread alone runs a function that may call nothing.
        let mut main = "$shape0";
        if self.threads > 1 {
            main = "$main";
            let spawn = |number| format!("(drop (call $spawn (i32.const {number})))\n");
            let spawns: String = (1..self.threads).map(spawn).collect();
            writeln!(text, "(func $main {spawns} (call $run (i32.const 0)))").unwrap();
        }
        text + &match self.door {
            Door::Initialize => format!("(export \"_initialize\" (func {main}))\n"),
            Door::Call => format!("(export \"go\" (func {main}))\n"),
            _ if self.numbers.below(6) == 0 => {
                self.what += ", start function";
                format!("(start {main}) (func (export \"_start\"))\n")
            }
            _ => format!("(export \"_start\" (func {main}))\n"),
        }
    }

    /// Runs a shape by its number; a negative one is none.
    fn run(&self) -> String {
        let shapes = self.shapes;
        let shape = |number| {
            format!(
                "(if (i32.eq (i32.rem_u (local.get $i) (i32.const {shapes})) (i32.const {number}))\n\
                   (then (call $shape{number})))\n"
            )
        };
        let run: String = (0..shapes).map(shape).collect();
        format!(
            "(func $run (param $i i32)\n\
               (if (i32.ge_s (local.get $i) (i32.const 0)) (then {run})))\n"
        )
    }

    // ---- Shapes ----

    /// A function that does not end.
    fn shape(&mut self, number: usize) -> String {
        write!(self.what, "; {number}:").unwrap();
        let body = match self.numbers.below(16) {
            0 | 1 => self.tail_calls(),
            2 | 3 => self.recursion(),
            4 => self.straight_line(),
            5 => self.wait(),
            6 => self.loop_of_values(),
            7 => self.throw(),
            _ => self.loops(),
        };
        // Whatever comes to its end begins again.
        format!("(func $shape{number} {LOCALS}\n(loop $again\n{body}\n(br $again)))\n")
    }

    /// Nested loops, with and without something in them.
    fn loops(&mut self) -> String {
        let depth = 1 + self.numbers.below(4);
        self.note(&format!("loops({depth})"));
        let busy = self.numbers.below(4);
        self.nest(depth, busy, &mut vec!["$again".to_owned()])
    }

    /// A loop with `depth - 1` loops in it; in `busy` of three places there are acts.
    fn nest(&mut self, depth: usize, busy: usize, labels: &mut Vec<String>) -> String {
        let label = self.name();
        labels.push(label.clone());
        let before = self.acts_if(busy);
        let within = match depth {
            1 => self.acts_if(busy),
            _ => self.nest(depth - 1, busy, labels),
        };
        let after = self.acts_if(busy);
        let jump = self.jump(labels);
        labels.pop();
        format!("(loop {label}\n{before}{within}{after}{jump})\n")
    }

    /// A jump to the last of the labels, or to one around it.
    fn jump(&mut self, labels: &[String]) -> String {
        let last = &labels[labels.len() - 1];
        let any = &labels[self.numbers.below(labels.len())];
        let index = match self.numbers.below(3) {
            0 => "(local.tee $n (i32.add (local.get $n) (i32.const 1)))".to_owned(),
            1 => "(global.get $counter)".to_owned(),
            _ => format!("(i32.load {})", self.address()),
        };
        let kind = self.numbers.below(6);
        self.note(["br", "br", "br_if", "br_if-mask", "br_table", "br-out"][kind]);
        match kind {
            0 | 1 => format!("(br {last})"),
            2 => format!("(br_if {last} (global.get $one))"),
            3 => {
                let mask = [1, 0xff, 0xffff][self.numbers.below(3)];
                format!("(br_if {last} (i32.and {index} (i32.const {mask})))")
            }
            4 => format!(
                "(br_table {} (i32.rem_u {index} (i32.const {})))",
                labels.join(" "),
                labels.len()
            ),
            _ => format!("(br {any})"),
        }
    }

    /// Values that go around in a loop.
    fn loop_of_values(&mut self) -> String {
        self.note("loop of values");
        let act = self.acts_if(1);
        "(i32.const 1) (i64.const 2)
         (loop $l (param i32 i64)
           (local.set $m (i64.mul (i64.const 3))) (local.set $n (i32.add (i32.const 5)))
           ACT
           (local.get $n) (local.get $m) (br $l))"
            .replace("ACT", &act)
    }

    /// Functions that call each other as their last act, in a circle.
    fn tail_calls(&mut self) -> String {
        let circle = 1 + self.numbers.below(4);
        let busy = self.numbers.below(3);
        let indirect = self.numbers.below(2) == 0;
        self.note(&format!("tail calls({circle})"));
        if indirect {
            self.note("indirect");
        }
        let names: Vec<_> = (0..circle).map(|_| self.name()).collect();
        let first = 1 + self.tails.len();
        self.tails.extend(names.iter().cloned());
        for (number, name) in names.iter().enumerate() {
            let acts = self.acts_if(busy);
            let next = (number + 1) % circle;
            let args =
                "(i32.add (local.get $a) (i32.const 1)) (i64.mul (local.get $b) (i64.const 3))";
            let call = match indirect {
                true => format!(
                    "(return_call_indirect $tails (type $tail) {args} (i32.const {}))",
                    first + next
                ),
                false => format!("(return_call {} {args})", names[next]),
            };
            writeln!(
                self.functions,
                "(func {name} (param $a i32) (param $b i64) {LOCALS}\n{acts}{call})"
            )
            .unwrap();
        }
        format!("(call {} (i32.const 0) (i64.const 1))", names[0])
    }

    /// Functions that call each other down to some depth, once or twice.
    fn recursion(&mut self) -> String {
        let circle = 1 + self.numbers.below(3);
        let twice = self.numbers.below(2) == 0;
        // Twice is without end from some thirty on; once ends, and is begun again.
        let depth = match twice {
            true => 40 + self.numbers.below(500),
            false => 1 + self.numbers.below(2000),
        };
        self.note(&format!("recursion({circle}, {depth}, twice: {twice})"));
        let names: Vec<_> = (0..circle).map(|_| self.name()).collect();
        let busy = self.numbers.below(2);
        for (number, name) in names.iter().enumerate() {
            let acts = self.acts_if(busy);
            let next = &names[(number + 1) % circle];
            let call = format!("(call {next} (i32.sub (local.get $d) (i32.const 1)))\n");
            let calls = call.repeat(1 + usize::from(twice));
            writeln!(
                self.functions,
                "(func {name} (param $d i32) {LOCALS}\n\
                   {acts}(if (local.get $d) (then\n{calls})))"
            )
            .unwrap();
        }
        format!("(call {} (i32.const {depth}))", names[0])
    }

    /// Much work in a function that has no loop and calls nothing.
    fn straight_line(&mut self) -> String {
        let kind = self.numbers.below(3);
        let count = match kind {
            // Thousands of these compile for seconds.
            0 => [20, 200][self.numbers.below(2)],
            _ => [20, 200, 2000][self.numbers.below(3)],
        };
        self.note(&format!("straight line({count})"));
        let act = match kind {
            0 => self.table_act(),
            1 => {
                self.pages = HUGE;
                self.fill(HUGE * PAGE - BULK)
            }
            _ => self.bulk_act(),
        };
        let body = format!("{act}\n").repeat(count);
        if self.numbers.below(2) == 0 {
            return body;
        }
        let name = self.name();
        writeln!(self.functions, "(func {name} {LOCALS}\n{body})").unwrap();
        format!("(call {name})")
    }

    /// Sleeps, for ever or long, in all the ways there are.
    fn wait(&mut self) -> String {
        let (zero, streams) = (self.index(0), !matches!(self.door, Door::Tasks(_)));
        let time = ["-1", "3600000000000"][self.numbers.below(2)];
        let kind = self.numbers.below(5);
        match kind {
            0 if self.shared => {
                self.note("wait32");
                format!("(drop (memory.atomic.wait32 {zero} (i32.const 0) (i64.const {time})))")
            }
            1 if self.shared => {
                self.note("wait64");
                format!("(drop (memory.atomic.wait64 {zero} (i64.const 0) (i64.const {time})))")
            }
            2 if self.wasi() && streams => {
                self.note("read");
                "(drop (call $fd_read (i32.const 0) (i32.const 192) (i32.const 1) (i32.const 200)))"
                    .to_owned()
            }
            3 if self.wasi() && streams => {
                self.note("poll stdin");
                "(drop (call $poll_oneoff (i32.const 320) (i32.const 128) (i32.const 1) (i32.const 160)))"
                    .to_owned()
            }
            _ if self.wasi() => {
                self.note("poll an hour");
                "(drop (call $poll_oneoff (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 160)))"
                    .to_owned()
            }
            _ => self.loops(),
        }
    }

    // ---- Words ----

    /// A number of the memory's index type.
    fn index(&self, number: u64) -> String {
        match self.memory64 {
            true => format!("(i64.const {number})"),
            false => format!("(i32.const {number})"),
        }
    }

    /// Where an act may load or store any type.
    fn address(&mut self) -> String {
        let address = SCRATCH + 16 * self.numbers.below(64);
        self.index(address as u64)
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("$f{}", self.names)
    }

    /// Adds a word to what the report says of the program.
    fn note(&mut self, word: &str) {
        self.what.push(' ');
        self.what.push_str(word);
    }
}
