//! The timeline in Perfetto's format: a trace is a list of packets, each of them the
//! description of a track, or an event on one.
//!
//! Texts that come again and again are written once, and are numbers from then on.

use super::place::Place;
use super::protobuf::Message;
use super::view::View;
use crate::recorder::{Event, What};
use std::collections::{HashMap, HashSet};

/// All packets are of one writer.
const SEQUENCE: u64 = 1;

/// Of a process of Perfetto's, which has threads.
const PROCESS: u64 = 1;

/// Fields of `TracePacket`.
mod packet {
    pub(super) const TIMESTAMP: u32 = 8;
    pub(super) const SEQUENCE_ID: u32 = 10;
    pub(super) const TRACK_EVENT: u32 = 11;
    pub(super) const INTERNED_DATA: u32 = 12;
    pub(super) const SEQUENCE_FLAGS: u32 = 13;
    pub(super) const TRACK_DESCRIPTOR: u32 = 60;
}

/// Fields of `TrackEvent`.
mod event {
    pub(super) const DEBUG_ANNOTATIONS: u32 = 4;
    pub(super) const TYPE: u32 = 9;
    pub(super) const NAME_IID: u32 = 10;
    pub(super) const TRACK_UUID: u32 = 11;
    pub(super) const FLOW_IDS: u32 = 47;
    pub(super) const TERMINATING_FLOW_IDS: u32 = 48;
}

/// The types of events.
#[derive(Clone, Copy, PartialEq)]
enum Type {
    Begin = 1,
    End = 2,
    Instant = 3,
}

/// A list of texts that packets name by number: fields of `InternedData`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum List {
    EventNames = 2,
    AnnotationNames = 3,
    Values = 29,
}

/// The value of an annotation.
enum Value {
    Number(u64),
    Address(u64),
    Text(String),
}

/// An event on its way into the trace.
struct Slice {
    track: u32,
    at: u64,
    what: Type,
    name: &'static str,
    annotations: Vec<(&'static str, Value)>,
    /// An arrow that begins here, and one that ends.
    flow: Option<u64>,
    ends_flow: Option<u64>,
}

#[derive(Default)]
struct Trace {
    bytes: Message,
    texts: HashMap<(List, String), u64>,
    started: bool,
}

/// The trace as bytes.
pub(super) fn write(view: &mut View<'_>) -> Vec<u8> {
    let mut trace = Trace::default();
    trace.process(view.name);
    let mut slices = Vec::new();
    let mut places = HashMap::new();
    let mut running = HashMap::new();
    let mut started = HashSet::new();
    let from = view.collected.timeline_from.max(view.began);
    for &(track, event) in &view.collected.timeline {
        match event.what {
            What::Began => {
                running.insert(track, event.from);
                let mut slice = Slice::new(track, event.from, Type::Begin, "running");
                // Nobody in the program has started the main thread.
                slice.ends_flow = (track > 0 && started.insert(track)).then_some(birth(track));
                slices.push(slice);
            }
            What::Ended => {
                if running.remove(&track).is_none() {
                    slices.push(Slice::new(track, from, Type::Begin, "running"));
                }
                slices.push(Slice::new(track, event.to, Type::End, "running"));
            }
            _ => {
                let place = places.entry(event.stack).or_insert_with(|| {
                    let frames = view.stacks.frames(event.stack);
                    let stack = view.resolver.stack(event.stack, frames);
                    (event.stack != 0).then(|| Place::of(&stack).to_string())
                });
                add(track, &event, place.as_deref(), &mut slices);
            }
        }
    }
    for track in running.into_keys() {
        slices.push(Slice::new(track, view.until, Type::End, "running"));
    }
    let tracks: HashSet<_> = slices.iter().map(|slice| slice.track).collect();
    let mut tracks: Vec<_> = tracks.into_iter().collect();
    tracks.sort_unstable();
    for track in tracks {
        trace.thread(track, &view.thread(track));
    }
    for slice in &slices {
        trace.slice(slice, view.began);
    }
    trace.bytes.into_bytes()
}

/// The number of the arrow that leads to a thread's beginning: no mark is so large.
fn birth(track: u32) -> u64 {
    u64::from(track) | 0xFFFF << 48
}

/// Adds what a thread has done, at this place.
fn add(track: u32, event: &Event, place: Option<&str>, slices: &mut Vec<Slice>) {
    let at_place = || place.map(|place| ("where", Value::Text(place.to_owned())));
    let mut slice = |name, from, to, annotations: Vec<_>| {
        let mut begin = Slice::new(track, from, Type::Begin, name);
        begin.annotations = annotations;
        begin.annotations.extend(at_place());
        slices.push(begin);
        slices.push(Slice::new(track, to, Type::End, name));
        slices.len() - 2
    };
    match event.what {
        What::Waited {
            address,
            slept,
            by,
            timed_out,
        } => {
            let word = || vec![("address", Value::Address(address))];
            let asleep_from = slept.unwrap_or(event.to);
            slice("hovering", event.from, asleep_from, word());
            if let Some(slept) = slept {
                slice("asleep", slept, event.to, word());
                let how = if timed_out { "timed out" } else { "woken" };
                let mut woken = Slice::new(track, event.to, Type::Instant, how);
                woken.ends_flow = by.by().map(|_| by.0);
                slices.push(woken);
            }
        }
        What::Notified {
            address,
            woken,
            mark,
        } => {
            let count = ("woken", Value::Number(woken.into()));
            let what = vec![("address", Value::Address(address)), count];
            let at = slice("notify", event.from, event.to, what);
            slices[at].flow = Some(mark.0);
        }
        What::Spawned(child) => {
            let mut spawned = Slice::new(track, event.from, Type::Instant, "spawn");
            spawned.annotations.extend(at_place());
            spawned.flow = Some(birth(child));
            slices.push(spawned);
        }
        What::HostCall => drop(slice("host call", event.from, event.to, Vec::new())),
        What::Grew(pages) => {
            let pages = vec![("pages", Value::Number(pages))];
            slice("memory.grow", event.from, event.to, pages);
        }
        What::Began | What::Ended => {}
    }
}

impl Slice {
    fn new(track: u32, at: u64, what: Type, name: &'static str) -> Self {
        Self {
            track,
            at,
            what,
            name,
            annotations: Vec::new(),
            flow: None,
            ends_flow: None,
        }
    }
}

impl Trace {
    /// Adds a packet.
    fn packet(&mut self, fill: impl FnOnce(&mut Message)) {
        const TRACE_PACKET: u32 = 1;
        /// What was said before holds no more; what follows needs what is said from now on.
        const CLEARED: u64 = 1;
        const NEEDED: u64 = 2;
        let flags = if self.started {
            NEEDED
        } else {
            CLEARED | NEEDED
        };
        self.started = true;
        self.bytes.message(TRACE_PACKET, |packet| {
            packet.number(packet::SEQUENCE_ID, SEQUENCE);
            packet.number(packet::SEQUENCE_FLAGS, flags);
            fill(packet);
        });
    }

