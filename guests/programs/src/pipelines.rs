//! Pipelines: items flow through stages over bounded channels.
//!
//! In a *chain* each stage has a state, so items stay in order, and the stages are shared
//! out among the threads. In a *farm* the threads take items as they come, and the end of
//! the line puts them in order again.

use std::collections::BTreeMap;
use std::collections::{BTreeSet, BinaryHeap};

use example_cli::{SplitMix64, mix};
use threadwork::sync::channel;
use threadwork::thread;

use crate::program::{Family, fold, program};

/// How many items wait between two stages.
const ROOM: usize = 16;

/// What is done with an item; `None` ends its way.
type Stage<T> = Box<dyn FnMut(T) -> Option<T> + Send>;

/// A program of stages: `source(i)` is the item number `i`, and `measure` what is left of it
/// at the end.
macro_rules! chain {
    ($name:literal, $about:literal, $size:literal, $source:path, $stages:path, $measure:path) => {
        program!(
            $name,
            $about,
            $size,
            |size| size,
            |size, threads| chain(threads, (0..size).map($source), $stages(), $measure),
            |size| {
                let mut stages = $stages();
                let through = |item| stages.iter_mut().try_fold(item, |item, stage| stage(item));
                fold((0..size).map($source).filter_map(through).map($measure))
            }
        )
    };
}

/// A program of one stage that many do: `work` says what is left of `source(i)`.
macro_rules! farm {
    ($name:literal, $about:literal, $size:literal, $source:path, $work:path) => {
        program!(
            $name,
            $about,
            $size,
            |size| size,
            |size, threads| farm(threads, (0..size).map($source), $work),
            |size| fold((0..size).map($source).map($work))
        )
    };
}

pub(crate) const FAMILY: Family = Family {
    name: "pipelines",
    programs: &[
        chain!(
            "signal-filters",
            "eight filters that remember samples",
            400,
            samples,
            filters,
            whole
        ),
        chain!(
            "image-rows",
            "blur, contrast, edges against the row before",
            2_500,
            image_row,
            row_stages,
            whole
        ),
        chain!("prime-sieve", "each stage knows some primes", 250, natural_numbers, sieves, whole),
        chain!(
            "cipher-rounds",
            "sixteen rounds, each chained over the blocks",
            1_500,
            plain_text,
            rounds,
            whole
        ),
        chain!(
            "text-cleaning",
            "cases, signs, blanks, endings",
            4_000,
            text_line,
            cleaners,
            text_fold
        ),
        chain!(
            "vector-matrices",
            "six matrices, one after the other",
            6_000,
            vector,
            multipliers,
            whole
        ),
        chain!(
            "tandem-queues",
            "customers at ten counters in a row",
            4_000,
            customers,
            counters,
            whole
        ),
        chain!(
            "byte-transforms",
            "differences, recency ranks, run lengths",
            700,
            noisy_bytes,
            transforms,
            bytes_fold
        ),
        chain!("moving-medians", "windows of growing width", 150, samples, medians, whole),
        chain!(
            "record-joins",
            "looked up in six tables, some dropped",
            3_000,
            records,
            joins,
            whole
        ),
        farm!("hash-blocks", "a hash of each block", 6_000, plain_text, hash_block),
        farm!("word-counts", "the counts of each page", 1_000, page, word_counts),
        farm!("dictionary-packing", "packed, unpacked and compared", 700, page, packed),
        farm!("code-lengths", "Huffman's code for each page", 3_000, page, code_lengths),
        farm!("expressions", "parsed and evaluated", 4_000, expression, evaluate),
        farm!("log-lines", "parsed and added up", 1_500, log_lines, log_sums),
        farm!("top-scores", "the sixteen best of each batch", 3_000, batch, top_scores),
        farm!("spell-check", "words against a Bloom filter", 1_000, page, unknown_words),
        farm!("thumbnails", "tiles, three times halved", 1_500, tile, thumbnail),
        farm!("serialization", "records to text and back", 1_500, batch, round_trip),
    ],
};

