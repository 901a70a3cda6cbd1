//! What a guest does between two jumps: statements that leave no value.

use super::{BULK, LOCALS, PAGE, SEGMENT, Writer};
use std::fmt::Write;

impl Writer {
    /// Some acts, in `busy` of three times.
    pub(super) fn acts_if(&mut self, busy: usize) -> String {
        if self.numbers.below(3) >= busy {
            return String::new();
        }
        let count = 1 + self.numbers.below(2);
        (0..count).map(|_| self.act() + "\n").collect()
    }

    /// A statement that leaves no value.
    fn act(&mut self) -> String {
        let at = self.address();
        let simple = |writer: &mut Self, name: &str, text: &str| {
            writer.note(name);
            text.replace("AT", &at)
        };
        match self.numbers.below(30) {
            0 => simple(
                self,
                "add",
                "(local.set $n (i32.add (local.get $n) (i32.const 1)))",
            ),
            1 | 2 => simple(self, "load", "(drop (i32.load AT))"),
            3 => simple(self, "load64", "(local.set $m (i64.load AT))"),
            4 | 5 => simple(self, "store", "(i32.store AT (local.get $n))"),
            6 => simple(self, "atomic load", "(drop (i32.atomic.load AT))"),
            7 => simple(self, "atomic store", "(i64.atomic.store AT (local.get $m))"),
            8 => simple(self, "rmw", "(drop (i32.atomic.rmw.add AT (i32.const 1)))"),
            9 => simple(
                self,
                "cmpxchg",
                "(drop (i64.atomic.rmw.cmpxchg AT (i64.const 0) (i64.const 1)))",
            ),
            10 => simple(
                self,
                "spin lock",
                "(loop $spin (br_if $spin (i32.atomic.rmw.cmpxchg AT (i32.const 0) (i32.const 1))))",
            ),
            11 => simple(self, "fence", "(atomic.fence)"),
            12 => simple(
                self,
                "global",
                "(global.set $counter (i32.add (global.get $counter) (i32.const 1)))",
            ),
            13 => simple(
                self,
                "float",
                "(local.set $x (f64.div (f64.sqrt (local.get $x)) (f64.const 3)))",
            ),
            14 => simple(
                self,
                "simd",
                "(local.set $v (i32x4.mul (i8x16.relaxed_swizzle (local.get $v) (v128.load AT)) \
                   (i32x4.splat (local.get $n))))",
            ),
            15 => simple(self, "simd store", "(v128.store AT (local.get $v))"),
            16 | 17 => self.call(),
            18 | 19 => self.bulk_act(),
            20 => self.table_act(),
            21 => self.grow(),
            22 => self.short_wait(),
            23 => simple(
                self,
                "notify",
                "(drop (memory.atomic.notify AT (i32.const -1)))",
            ),
            24 | 25 => self.host_call(),
            26 => self.spawn(),
            27 | 28 => self.throw(),
            _ => simple(self, "nop", "(nop)"),
        }
    }

    /// A call of a function of acts, which may call itself.
    fn call(&mut self) -> String {
        let kind = self.numbers.below(4);
        if kind == 0 || self.depth >= 2 {
            self.note("call_indirect");
            let number = self.numbers.below(3);
            return format!("(call_indirect $functions (type $nothing) (i32.const {number}))");
        }
        self.note("call");
        self.depth += 1;
        let acts = self.acts_if(2);
        self.depth -= 1;
        let name = self.name();
        if kind == 1 {
            let depth = 1 + self.numbers.below(300);
            writeln!(
                self.functions,
                "(func {name} (param $d i32) {LOCALS}\n\
                   {acts}(if (local.get $d) (then\n\
                     (call {name} (i32.sub (local.get $d) (i32.const 1))))))"
            )
            .unwrap();
            return format!("(call {name} (i32.const {depth}))");
        }
        writeln!(self.functions, "(func {name} {LOCALS}\n{acts})").unwrap();
        format!("(call {name})")
    }

    /// A bulk instruction, up to all of the memory.
    pub(super) fn bulk_act(&mut self) -> String {
        if self.second && self.numbers.below(3) == 0 {
            self.note("fill second");
            return "(memory.fill $second (i32.const 0) (i32.const 7) (i32.const 131072))"
                .to_owned();
        }
        let all = self.pages * PAGE - BULK;
        let length = [0, 64, 4096, all / 2, all, all][self.numbers.below(6)];
        let kind = self.numbers.below(5);
        if kind < 2 {
            return self.fill(length);
        }
        let name = ["copy", "init", "data.drop"][kind - 2];
        self.note(&format!("{name}({length})"));
        let (to, len) = (self.index(BULK), self.index(length));
        let from = self.index(BULK + (all - length).min(100));
        match kind {
            2 => format!("(memory.copy {to} {from} {len})"),
            3 => format!("(memory.init $kept {to} (i32.const 0) (i32.const {SEGMENT}))"),
            _ => format!(
                "(data.drop $dropped) (memory.init $dropped {to} (i32.const 0) (i32.const 0))"
            ),
        }
    }

