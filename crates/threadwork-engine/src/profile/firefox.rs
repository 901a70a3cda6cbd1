//! Samples as Firefox' profiler keeps them once it has read them (its "processed format"):
//! for each thread tables of samples, stacks, frames and functions, whose rows name each other
//! by number.

use super::resolve::{Site, label};
use super::view::View;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The version of the format.
const VERSION: u32 = 55;

/// The categories, by number, with the colours that the profiler knows.
const CATEGORIES: [(&str, &str); 2] = [("WebAssembly", "blue"), ("Host", "orange")];

/// The profile as JSON.
pub(super) fn write(view: &mut View<'_>) -> String {
    let mut threads: BTreeMap<u32, Thread> = BTreeMap::new();
    let period = view.period() as f64 / 1e6;
    for sample in &view.collected.samples {
        let frames = view.stacks.frames(sample.stack);
        let stack = view.resolver.stack(sample.stack, frames);
        let thread = threads.entry(sample.track).or_default();
        let stack = thread.stack((sample.stack, label(sample.doing)), &stack);
        let at = sample.at.saturating_sub(view.began) as f64 / 1e6;
        thread
            .samples
            .push((at, stack, f64::from(sample.periods) * period));
    }
    let length = view.until.saturating_sub(view.began) as f64 / 1e6;
    let threads: Vec<_> = threads
        .into_iter()
        .map(|(track, thread)| thread.json(track, &view.thread(track), view.name, length))
        .collect();
    let categories = CATEGORIES
        .map(|(name, color)| json!({ "name": name, "color": color, "subcategories": ["Other"] }));
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let profile = json!({
        "meta": {
            "version": 24,
            "preprocessedProfileVersion": VERSION,
            "processType": 0,
            "product": view.name,
            "interval": period,
            "startTime": now.as_secs_f64() * 1e3 - length,
            "stackwalk": 1,
            "symbolicated": true,
            "debug": false,
            "pausedRanges": [],
            "usesOnlyOneStackType": true,
            "sourceCodeIsNotOnSearchfox": true,
            "extensions": { "length": 0, "id": [], "name": [], "baseURL": [] },
            "sampleUnits": { "time": "ms", "eventDelay": "ms", "threadCPUDelta": "µs" },
            "categories": categories,
            "markerSchema": [],
        },
        "libs": [],
        "pages": [],
        "counters": [],
        "profilerOverhead": [],
        "threads": threads,
    });
    profile.to_string()
}

/// See [`Thread::frames`].
type FrameRow = (u32, Option<u32>, Option<u32>, u32, u32);