/// Runs the stages on so many threads, each with some that follow each other.
fn chain<T: Send>(
    threads: usize,
    source: impl Iterator<Item = T> + Send,
    mut stages: Vec<Stage<T>>,
    measure: impl Fn(T) -> u64,
) -> u64 {
    let parts = threads.min(stages.len());
    thread::scope(|scope| {
        let (sender, mut receiver) = channel::bounded(ROOM);
        scope.spawn(move || source.map(|item| sender.send(item)).take_while(Result::is_ok).count());
        for part in (1..=parts).rev() {
            let rest = stages.split_off(stages.len() / part);
            let mut own = std::mem::replace(&mut stages, rest);
            let (sender, next) = channel::bounded(ROOM);
            let before = std::mem::replace(&mut receiver, next);
            scope.spawn(move || {
                for item in before {
                    let through = own.iter_mut().try_fold(item, |item, stage| stage(item));
                    if through.is_some_and(|item| sender.send(item).is_err()) {
                        break;
                    }
                }
            });
        }
        fold(receiver.iter().map(measure))
    })
}

/// Does the work on so many threads.
fn farm<T: Send>(
    threads: usize,
    source: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> u64 + Sync,
) -> u64 {
    thread::scope(|scope| {
        let (sender, items) = channel::bounded(ROOM);
        let (results, receiver) = channel::bounded(ROOM);
        scope.spawn(move || {
            source.enumerate().map(|item| sender.send(item)).take_while(Result::is_ok).count()
        });
        for _ in 0..threads {
            let (items, results, work) = (items.clone(), results.clone(), &work);
            scope.spawn(move || {
                for (index, item) in items {
                    if results.send((index, work(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop((items, results));
        fold(InOrder { receiver: receiver.into_iter(), early: BTreeMap::new(), next: 0 })
    })
}

/// Results by their numbers, which come in another order.
struct InOrder<I> {
    receiver: I,
    early: BTreeMap<usize, u64>,
    next: usize,
}

impl<I: Iterator<Item = (usize, u64)>> Iterator for InOrder<I> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        loop {
            if let Some(result) = self.early.remove(&self.next) {
                self.next += 1;
                return Some(result);
            }
            let (index, result) = self.receiver.next()?;
            self.early.insert(index, result);
        }
    }
}

/// So many stages, by their numbers.
fn stages<T, F>(count: u64, stage: impl Fn(u64) -> F) -> Vec<Stage<T>>
where
    F: FnMut(T) -> Option<T> + Send + 'static,
{
    (0..count).map(|number| Box::new(stage(number)) as Stage<T>).collect()
}

fn whole(numbers: Vec<i64>) -> u64 {
    fold(numbers.into_iter().map(i64::cast_unsigned))
}

fn bytes_fold(bytes: Vec<u8>) -> u64 {
    fold(bytes.into_iter().map(u64::from))
}

fn text_fold(text: String) -> u64 {
    bytes_fold(text.into_bytes())
}

fn random(index: usize, count: usize) -> impl Iterator<Item = u64> {
    let mut random = SplitMix64::for_block(index);
    (0..count).map(move |_| random.next_u64())
}

fn samples(index: usize) -> Vec<i64> {
    random(index, 512).map(|bits| (bits % 2001) as i64 - 1000).collect()
}

fn filters() -> Vec<Stage<Vec<i64>>> {
    stages(8, |number| {
        let taps: Vec<i64> =
            random(number as usize, 16).map(|bits| (bits % 17) as i64 - 8).collect();
        let mut past = vec![0; 16];
        move |block: Vec<i64>| {
            past.extend(block);
            let out = past.windows(17).map(|window| {
                let sum: i64 =
                    window[1..].iter().zip(&taps).map(|(sample, tap)| sample * tap).sum();
                sum >> 5
            });
            let out = out.collect();
            past.drain(..past.len() - 16);
            Some(out)
        }
    })
}

fn image_row(index: usize) -> Vec<i64> {
    (0..256)
        .map(|x| ((x * index) as i64 ^ (mix((x / 8 + index / 8 * 32) as u64) % 256) as i64) & 255)
        .collect()
}

fn row_stages() -> Vec<Stage<Vec<i64>>> {
    let blur = |row: Vec<i64>| {
        let at = |x: usize| row[x.min(row.len() - 1)];
        Some(
            (0..row.len()).map(|x| (at(x.saturating_sub(1)) + 2 * at(x) + at(x + 1)) / 4).collect(),
        )
    };
    let contrast = |row: Vec<i64>| {
        let (low, high) = (row.iter().min().copied(), row.iter().max().copied());
        let (low, span) = (low.unwrap_or(0), (high.unwrap_or(0) - low.unwrap_or(0)).max(1));
        Some(row.iter().map(|pixel| (pixel - low) * 255 / span).collect())
    };
    let mut above: Vec<i64> = vec![0; 256];
    let edges = move |row: Vec<i64>| {
        let out = row.iter().zip(&above).map(|(pixel, above)| (pixel - above).abs()).collect();
        above = row;
        Some(out)
    };
    let gamma = |row: Vec<i64>| Some(row.iter().map(|pixel| (pixel * 255).isqrt()).collect());
    let mut smooth: Vec<i64> = vec![0; 256];
    let temporal = move |row: Vec<i64>| {
        smooth.iter_mut().zip(&row).for_each(|(mean, pixel)| *mean = (3 * *mean + pixel) / 4);
        Some(smooth.clone())
    };
    vec![
        Box::new(blur),
        Box::new(blur),
        Box::new(contrast),
        Box::new(edges),
        Box::new(gamma),
        Box::new(temporal),
    ]
}

fn natural_numbers(index: usize) -> Vec<i64> {
    let first = 512 * index as i64 + 2;
    (first..first + 512).collect()
}

fn sieves() -> Vec<Stage<Vec<i64>>> {
    let is_prime = |n: &i64| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0);
    let primes: Vec<i64> = (2..400).filter(is_prime).collect();
    stages(8, |number| {
        let own: Vec<i64> = primes.iter().skip(number as usize).step_by(8).copied().collect();
        move |mut numbers: Vec<i64>| {
            numbers.retain(|n| own.iter().all(|prime| n % prime != 0 || n == prime));
            (!numbers.is_empty()).then_some(numbers)
        }
    })
}

fn plain_text(index: usize) -> Vec<i64> {
    random(index, 256).map(u64::cast_signed).collect()
}

fn rounds() -> Vec<Stage<Vec<i64>>> {
    stages(16, |key| {
        let mut last = mix(key);
        move |block: Vec<i64>| {
            let turn = |word: i64| {
                let (left, right) = ((word as u64) >> 32, word as u64 & 0xffff_ffff);
                let mixed = mix(right ^ last) & 0xffff_ffff;
                last = right << 32 | (left ^ mixed);
                last.cast_signed()
            };
            Some(block.into_iter().map(turn).collect())
        }
    })
}

fn hash_block(block: Vec<i64>) -> u64 {
    // Again and again, as passwords are.
    (0..16)
        .fold(0, |hash, _| mix(hash ^ fold(block.iter().map(|word| word.cast_unsigned() ^ hash))))
}

/// Words of a small language, with signs and blanks between them.
fn text_line(index: usize) -> String {
    const PARTS: [&str; 8] = ["ba", "Li", "nos", "ter", "UM", "ves", "gra", "ing"];
    const ENDS: [&str; 4] = [" ", ", ", ".  ", "! "];
    let word = |bits: u64| {
        let parts = (0..1 + bits % 3).map(|part| PARTS[(bits >> (8 + 3 * part)) as usize % 8]);
        parts.chain([ENDS[(bits >> 32) as usize % 4]]).collect::<String>()
    };
    random(index, 40).map(word).collect()
}

fn cleaners() -> Vec<Stage<String>> {
    let lower = |text: String| Some(text.to_lowercase());
    let letters = |text: String| Some(text.replace(|c: char| !c.is_alphanumeric(), " "));
    let blanks = |text: String| Some(text.split_whitespace().collect::<Vec<_>>().join(" "));
    let endings = |text: String| {
        let stem = |word: &str| word.trim_end_matches("ing").trim_end_matches("um").to_owned();
        Some(text.split(' ').map(stem).collect::<Vec<_>>().join(" "))
    };
    let mut seen = BTreeSet::new();
    let repeated = move |text: String| {
        let fresh: Vec<&str> =
            text.split(' ').filter(|word| seen.insert((*word).to_owned())).collect();
        Some(format!("{} {}", fresh.len(), text))
    };
    let sorted = |text: String| {
        let mut words: Vec<&str> = text.split(' ').collect();
        words.sort_unstable();
        Some(words.join(" "))
    };
    vec![
        Box::new(lower),
        Box::new(letters),
        Box::new(blanks),
        Box::new(endings),
        Box::new(repeated),
        Box::new(sorted),
    ]
}

fn vector(index: usize) -> Vec<i64> {
    random(index, 48).map(|bits| (bits % 100) as i64).collect()
}

fn multipliers() -> Vec<Stage<Vec<i64>>> {
    stages(6, |number| {
        let rows: Vec<Vec<i64>> =
            (0..48).map(|row| vector(1_000_000 + 48 * number as usize + row)).collect();
        move |vector: Vec<i64>| {
            let product = |row: &Vec<i64>| {
                let sum: i64 = row.iter().zip(&vector).map(|(a, b)| a * b).sum();
                sum % 10_007
            };
            Some(rows.iter().map(product).collect())
        }
    })
}

/// When a hundred customers come.
fn customers(index: usize) -> Vec<i64> {
    let mut times: Vec<i64> =
        random(index, 100).map(|bits| (bits % 5_000) as i64 + 5_000 * index as i64).collect();
    times.sort_unstable();
    times
}

fn counters() -> Vec<Stage<Vec<i64>>> {
    stages(10, |number| {
        let (mut free, mut served) = (0, 0);
        move |times: Vec<i64>| {
            let serve = |time: i64| {
                served += 1;
                free = free.max(time) + (mix(served ^ number << 40) % 90) as i64;
                free
            };
            Some(times.into_iter().map(serve).collect())
        }
    })
}

fn noisy_bytes(index: usize) -> Vec<u8> {
    let mut level = 128_u8;
    random(index, 1024)
        .map(|bits| {
            level = level.wrapping_add((bits % 4) as u8).wrapping_sub((bits / 4 % 3) as u8);
            level
        })
        .collect()
}

fn transforms() -> Vec<Stage<Vec<u8>>> {
    let mut last = 0_u8;
    let differences = move |mut bytes: Vec<u8>| {
        for byte in &mut bytes {
            (*byte, last) = (byte.wrapping_sub(last), *byte);
        }
        Some(bytes)
    };
    let ranks = || {
        let mut recent: Vec<u8> = (0..=255).collect();
        move |mut bytes: Vec<u8>| {
            for byte in &mut bytes {
                let rank = recent.iter().position(|other| other == byte).unwrap_or(0);
                recent[..=rank].rotate_right(1);
                *byte = rank as u8;
            }
            Some(bytes)
        }
    };
    let runs = |bytes: Vec<u8>| {
        let runs = bytes.chunk_by(|a, b| a == b);
        Some(
            runs.flat_map(|run| run.chunks(255).flat_map(|run| [run[0], run.len() as u8]))
                .collect(),
        )
    };
    vec![Box::new(differences), Box::new(ranks()), Box::new(runs), Box::new(ranks())]
}

fn medians() -> Vec<Stage<Vec<i64>>> {
    stages(6, |number| {
        let width = 5 + 4 * number as usize;
        let mut past = vec![0; width - 1];
        move |block: Vec<i64>| {
            past.extend(block);
            let median = |window: &[i64]| {
                let mut window = window.to_vec();
                *window.select_nth_unstable(width / 2).1
            };
            let out = past.windows(width).map(median).collect();
            past.drain(..past.len() + 1 - width);
            Some(out)
        }
    })
}

fn records(index: usize) -> Vec<i64> {
    random(index, 200).map(|bits| (bits % 5_000) as i64).collect()
}

fn joins() -> Vec<Stage<Vec<i64>>> {
    stages(6, |number| {
        let table: BTreeMap<i64, i64> = (0..5_000)
            .filter(|key| !mix(*key as u64 ^ number << 32).is_multiple_of(10))
            .map(|key| (key, (mix(key as u64 + number) % 5_000) as i64))
            .collect();
        move |keys: Vec<i64>| Some(keys.iter().filter_map(|key| table.get(key).copied()).collect())
    })
}

/// Words with some that are frequent.
fn page(index: usize) -> String {
    let word = |bits: u64| format!("{:x} ", (bits % 64) * (bits >> 8) % 4096);
    random(index, 500).map(word).collect()
}

fn word_counts(page: String) -> u64 {
    let mut counts = BTreeMap::new();
    for word in page.split_whitespace() {
        *counts.entry(word).or_insert(0_u64) += 1;
    }
    fold(counts.into_iter().flat_map(|(word, count)| [bytes_fold(word.into()), count]))
}

fn packed(page: String) -> u64 {
    let mut numbers: BTreeMap<Vec<u8>, u16> =
        (0..=255_u8).map(|byte| (vec![byte], byte.into())).collect();
    let (mut codes, mut prefix) = (Vec::new(), Vec::new());
    for byte in page.bytes() {
        let mut longer = prefix.clone();
        longer.push(byte);
        if numbers.contains_key(&longer) {
            prefix = longer;
        } else {
            codes.push(numbers[&prefix]);
            numbers.insert(longer, numbers.len() as u16);
            prefix = vec![byte];
        }
    }
    codes.extend(numbers.get(&prefix));

    let mut words: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte]).collect();
    let mut text: Vec<u8> = Vec::new();
    let mut last: Vec<u8> = Vec::new();
    for &code in &codes {
        let mut word = words.get(usize::from(code)).unwrap_or(&last).clone();
        if usize::from(code) == words.len() {
            word.push(last[0]);
        }
        if !last.is_empty() {
            last.push(word[0]);
            words.push(std::mem::take(&mut last));
        }
        text.extend(&word);
        last = word;
    }
    u64::from(text == page.as_bytes()) * fold(codes.into_iter().map(u64::from))
}

fn code_lengths(page: String) -> u64 {
    let mut counts = [0_u64; 256];
    page.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let mut heap: BinaryHeap<_> =
        counts.iter().filter(|count| **count > 0).map(|count| std::cmp::Reverse(*count)).collect();
    // The sum of all inner nodes is the length of the text in bits.
    let mut bits = 0;
    while let (Some(a), Some(b)) = (heap.pop(), heap.pop()) {
        bits += a.0 + b.0;
        heap.push(std::cmp::Reverse(a.0 + b.0));
        if heap.len() == 1 {
            break;
        }
    }
    bits
}

fn expression(index: usize) -> String {
    fn write(bits: &mut impl Iterator<Item = u64>, depth: u32) -> String {
        let choice = bits.next().unwrap_or(0);
        if depth == 0 || choice.is_multiple_of(8) {
            return (choice >> 8 & 0xff).to_string();
        }
        let (left, right) = (write(bits, depth - 1), write(bits, depth - 1));
        let sign = ["+", "-", "*"][(choice >> 4) as usize % 3];
        format!("({left}{sign}{right})")
    }
    write(&mut random(index, 1 << 9), 8)
}

fn evaluate(text: String) -> u64 {
    let (mut values, mut signs): (Vec<u64>, Vec<u8>) = (Vec::new(), Vec::new());
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'0'..=b'9' => {
                let mut value = u64::from(byte - b'0');
                while let Some(digit) = bytes.next_if(u8::is_ascii_digit) {
                    value = 10 * value + u64::from(digit - b'0');
                }
                values.push(value);
            }
            b'+' | b'-' | b'*' => signs.push(byte),
            b')' => {
                let (b, a) = (values.pop().unwrap_or(0), values.pop().unwrap_or(0));
                values.push(match signs.pop() {
                    Some(b'+') => a.wrapping_add(b),
                    Some(b'-') => a.wrapping_sub(b),
                    _ => a.wrapping_mul(b),
                });
            }
            _ => {}
        }
    }
    values.pop().unwrap_or(0)
}

