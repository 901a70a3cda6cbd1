//! A pipeline over bounded channels: a producer cuts a stream into `--size`
//! blocks of 4 KiB, `--threads` transformers hash them, and the consumer puts
//! the hashes back in order.
//!
//! ```text
//!             blocks            ┌─ transformer ─┐     hashes
//! producer ──────────(bounded)──┼─ transformer ─┼──(bounded)────── consumer
//!                               └─ transformer ─┘            (restores the order)
//! ```
//!
//! Bounds keep the memory flat: whoever is too fast waits for the others. A
//! stage ends when the last sender before it is dropped; there is no flag and no
//! message that says "stop".

use std::collections::BTreeMap;
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use example_cli::{Options, SplitMix64, mix};

const BLOCK_BYTES: usize = 4096;
/// How many times a block goes through the hash: the weight of the work.
const ROUNDS: usize = 2;
/// How many items may wait between two stages, for each transformer.
const SLACK: usize = 16;

struct Block {
    number: usize,
    bytes: Vec<u8>,
}

struct Hashed {
    number: usize,
    hash: u64,
}

fn main() {
    let options = Options::from_args(100_000, &[]);
    println!("hashing {} blocks of {BLOCK_BYTES} bytes", options.size);

    let start = Instant::now();
    let checksum = thread::scope(|scope| {
        let (blocks_in, blocks) = bounded(SLACK * options.threads);
        let (hashes_in, hashes) = bounded(SLACK * options.threads);
        scope.spawn(move || produce(options.size, blocks_in));
        for _ in 0..options.threads {
            let (blocks, hashes_in) = (blocks.clone(), hashes_in.clone());
            scope.spawn(move || transform(blocks, hashes_in));
        }
        // The transformers hold the only senders: when they are done, so are we.
        drop(hashes_in);
        consume(hashes)
    });
    let elapsed = start.elapsed();

    let mebibytes = options.size as f64 * BLOCK_BYTES as f64 / f64::from(1 << 20);
    println!("{:.0} MiB a second", mebibytes / elapsed.as_secs_f64());
    options.report(format_args!("{checksum:016x}"), elapsed);
}

fn produce(count: usize, blocks: Sender<Block>) {
    for number in 0..count {
        let mut random = SplitMix64::for_block(number);
        let mut bytes = Vec::with_capacity(BLOCK_BYTES);
        while bytes.len() < BLOCK_BYTES {
            bytes.extend_from_slice(&random.next_u64().to_le_bytes());
        }
        blocks.send(Block { number, bytes }).expect("a transformer is listening");
    }
}

fn transform(blocks: Receiver<Block>, hashes: Sender<Hashed>) {
    for Block { number, bytes } in blocks {
        let hash = (0..ROUNDS).fold(0, |seed, _| fnv_1a(seed, &bytes));
        hashes.send(Hashed { number, hash }).expect("the consumer is listening");
    }
}

/// Folds the hashes in the order of their blocks; those that come early wait in
/// `early` for their turn.
fn consume(hashes: Receiver<Hashed>) -> u64 {
    let (mut checksum, mut next) = (0, 0);
    let mut early = BTreeMap::new();
    for Hashed { number, hash } in hashes {
        early.insert(number, hash);
        while let Some(hash) = early.remove(&next) {
            checksum = mix(checksum ^ hash);
            next += 1;
        }
    }
    assert!(early.is_empty(), "block {next} never arrived");
    checksum
}

/// The 64-bit FNV-1a hash, byte by byte: slow on purpose.
fn fnv_1a(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325 ^ seed, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}