/// The tables of a thread.
#[derive(Default)]
struct Thread {
    texts: Texts,
    /// Name and file of functions.
    functions: Table<(u32, Option<u32>)>,
    /// Function, line, column, how deep it is inlined, and the category.
    frames: Table<FrameRow>,
    /// Frame, and the stack that called it.
    stacks: Table<(u32, Option<u32>)>,
    /// Stacks of the recorder by their numbers and tips.
    known: HashMap<(u32, Option<&'static str>), Option<u32>>,
    /// Time, stack, and the milliseconds that it stands for.
    samples: Vec<(f64, Option<u32>, f64)>,
}

/// Rows, each once.
struct Table<T> {
    rows: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            numbers: HashMap::new(),
        }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Table<T> {
    fn number(&mut self, row: T) -> u32 {
        let rows = &mut self.rows;
        *self.numbers.entry(row).or_insert_with_key(|row| {
            rows.push(row.clone());
            // Far fewer than 2^32.
            rows.len() as u32 - 1
        })
    }

    fn column<R: Into<Value>>(&self, column: impl Fn(&T) -> R) -> Vec<Value> {
        self.rows.iter().map(|row| column(row).into()).collect()
    }
}

#[derive(Default)]
struct Texts(Table<String>);

impl Texts {
    fn number(&mut self, text: &str) -> u32 {
        self.0.number(text.to_owned())
    }
}

impl Thread {
    /// The row of a stack with what stands at its tip; `None` of an empty one.
    fn stack(&mut self, known: (u32, Option<&'static str>), stack: &[Arc<Site>]) -> Option<u32> {
        if let Some(row) = self.known.get(&known) {
            return *row;
        }
        let mut row = None;
        for site in stack.iter().rev() {
            if site.frames.is_empty() {
                row = Some(self.push(row, &site.function, None, (None, None), 0, 1));
            }
            for (depth, frame) in site.frames.iter().rev().enumerate() {
                let name = frame.function.as_deref().unwrap_or(&site.function);
                let line = (frame.line, frame.column);
                let depth = u32::try_from(depth).unwrap_or(u32::MAX);
                row = Some(self.push(row, name, frame.file.as_deref(), line, depth, 0));
            }
        }
        if let Some(tip) = known.1 {
            row = Some(self.push(row, tip, None, (None, None), 0, 1));
        }
        self.known.insert(known, row);
        row
    }

    fn push(
        &mut self,
        prefix: Option<u32>,
        name: &str,
        file: Option<&str>,
        (line, column): (Option<u32>, Option<u32>),
        depth: u32,
        category: u32,
    ) -> u32 {
        let name = self.texts.number(name);
        let file = file.map(|file| self.texts.number(file));
        let function = self.functions.number((name, file));
        let frame = self
            .frames
            .number((function, line, column, depth, category));
        self.stacks.number((frame, prefix))
    }

    fn json(self, track: u32, name: &str, process: &str, length: f64) -> Value {
        let Self {
            texts,
            functions,
            frames,
            stacks,
            samples,
            ..
        } = &self;
        let nothing = |count: usize| vec![Value::Null; count];
        let zeros = |count: usize| vec![0; count];
        let (function_count, frame_count) = (functions.rows.len(), frames.rows.len());
        let stack_count = stacks.rows.len();
        let before = std::iter::once(0.0).chain(samples.iter().map(|(at, _, _)| *at));
        let deltas: Vec<_> = samples
            .iter()
            .zip(before)
            .map(|((at, _, _), from)| at - from)
            .collect();
        json!({
            "name": name,
            "processName": process,
            "processType": "default",
            "isMainThread": track == 0,
            "pid": "1",
            "tid": (track + 1).to_string(),
            "processStartupTime": 0,
            "processShutdownTime": length,
            "registerTime": 0,
            "unregisterTime": null,
            "pausedRanges": [],
            "showMarkersInTimeline": false,
            "samples": {
                "length": samples.len(),
                "weightType": "tracing-ms",
                "stack": samples.iter().map(|(_, stack, _)| *stack).collect::<Vec<_>>(),
                "timeDeltas": deltas,
                "weight": samples.iter().map(|(_, _, weight)| *weight).collect::<Vec<_>>(),
                "threadCPUDelta": samples.iter().map(|(_, _, weight)| weight * 1e3).collect::<Vec<_>>(),
            },
            "markers": {
                "length": 0, "category": [], "data": [], "endTime": [], "name": [], "phase": [],
                "startTime": [],
            },
            "stackTable": {
                "length": stack_count,
                "frame": stacks.column(|row| row.0),
                "prefix": stacks.column(|row| row.1),
            },
            "frameTable": {
                "length": frame_count,
                "address": vec![-1; frame_count],
                "inlineDepth": frames.column(|row| row.3),
                "category": frames.column(|row| row.4),
                "subcategory": zeros(frame_count),
                "func": frames.column(|row| row.0),
                "nativeSymbol": nothing(frame_count),
                "innerWindowID": nothing(frame_count),
                "line": frames.column(|row| row.1),
                "column": frames.column(|row| row.2),
            },
            "funcTable": {
                "length": function_count,
                "name": functions.column(|row| row.0),
                "isJS": vec![false; function_count],
                "relevantForJS": vec![false; function_count],
                "resource": vec![-1; function_count],
                "fileName": functions.column(|row| row.1),
                "lineNumber": nothing(function_count),
                "columnNumber": nothing(function_count),
            },
            "resourceTable": { "length": 0, "lib": [], "name": [], "host": [], "type": [] },
            "nativeSymbols": {
                "length": 0, "address": [], "functionSize": [], "libIndex": [], "name": [],
            },
            "stringArray": texts.0.rows,
        })
    }
}