fn log_lines(index: usize) -> String {
    let line = |bits: u64| {
        let level = ["DEBUG", "INFO", "WARN", "ERROR"][bits as usize % 4];
        format!(
            "2026-11-{:02} {level} user={} bytes={}\n",
            bits % 28 + 1,
            bits >> 8 & 63,
            bits >> 16 & 0xffff
        )
    };
    random(index, 200).map(line).collect()
}

fn log_sums(lines: String) -> u64 {
    let mut sums = BTreeMap::new();
    for line in lines.lines() {
        let mut words = line.split(' ').skip(1);
        let level = words.next();
        let mut number = |key| words.next()?.strip_prefix(key)?.parse::<u64>().ok();
        if let (Some(level), Some(user), Some(bytes)) = (level, number("user="), number("bytes="))
            && level != "DEBUG"
        {
            *sums.entry((user, level.len())).or_insert(0) += bytes;
        }
    }
    fold(sums.into_iter().flat_map(|((user, level), bytes)| [user, level as u64, bytes]))
}

fn batch(index: usize) -> Vec<u64> {
    random(index, 1_000).collect()
}

fn top_scores(scores: Vec<u64>) -> u64 {
    let mut best = BinaryHeap::new();
    for score in scores {
        best.push(std::cmp::Reverse(score % 100_000));
        if best.len() > 16 {
            best.pop();
        }
    }
    fold(best.into_sorted_vec().into_iter().map(|score| score.0))
}

