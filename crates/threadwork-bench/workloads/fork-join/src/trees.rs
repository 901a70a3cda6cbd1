//! Trees: a join for each node, as in the benchmarks of Spice and chili.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use threadwork_workloads::Measured;

use crate::contestants::{Chili, Fork, Rayon, Sequential, Threadwork};
use threadwork_workloads::contest::{Entry, entry};

#[derive(Clone, Default)]
struct Node {
    value: u64,
    left: Option<&'static Node>,
    right: Option<&'static Node>,
}

/// The nodes of a tree that is done before anybody wakes.
const SMALL: usize = 1_000;

/// A tree as flat as it can be, its nodes in the order in which they are visited.
fn balanced(nodes: usize) -> &'static Node {
    fn grow(nodes: &'static mut [Node]) -> Option<&'static Node> {
        let (root, others) = nodes.split_first_mut()?;
        root.value = 1 + others.len() as u64;
        let (left, right) = others.split_at_mut(others.len() / 2);
        root.left = grow(left);
        root.right = grow(right);
        Some(root)
    }
    static KEPT: LazyLock<Mutex<HashMap<usize, &Node>>> = LazyLock::new(Mutex::default);
    let mut kept = KEPT.lock().expect("nobody panics");
    kept.entry(nodes)
        .or_insert_with(|| grow(vec![Node::default(); nodes].leak()).expect("it has a root"))
}

fn sum<F: Fork>(context: &mut F::Context<'_>, node: &Node) -> u64 {
    let (left, right) = F::join(
        context,
        |context| node.left.map_or(0, |left| sum::<F>(context, left)),
        |context| node.right.map_or(0, |right| sum::<F>(context, right)),
    );
    node.value + left + right
}

/// Times so many sums of a tree. One operation: a node.
fn sums(nodes: usize, iterations: u64, mut sum: impl FnMut() -> u64) -> Measured {
    let count = iterations.div_ceil(nodes as u64);
    let start = Instant::now();
    let answer = (0..count).map(|_| sum()).sum();
    Measured::new(start.elapsed(), count * nodes as u64, answer)
}

fn tree<F: Fork>(threads: u32, nodes: usize, iterations: u64) -> Measured {
    let tree = balanced(nodes);
    F::inside(threads, move |context| {
        sums(nodes, iterations, || sum::<F>(context, black_box(tree)))
    })
}

/// So many times the same one, which is small.
fn small<F: Fork>(threads: u32, iterations: u64) -> Measured {
    tree::<F>(threads, SMALL, iterations)
}

/// Once one that has as many nodes.
fn large<F: Fork>(threads: u32, iterations: u64) -> Measured {
    tree::<F>(threads, iterations as usize, iterations)
}

/// The same by a thread that is of no pool, which comes anew for each tree.
fn small_outside<F: Fork>(_: u32, iterations: u64) -> Measured {
    outside::<F>(SMALL, iterations)
}

/// Once one that has as many nodes.
fn large_outside<F: Fork>(_: u32, iterations: u64) -> Measured {
    outside::<F>(iterations as usize, iterations)
}

fn outside<F: Fork>(nodes: usize, iterations: u64) -> Measured {
    let tree = balanced(nodes);
    sums(nodes, iterations, || {
        F::outside(|context| sum::<F>(context, black_box(tree)))
    })
}

/// An unbalanced tree (Olivier et al. 2006, the binomial kind): a node has two children or
/// none, as its hash says, so that nobody knows how large a branch is.
fn grow<F: Fork>(context: &mut F::Context<'_>, node: u64) -> u64 {
    let hash = scramble(node);
    // 49 in a hundred: so a tree has 50 nodes on average, and some have many thousands.
    if hash % 100 >= 49 {
        return 1;
    }
    let (left, right) = F::join(
        context,
        |context| grow::<F>(context, hash ^ 1),
        |context| grow::<F>(context, hash ^ 2),
    );
    1 + left + right
}

/// Trees from here to there.
fn forest<F: Fork>(context: &mut F::Context<'_>, first: u64, count: u64) -> u64 {
    if count == 1 {
        return grow::<F>(context, first);
    }
    let half = count / 2;
    let (left, right) = F::join(
        context,
        |context| forest::<F>(context, first, half),
        |context| forest::<F>(context, first + half, count - half),
    );
    left + right
}

/// splitmix64's
fn scramble(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One operation: a node; about as many as iterations.
fn unbalanced<F: Fork>(threads: u32, iterations: u64) -> Measured {
    F::inside(threads, move |context| {
        let start = Instant::now();
        let nodes = forest::<F>(context, 0, iterations.div_ceil(50));
        Measured::new(start.elapsed(), nodes, nodes)
    })
}

/// A pool that was used has nothing to do for so many milliseconds; the figure is the CPU
/// time of the process.
fn idle<F: Fork>(threads: u32, iterations: u64) -> Measured {
    let answer = small::<F>(threads, SMALL as u64).answer;
    let start = Instant::now();
    thread::sleep(Duration::from_millis(iterations));
    Measured::new(start.elapsed(), iterations, answer)
}

/// The workloads of a contestant.
macro_rules! entries {
    ($name:literal, $fork:ty) => {
        [
            entry("small-tree", $name, small::<$fork>),
            entry("large-tree", $name, large::<$fork>),
            entry("small-tree-outside", $name, small_outside::<$fork>),
            entry("large-tree-outside", $name, large_outside::<$fork>),
            entry("unbalanced", $name, unbalanced::<$fork>),
            entry("idle", $name, idle::<$fork>),
        ]
    };
}

pub(crate) const WORKLOADS: [[Entry; 6]; 4] = [
    entries!("sequential", Sequential),
    entries!("rayon", Rayon),
    entries!("chili", Chili),
    entries!("threadwork", Threadwork),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_is_counted_once() {
        // Each node says how many there are below it, with itself: so the sum is that of the
        // depths, counted from 1.
        for (nodes, depths) in [(1, 1), (2, 3), (3, 5), (7, 17), (1_000, 8_987)] {
            assert_eq!(sum::<Sequential>(&mut (), balanced(nodes)), depths);
        }
    }

    #[test]
    fn a_forest_has_about_fifty_nodes_a_tree() {
        let nodes = forest::<Sequential>(&mut (), 0, 10_000);
        assert!((400_000..600_000).contains(&nodes), "{nodes}");
    }
}