    fn process(&mut self, name: &str) {
        let (uuid, process, pid, process_name) = (1, 3, 1, 6);
        self.packet(|packet| {
            packet.message(packet::TRACK_DESCRIPTOR, |track| {
                track.number(uuid, PROCESS);
                track.message(process, |process| {
                    process.number(pid, PROCESS).text(process_name, name);
                });
            });
        });
    }

    fn thread(&mut self, track: u32, name: &str) {
        let (uuid, thread, pid, tid, thread_name) = (1, 4, 1, 2, 5);
        self.packet(|packet| {
            packet.message(packet::TRACK_DESCRIPTOR, |descriptor| {
                descriptor.number(uuid, uuid_of(track));
                descriptor.message(thread, |thread| {
                    thread.number(pid, PROCESS);
                    // A thread without a number is none.
                    thread.number(tid, u64::from(track) + 1);
                    thread.text(thread_name, name);
                });
            });
        });
    }

    /// Adds an event; times count from `began`.
    fn slice(&mut self, slice: &Slice, began: u64) {
        let mut new = Vec::new();
        let ends = slice.what == Type::End;
        let name = (!ends).then(|| self.text(List::EventNames, slice.name, &mut new));
        let annotations: Vec<_> = slice
            .annotations
            .iter()
            .map(|(name, value)| {
                let name = self.text(List::AnnotationNames, name, &mut new);
                let text = match value {
                    Value::Text(text) => Some(self.text(List::Values, text, &mut new)),
                    Value::Number(_) | Value::Address(_) => None,
                };
                (name, value, text)
            })
            .collect();
        self.packet(|packet| {
            packet.number(packet::TIMESTAMP, slice.at.saturating_sub(began));
            if !new.is_empty() {
                packet.message(packet::INTERNED_DATA, |data| {
                    for (list, iid, text) in &new {
                        data.message(*list as u32, |entry| {
                            entry.number(1, *iid).text(2, text);
                        });
                    }
                });
            }
            packet.message(packet::TRACK_EVENT, |event| {
                event.number(event::TYPE, slice.what as u64);
                event.number(event::TRACK_UUID, uuid_of(slice.track));
                if let Some(name) = name {
                    event.number(event::NAME_IID, name);
                }
                for (name, value, text) in annotations {
                    event.message(event::DEBUG_ANNOTATIONS, |annotation| {
                        let (name_iid, uint_value, pointer_value, string_value_iid) = (1, 3, 7, 17);
                        annotation.number(name_iid, name);
                        match (value, text) {
                            (Value::Number(number), _) => annotation.number(uint_value, *number),
                            (Value::Address(at), _) => annotation.number(pointer_value, *at),
                            (Value::Text(_), text) => {
                                annotation.number(string_value_iid, text.unwrap_or(0))
                            }
                        };
                    });
                }
                if let Some(flow) = slice.flow {
                    event.word(event::FLOW_IDS, flow);
                }
                if let Some(flow) = slice.ends_flow {
                    event.word(event::TERMINATING_FLOW_IDS, flow);
                }
            });
        });
    }

    /// The number of a text, which is added to `new` the first time.
    fn text(&mut self, list: List, text: &str, new: &mut Vec<(List, u64, String)>) -> u64 {
        let next = self.texts.len() as u64 + 1;
        let number = self.texts.entry((list, text.to_owned()));
        *number.or_insert_with(|| {
            new.push((list, next, text.to_owned()));
            next
        })
    }
}

/// Not the process's.
fn uuid_of(track: u32) -> u64 {
    PROCESS + 1 + u64::from(track)
}