    pub(super) fn fill(&mut self, length: u64) -> String {
        self.note(&format!("fill({length})"));
        let (to, len) = (self.index(BULK), self.index(length));
        format!("(memory.fill {to} (i32.const 7) {len})")
    }

    pub(super) fn table_act(&mut self) -> String {
        let size = self.table;
        let length = [1, size / 2, size][self.numbers.below(3)];
        let kind = self.numbers.below(7);
        self.note(
            [
                "table.fill",
                "table.fill",
                "table.copy",
                "table.init",
                "table.grow",
                "table.set",
                "elem.drop",
            ][kind],
        );
        match kind {
            0 => format!("(table.fill $t (i32.const 0) (ref.null func) (i32.const {length}))"),
            1 => format!("(table.fill $t (i32.const 0) (ref.func $nothing) (i32.const {length}))"),
            2 => format!("(table.copy $t $u (i32.const 0) (i32.const 0) (i32.const {length}))"),
            3 => "(table.init $t $some (i32.const 7) (i32.const 0) (i32.const 4))".to_owned(),
            4 => "(drop (table.grow $t (ref.null func) (i32.const 1)))".to_owned(),
            5 => "(table.set $t (i32.const 3) (table.get $u (i32.const 5)))".to_owned(),
            _ => "(elem.drop $gone)".to_owned(),
        }
    }

    fn grow(&mut self) -> String {
        let pages = [0, 1, 60_000][self.numbers.below(3)];
        self.note(&format!("grow({pages})"));
        match self.numbers.below(4) {
            0 => "(drop (memory.size))".to_owned(),
            _ => format!("(drop (memory.grow {}))", self.index(pages)),
        }
    }

    fn short_wait(&mut self) -> String {
        if !self.shared {
            return String::new();
        }
        let time = [0, 1000, 1_000_000][self.numbers.below(3)];
        self.note(&format!("wait({time})"));
        let at = self.address();
        format!("(drop (memory.atomic.wait32 {at} (i32.const 0) (i64.const {time})))")
    }

    fn host_call(&mut self) -> String {
        let kind = self.numbers.below(12);
        if kind == 0 {
            self.note("host");
            return "(call $host)".to_owned();
        }
        if kind == 1 || !self.wasi() {
            self.note("host work");
            return "(local.set $n (call $work (local.get $n)))".to_owned();
        }
        let calls = [
            (
                "clock",
                "$clock_time_get (i32.const 1) (i64.const 0) (i32.const 512)",
            ),
            ("random", "$random_get (i32.const 1024) (i32.const 8)"),
            (
                "random 100 KiB",
                "$random_get (i32.const 8192) (i32.const 102400)",
            ),
            ("yield", "$sched_yield"),
            ("close", "$fd_close (i32.const 99)"),
            (
                "write nowhere",
                "$fd_write (i32.const 99) (i32.const 192) (i32.const 1) (i32.const 200)",
            ),
            (
                "write",
                "$fd_write (i32.const 1) (i32.const 192) (i32.const 1) (i32.const 200)",
            ),
            (
                "poll 1us",
                "$poll_oneoff (i32.const 256) (i32.const 128) (i32.const 1) (i32.const 160)",
            ),
        ];
        let (name, call) = calls[self.numbers.below(calls.len())];
        self.note(name);
        format!("(drop (call {call}))")
    }

    /// Throws an exception, from so many calls down, each with so many clauses that do not catch
    /// it, and catches it; perhaps after it was thrown once more.
    pub(super) fn throw(&mut self) -> String {
        let depth = [0, 0, 1, 30, 1000][self.numbers.below(5)];
        let clauses = [0, 0, 1, 100][self.numbers.below(4)];
        self.note(&format!("throw({depth}, {clauses})"));
        let name = self.name();
        let call = format!("(call {name} (i32.sub (local.get $d) (i32.const 1)))");
        let others = "(catch $other $past)".repeat(clauses);
        writeln!(
            self.functions,
            "(func {name} (param $d i32)\n\
               (if (local.get $d) (then\n\
                 (block $past (try_table {others} {call})))\n\
               (else (throw $exception))))"
        )
        .unwrap();
        let thrown = format!("(call {name} (i32.const {depth}))");
        let thrown = match self.numbers.below(3) {
            0 => format!(
                "(throw_ref (block $again (result exnref)\n\
                   (try_table (catch_all_ref $again) {thrown}) (unreachable)))"
            ),
            _ => thrown,
        };
        format!("(block $caught (try_table (catch_all $caught) {thrown}))")
    }

    /// Starts a thread that runs a shape, or ends at once.
    fn spawn(&mut self) -> String {
        if !self.spawns {
            return String::new();
        }
        self.note("spawn");
        let what = self.numbers.below(self.shapes + 1) as i32 - 1;
        format!("(drop (call $spawn (i32.const {what})))")
    }
}
