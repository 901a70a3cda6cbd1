//! Workloads in safe Rust, which use the program's global allocator.

use std::collections::BTreeMap;

use threadwork_workloads::{Measured, share, timed};

use threadwork_workloads::Workload;

pub(crate) const WORKLOADS: &[(&str, Workload)] =
    &[("trees", trees), ("words", words), ("vectors", vectors)];

struct Node {
    children: Option<[Box<Node>; 2]>,
}

impl Node {
    fn of_height(height: u32) -> Box<Node> {
        let children =
            (height > 0).then(|| [Node::of_height(height - 1), Node::of_height(height - 1)]);
        Box::new(Node { children })
    }

    fn count(&self) -> u64 {
        1 + self
            .children
            .iter()
            .flatten()
            .map(|child| child.count())
            .sum::<u64>()
    }
}

/// Binary trees of 511 nodes are built, counted and dropped. One operation is one tree.
fn trees(threads: u32, iterations: u64) -> Measured {
    let (elapsed, answer) = timed(threads, |index| {
        (0..share(iterations, threads, index))
            .map(|_| Node::of_height(8).count())
            .sum()
    });
    Measured::new(elapsed, iterations, answer)
}

/// Words are formatted, counted in a map and joined. One operation is a hundred words.
fn words(threads: u32, iterations: u64) -> Measured {
    let (elapsed, answer) = timed(threads, |index| {
        (0..share(iterations, threads, index))
            .map(|n| {
                let mut counts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
                for k in 0..100 {
                    let word = format!("word {}", (n * 31 + k * k) % 37);
                    counts.entry(word).or_default().push(k);
                }
                let words: Vec<String> = counts
                    .iter()
                    .map(|(word, places)| format!("{word}: {places:?}"))
                    .collect();
                words.join(", ").len() as u64
            })
            .sum()
    });
    Measured::new(elapsed, iterations, answer)
}

/// A hundred vectors are pushed to in turn, up to 200 numbers each, and dropped. One
/// operation is all of them.
fn vectors(threads: u32, iterations: u64) -> Measured {
    let (elapsed, answer) = timed(threads, |index| {
        (0..share(iterations, threads, index))
            .map(|n| {
                let mut vectors = vec![Vec::new(); 100];
                for k in 0..200 {
                    for vector in &mut vectors {
                        vector.push(n + k);
                    }
                }
                vectors.iter().flatten().sum::<u64>() & 0xff
            })
            .sum()
    });
    Measured::new(elapsed, iterations, answer)
}