fn unknown_words(page: String) -> u64 {
    const BITS: u64 = 1 << 14;
    let places = |word: &str| {
        let hash = bytes_fold(word.into());
        [hash, hash >> 20, hash >> 40].map(|part| part % BITS)
    };
    let mut filter = vec![0_u64; (BITS / 64) as usize];
    for number in 0..1_000 {
        for place in places(&format!("{:x}", 3 * number)) {
            filter[(place / 64) as usize] |= 1 << (place % 64);
        }
    }
    let is_known = |word: &&str| {
        places(word).iter().all(|place| filter[(place / 64) as usize] >> (place % 64) & 1 == 1)
    };
    page.split_whitespace().filter(|word| !is_known(word)).count() as u64
}

fn tile(index: usize) -> Vec<u64> {
    random(index, 64 * 64).map(|bits| bits & 0x00ff_00ff_00ff).collect()
}

fn thumbnail(tile: Vec<u64>) -> u64 {
    let mut side = 64;
    let mut pixels = tile;
    for _ in 0..3 {
        let half = side / 2;
        let mean = |at: usize| {
            let (x, y) = (2 * (at % half), 2 * (at / half));
            let sum: u64 =
                [0, 1, side, side + 1].iter().map(|step| pixels[y * side + x + step]).sum();
            (sum >> 2) & 0x00ff_00ff_00ff
        };
        pixels = (0..half * half).map(mean).collect();
        side = half;
    }
    fold(pixels)
}

fn round_trip(batch: Vec<u64>) -> u64 {
    let text: String = batch
        .iter()
        .map(|n| format!("{{\"id\":{},\"value\":\"{:x}\"}},", n >> 40, n & 0xffff))
        .collect();
    let parse = |record: &str| {
        let (id, value) = record.strip_prefix("{\"id\":")?.split_once(",\"value\":\"")?;
        Some([id.parse().ok()?, u64::from_str_radix(value.strip_suffix("\"}")?, 16).ok()?])
    };
    let records = text.split_inclusive("},").map(|record| record.trim_end_matches(','));
    fold(records.filter_map(parse).flatten())
}
