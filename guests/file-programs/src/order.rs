//! Looks for an order of a threaded program's calls that explains what they returned.
//!
//! Calls keep the order of their thread, and a call that had ended before another began comes
//! before it. The system itself says what a call returns in an order: the calls are made
//! one after the other in a folder of their own. Where one returns something else than it did,
//! the folder is made anew and another order tried.

use std::collections::HashSet;
use std::fmt::Write;
use std::fs;

use crate::calls::Calls;
use crate::together::{self, Program, Record, Theme};
use crate::tree;

/// So many times the calls are begun anew at most, which takes seconds: no run has come near.
const MOST: usize = 20_000;

/// Where the calls are made.
const FOLDER: &str = "order";

/// Why there is no order, as it is told.
pub(crate) type NoOrder = &'static str;

/// Finds an order that explains the record.
pub(crate) fn explain(program: &Program, record: &Record) -> Result<(), NoOrder> {
    let calls = program.threads.iter().map(Vec::len);
    if !calls.eq(record.threads.iter().map(Vec::len)) || program.last.len() != record.last.len() {
        return Err("this is not what it was to do");
    }
    let mut search = Search {
        program,
        record,
        world: World::new(program),
        order: Vec::new(),
        next: vec![0; program.threads.len()],
        is_spoiled: false,
        worlds: 1,
        hopeless: HashSet::new(),
    };
    let found = search.go_on();
    let worlds = search.worlds;
    search.world.end();
    match found {
        true => Ok(()),
        false if worlds >= MOST => Err("too many orders to try"),
        false => Err("no order of its calls explains this"),
    }
}

struct Search<'a> {
    program: &'a Program,
    record: &'a Record,
    world: World,
    /// The thread of each call that was made, in order, and how many each thread has made.
    order: Vec<usize>,
    next: Vec<usize>,
    /// A call was made in the world that is not in the order.
    is_spoiled: bool,
    worlds: usize,
    /// From where, in which world, nothing led to the end.
    hopeless: HashSet<(Vec<usize>, String)>,
}

impl Search<'_> {
    /// Whether the calls that are left can follow in some order.
    fn go_on(&mut self) -> bool {
        let state = (self.next.clone(), self.world.state());
        if self.hopeless.contains(&state) {
            return false;
        }
        let mut threads = self.candidates();
        if threads.is_empty() {
            if self.is_the_end() {
                return true;
            }
            self.is_spoiled = true;
        }
        while let Some(thread) = threads.pop() {
            if self.worlds >= MOST {
                return false;
            }
            self.restore();
            let number = self.next[thread];
            let call = &self.program.threads[thread][number];
            let outcome = self.world.threads[thread].make(call);
            let outcome = together::seen(self.program.theme, call, outcome);
            let is_it = outcome == self.record.threads[thread][number].outcome;
            if !is_it || !self.is_possible() {
                self.is_spoiled = true;
                continue;
            }
            self.next[thread] += 1;
            self.order.push(thread);
            if self.go_on() {
                return true;
            }
            self.next[thread] -= 1;
            self.order.pop();
            self.is_spoiled = true;
        }
        self.hopeless.insert(state);
        false
    }

    /// The threads whose next call may come next; the likeliest is the last.
    fn candidates(&self) -> Vec<usize> {
        let made = |thread: usize| self.record.threads[thread].get(self.next[thread]);
        let all = || (0..self.next.len()).filter_map(|thread| Some((thread, made(thread)?)));
        let first_end = all().map(|(_, made)| made.end).min().unwrap_or(0);
        let mut possible: Vec<_> = all().filter(|(_, made)| made.begin < first_end).collect();
        possible.sort_by_key(|(_, made)| std::cmp::Reverse(made.end));
        possible.into_iter().map(|(thread, _)| thread).collect()
    }

    /// What is appended stays: so the files are beginnings of those that there were at the end.
    fn is_possible(&self) -> bool {
        if self.program.theme != Theme::Ends {
            return true;
        }
        let mut lines = tree::of(FOLDER.as_ref()).into_iter();
        lines.all(|line| match line.rsplit_once(':') {
            Some((file, bytes)) => {
                let whole = self.record.tree.iter().filter_map(|line| line.rsplit_once(':'));
                let mut whole = whole.filter(|(name, _)| file_of(name) == file_of(file));
                whole.any(|(_, whole)| tree::begins_with(whole, bytes))
            }
            None => true,
        })
    }

    fn is_the_end(&mut self) -> bool {
        for (call, outcome) in self.program.last.iter().zip(&self.record.last) {
            let ours = self.world.main.make(call);
            if together::seen(self.program.theme, call, ours) != *outcome {
                return false;
            }
        }
        let ours = tree::of(FOLDER.as_ref());
        let below = |line: &String| line.split_once('/').map(|(_, rest)| rest.to_owned());
        ours.iter().map(below).eq(self.record.tree.iter().map(below))
    }

    /// Makes a world in which just the calls of the order were made, unless this is one.
    fn restore(&mut self) {
        if !self.is_spoiled {
            return;
        }
        self.world.end();
        self.world = World::new(self.program);
        self.worlds += 1;
        let mut made = vec![0; self.next.len()];
        for thread in &self.order {
            self.world.threads[*thread].make(&self.program.threads[*thread][made[*thread]]);
            made[*thread] += 1;
        }
        self.is_spoiled = false;
    }
}

/// The name of a file in the folder of its program.
fn file_of(path: &str) -> Option<&str> {
    path.split_once('/').map(|(_, rest)| rest)
}

/// A folder, and the descriptors of all threads.
struct World {
    main: Calls,
    threads: Vec<Calls>,
}

impl World {
    fn new(program: &Program) -> Self {
        let mut main = Calls::in_folder(FOLDER);
        for call in &program.first {
            main.make(call);
        }
        let threads = program.threads.iter().map(|_| main.shared()).collect();
        Self { main, threads }
    }

    fn end(&mut self) {
        for thread in &mut self.threads {
            thread.close_own(together::SHARED);
        }
        self.main.end();
        fs::remove_dir_all(FOLDER).expect("the folder can be removed");
    }

    /// All that later calls can depend on. Files have other numbers in each world, so they
    /// are numbered in the order in which they are found.
    fn state(&self) -> String {
        let mut files = Vec::new();
        let mut file = |inode: u64| match files.iter().position(|known| *known == inode) {
            Some(place) => place,
            None => {
                files.push(inode);
                files.len() - 1
            }
        };
        let mut state = tree::of(FOLDER.as_ref()).join("\n");
        for inode in tree::inodes(FOLDER.as_ref()) {
            let _ = write!(state, " {}", file(inode));
        }
        for calls in std::iter::once(&self.main).chain(&self.threads) {
            for place in calls.state() {
                let place = place.map(|(inode, at, flags)| (file(inode), at, flags));
                let _ = write!(state, " {place:?}");
            }
        }
        state
    }
}
