//! Memory-bound: much data, and little to do with each word of it.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use example_cli::mix;
use threadwork::join;

use crate::parallel::{parts, pieces, sum};
use crate::program::{Family, fold, program};

pub(crate) const FAMILY: Family = Family {
    name: "memory-bound",
    programs: &[
        program!(
            "array-sum",
            "of whole numbers",
            8_000_000,
            numbers,
            |n: Vec<u64>, _| sum(0..n.len(), GRAIN, &|i| n[i]),
            |n: Vec<u64>| n.into_iter().fold(0, u64::wrapping_add)
        ),
        program!("scaled-sum", "y += a x", 4_000_000, two_of_floats, scaled_sum, scaled_sum_loop),
        program!("triad", "a = b + s c", 4_000_000, two_of_floats, triad, triad_loop),
        program!("pointer-chase", "64 chains of links", 1_000_000, links, chase, chase_in_turn),
        program!(
            "transpose",
            "a square, block by block",
            4_000_000,
            square,
            transpose,
            transpose_by_rows
        ),
        program!("gather", "from random places", 4_000_000, numbers, gather, gather_loop),
        program!("scatter", "to random places", 3_000_000, numbers, scatter, scatter_loop),
        program!(
            "wide-histogram",
            "65,536 bins for each thread",
            8_000_000,
            numbers,
            histogram,
            histogram_loop
        ),
        program!("heat-2d", "five points, ten steps", 1_000_000, grid_2d, heat_2d, heat_2d_loop),
        program!(
            "sparse-product",
            "a matrix of eight entries a row, and a vector",
            600_000,
            |n| n,
            sparse_product,
            sparse_product_loop
        ),
        program!(
            "radix-pass",
            "a stable sort by one byte",
            3_000_000,
            numbers,
            radix_pass,
            radix_pass_loop
        ),
        program!(
            "running-sums",
            "in two passes",
            6_000_000,
            numbers,
            running_sums,
            running_sums_loop
        ),
        program!(
            "hash-join",
            "looked up in an open table",
            1_500_000,
            |n| n,
            hash_join,
            hash_join_loop
        ),
        program!(
            "byte-search",
            "a pair of bytes, wherever it is",
            40_000_000,
            bytes,
            byte_search,
            byte_search_loop
        ),
        program!(
            "bit-count",
            "all ones",
            8_000_000,
            numbers,
            |n: Vec<u64>, _| sum(0..n.len(), GRAIN, &|i| n[i].count_ones().into()),
            |n: Vec<u64>| n.iter().map(|word| u64::from(word.count_ones())).sum()
        ),
        program!("reversal", "in place, from both ends", 8_000_000, numbers, reversal, |n: Vec<
            u64,
        >| {
            checksum(n.into_iter().rev())
        }),
        program!(
            "extremes",
            "where the least and the greatest are",
            8_000_000,
            numbers,
            extremes,
            extremes_loop
        ),
        program!(
            "compaction",
            "those that pass, side by side",
            5_000_000,
            numbers,
            compaction,
            |n: Vec<u64>| checksum(n.into_iter().filter(passes))
        ),
        program!("heat-3d", "seven points, five steps", 1_000_000, grid_3d, heat_3d, heat_3d_loop),
        program!(
            "binary-searches",
            "in a sorted array",
            1_000_000,
            sorted_numbers,
            searches,
            searches_by_partition
        ),
    ],
};

/// What one thread does at a time.
const GRAIN: usize = 1 << 14;

fn numbers(count: usize) -> Vec<u64> {
    (1..=count as u64).map(mix).collect()
}

/// Depends on the places, too, and costs next to nothing.
fn checksum(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers
        .into_iter()
        .enumerate()
        .map(|(index, number)| placed(index, number))
        .fold(0, u64::wrapping_add)
}

fn placed(index: usize, number: u64) -> u64 {
    number.wrapping_mul(2 * index as u64 + 1)
}

/// The checksum, by many.
fn checksum_of<T: Copy + Sync>(items: &[T], number: impl Fn(T) -> u64 + Sync) -> u64 {
    sum(0..items.len(), GRAIN, &|index| placed(index, number(items[index])))
}

type Floats = (Vec<f64>, Vec<f64>);

fn two_of_floats(count: usize) -> Floats {
    let of = |seed: u64| (0..count as u64).map(|i| (mix(i ^ seed << 40) >> 40) as f64).collect();
    (of(1), of(2))
}

fn scaled_sum((x, mut y): Floats, _threads: usize) -> u64 {
    pieces(&mut y, GRAIN, &|first, y| {
        y.iter_mut().zip(&x[first..]).for_each(|(y, x)| *y += 2.5 * x);
    });
    checksum_of(&y, f64::to_bits)
}

fn scaled_sum_loop((x, y): Floats) -> u64 {
    checksum(x.iter().zip(y).map(|(x, y)| (y + 2.5 * x).to_bits()))
}

fn triad((b, c): Floats, _threads: usize) -> u64 {
    let mut a = vec![0.0; b.len()];
    pieces(&mut a, GRAIN, &|first, a| {
        let sources = b[first..].iter().zip(&c[first..]);
        a.iter_mut().zip(sources).for_each(|(a, (b, c))| *a = b + 0.75 * c);
    });
    checksum_of(&a, f64::to_bits)
}

fn triad_loop((b, c): Floats) -> u64 {
    checksum(b.iter().zip(c).map(|(b, c)| (b + 0.75 * c).to_bits()))
}

/// One circle over all places.
fn links(count: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    for end in (1..count).rev() {
        order.swap(end, mix(end as u64) as usize % (end + 1));
    }
    let mut links = vec![0; count];
    for (index, place) in order.iter().enumerate() {
        links[*place as usize] = order[(index + 1) % count];
    }
    links
}

fn follow(links: &[u32], chain: usize) -> u64 {
    let start = (chain * links.len() / 64) as u32;
    (0..links.len() / 16).fold(start, |place, _| links[place as usize]).into()
}

fn chase(links: Vec<u32>, _threads: usize) -> u64 {
    fold(parts(64, 64, &|chain, _| follow(&links, chain)))
}

fn chase_in_turn(links: Vec<u32>) -> u64 {
    fold((0..64).map(|chain| follow(&links, chain)))
}

/// Rows of a square.
fn square(cells: usize) -> (usize, Vec<u64>) {
    let side = cells.isqrt().max(1);
    (side, numbers(side * side))
}

fn transpose((side, cells): (usize, Vec<u64>), _threads: usize) -> u64 {
    const BLOCK: usize = 32;
    let mut turned = vec![0; side * side];
    pieces(&mut turned, BLOCK * side, &|first, rows| {
        let top = first / side;
        for left in (0..side).step_by(BLOCK) {
            for (down, row) in rows.chunks_mut(side).enumerate() {
                for column in left..(left + BLOCK).min(side) {
                    row[column] = cells[column * side + top + down];
                }
            }
        }
    });
    checksum_of(&turned, |cell| cell)
}

fn transpose_by_rows((side, cells): (usize, Vec<u64>)) -> u64 {
    checksum(
        (0..side)
            .flat_map(|row| (0..side).map(move |column| (row, column)))
            .map(|(row, column)| cells[column * side + row]),
    )
}

fn gather_place(index: usize, len: usize) -> usize {
    (mix(index as u64 ^ 0xabcd) % len as u64) as usize
}

fn gather(numbers: Vec<u64>, _threads: usize) -> u64 {
    let len = numbers.len();
    sum(0..len, GRAIN, &|index| placed(index, numbers[gather_place(index, len)]))
}

fn gather_loop(numbers: Vec<u64>) -> u64 {
    checksum((0..numbers.len()).map(|index| numbers[gather_place(index, numbers.len())]))
}

/// A permutation of the numbers below a power of two.
fn scatter_place(index: usize, len: usize) -> usize {
    index.wrapping_mul(0x9e37_79b1) & (len - 1)
}

fn scatter(numbers: Vec<u64>, _threads: usize) -> u64 {
    let len = numbers.len().next_power_of_two();
    // Each is written once, by one thread.
    let scattered: Vec<AtomicU64> = (0..len).map(|_| AtomicU64::new(0)).collect();
    parts(numbers.len(), numbers.len().div_ceil(GRAIN), &|_, range: Range<usize>| {
        for index in range {
            scattered[scatter_place(index, len)].store(numbers[index], Relaxed);
        }
    });
    sum(0..len, GRAIN, &|index| placed(index, scattered[index].load(Relaxed)))
}

fn scatter_loop(numbers: Vec<u64>) -> u64 {
    let len = numbers.len().next_power_of_two();
    let mut scattered = vec![0; len];
    numbers
        .iter()
        .enumerate()
        .for_each(|(index, number)| scattered[scatter_place(index, len)] = *number);
    checksum(scattered)
}

const BINS: usize = 1 << 16;

fn count_bins(numbers: &[u64]) -> Vec<u32> {
    let mut bins = vec![0; BINS];
    numbers.iter().for_each(|number| bins[(number >> 48) as usize] += 1);
    bins
}

fn histogram(numbers: Vec<u64>, threads: usize) -> u64 {
    let own = parts(numbers.len(), threads, &|_, range: Range<usize>| count_bins(&numbers[range]));
    sum(0..BINS, GRAIN / 8, &|bin| placed(bin, own.iter().map(|bins| u64::from(bins[bin])).sum()))
}

fn histogram_loop(numbers: Vec<u64>) -> u64 {
    checksum(count_bins(&numbers).into_iter().map(u64::from))
}

fn grid_2d(cells: usize) -> (usize, Vec<u64>) {
    let (side, cells) = square(cells);
    (side, cells.into_iter().map(|cell| cell >> 32).collect())
}

fn heat_cell_2d(side: usize, cells: &[u64], at: usize) -> u64 {
    let (x, y) = (at % side, at / side);
    let left = cells[at - usize::from(x > 0)];
    let right = cells[at + usize::from(x + 1 < side)];
    let above = cells[if y > 0 { at - side } else { at }];
    let below = cells[if y + 1 < side { at + side } else { at }];
    (4 * cells[at] + left + right + above + below) / 8
}

fn heat_2d((side, mut cells): (usize, Vec<u64>), _threads: usize) -> u64 {
    let mut next = cells.clone();
    for _ in 0..10 {
        pieces(&mut next, GRAIN, &|first, piece| {
            for (index, cell) in piece.iter_mut().enumerate() {
                *cell = heat_cell_2d(side, &cells, first + index);
            }
        });
        std::mem::swap(&mut cells, &mut next);
    }
    checksum_of(&cells, |cell| cell)
}

fn heat_2d_loop((side, cells): (usize, Vec<u64>)) -> u64 {
    checksum((0..10).fold(cells, |cells, _| {
        (0..cells.len()).map(|at| heat_cell_2d(side, &cells, at)).collect()
    }))
}

/// The entries of a row: eight columns, and what stands there.
fn sparse_row(row: usize, rows: usize) -> impl Iterator<Item = (usize, u64)> {
    (0..8).map(move |entry| {
        let bits = mix((8 * row + entry) as u64);
        ((bits % rows as u64) as usize, bits >> 40)
    })
}

/// The vector is long, and most of the time goes into finding its parts.
fn sparse_product(rows: usize, _threads: usize) -> u64 {
    let vector = numbers(rows);
    sum(0..rows, GRAIN / 8, &|row| {
        let products =
            sparse_row(row, rows).map(|(column, value)| value.wrapping_mul(vector[column]));
        placed(row, products.fold(0, u64::wrapping_add))
    })
}

fn sparse_product_loop(rows: usize) -> u64 {
    let vector = numbers(rows);
    let mut product = vec![0_u64; rows];
    for (row, sum) in product.iter_mut().enumerate() {
        for (column, value) in sparse_row(row, rows) {
            *sum = sum.wrapping_add(value.wrapping_mul(vector[column]));
        }
    }
    checksum(product)
}

fn radix_pass(numbers: Vec<u64>, threads: usize) -> u64 {
    let key = |number: u64| (number >> 56) as usize;
    let counts = parts(numbers.len(), threads, &|_, range: Range<usize>| {
        let mut counts = vec![0; 256];
        numbers[range].iter().for_each(|number| counts[key(*number)] += 1);
        counts
    });
    // Where each part begins to write each of its keys.
    let mut starts = vec![vec![0; 256]; threads];
    let mut next = 0;
    for key in 0..256 {
        for (starts, counts) in starts.iter_mut().zip(&counts) {
            starts[key] = next;
            next += counts[key];
        }
    }
    let sorted: Vec<AtomicU64> = numbers.iter().map(|_| AtomicU64::new(0)).collect();
    parts(numbers.len(), threads, &|part, range: Range<usize>| {
        let mut next = starts[part].clone();
        for number in &numbers[range] {
            let place = &mut next[key(*number)];
            sorted[*place].store(*number, Relaxed);
            *place += 1;
        }
    });
    sum(0..sorted.len(), GRAIN, &|index| placed(index, sorted[index].load(Relaxed)))
}

fn radix_pass_loop(mut numbers: Vec<u64>) -> u64 {
    numbers.sort_by_key(|number| number >> 56);
    checksum(numbers)
}

fn running_sums(mut numbers: Vec<u64>, _threads: usize) -> u64 {
    let count = numbers.len().div_ceil(GRAIN);
    let totals = parts(numbers.len(), count, &|_, range: Range<usize>| {
        numbers[range].iter().copied().fold(0, u64::wrapping_add)
    });
    let len = numbers.len();
    // The borders are those of `parts`.
    let mut rest = numbers.as_mut_slice();
    let mut before = 0_u64;
    let mut jobs = Vec::new();
    for (part, total) in totals.into_iter().enumerate() {
        let (piece, others) = rest.split_at_mut(len * (part + 1) / count - len * part / count);
        jobs.push((before, piece));
        before = before.wrapping_add(total);
        rest = others;
    }
    pieces(&mut jobs, 1, &|_, jobs| {
        for (before, piece) in jobs {
            piece.iter_mut().for_each(|number| {
                *before = before.wrapping_add(*number);
                *number = *before;
            });
        }
    });
    checksum_of(&numbers, |number| number)
}

fn running_sums_loop(numbers: Vec<u64>) -> u64 {
    checksum(numbers.into_iter().scan(0_u64, |sum, number| {
        *sum = sum.wrapping_add(number);
        Some(*sum)
    }))
}

/// Half of the keys that are looked up are in the table.
fn joined_key(index: usize, rows: usize) -> u32 {
    (mix(index as u64) % (2 * rows as u64)) as u32
}

fn hash_join(rows: usize, _threads: usize) -> u64 {
    const EMPTY: u32 = u32::MAX;
    let places = 2 * rows.next_power_of_two();
    let first = |key: u32| mix(key.into()) as usize & (places - 1);
    let table: Vec<AtomicU32> = (0..places).map(|_| AtomicU32::new(EMPTY)).collect();
    parts(rows, rows.div_ceil(GRAIN), &|_, range: Range<usize>| {
        for key in range.map(|row| row as u32) {
            let mut place = first(key);
            while table[place].compare_exchange(EMPTY, key, Relaxed, Relaxed).is_err() {
                place = (place + 1) & (places - 1);
            }
        }
    });
    sum(0..rows, GRAIN, &|index| {
        let key = joined_key(index, rows);
        let mut place = first(key);
        loop {
            match table[place].load(Relaxed) {
                EMPTY => return 0,
                found if found == key => return placed(index, key.into()),
                _ => place = (place + 1) & (places - 1),
            }
        }
    })
}

fn hash_join_loop(rows: usize) -> u64 {
    let keys = (0..rows).map(|index| joined_key(index, rows));
    checksum(keys.map(|key| if (key as usize) < rows { key.into() } else { 0 }))
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count as u64 / 8 + 1).flat_map(|index| mix(index).to_le_bytes()).collect()
}

/// The two bytes that are looked for.
const PAIR: [u8; 2] = [0x12, 0x34];

fn byte_search(bytes: Vec<u8>, _threads: usize) -> u64 {
    let count = bytes.len().div_ceil(8 * GRAIN);
    let found = parts(bytes.len(), count, &|_, range: Range<usize>| {
        let end = (range.end + 1).min(bytes.len());
        bytes[range.start..end].windows(2).filter(|pair| **pair == PAIR).count() as u64
    });
    found.into_iter().sum()
}

fn byte_search_loop(bytes: Vec<u8>) -> u64 {
    let mut count = 0;
    for index in 1..bytes.len() {
        count += u64::from(bytes[index - 1] == PAIR[0] && bytes[index] == PAIR[1]);
    }
    count
}

fn reversal(mut numbers: Vec<u64>, _threads: usize) -> u64 {
    /// Both are equally long.
    fn swap_ends(low: &mut [u64], high: &mut [u64]) {
        if low.len() > GRAIN {
            let middle = low.len() / 2;
            let (low_outer, low_inner) = low.split_at_mut(middle);
            let (high_inner, high_outer) = high.split_at_mut(high.len() - middle);
            join(|| swap_ends(low_outer, high_outer), || swap_ends(low_inner, high_inner));
            return;
        }
        low.iter_mut().zip(high.iter_mut().rev()).for_each(|(low, high)| std::mem::swap(low, high));
    }
    let half = numbers.len() / 2;
    let (low, high) = numbers.split_at_mut(half);
    let high_start = high.len() - half;
    swap_ends(low, &mut high[high_start..]);
    checksum_of(&numbers, |number| number)
}

fn extremes(numbers: Vec<u64>, _threads: usize) -> u64 {
    let count = numbers.len().div_ceil(GRAIN);
    let ends = parts(numbers.len(), count, &|_, range: Range<usize>| {
        let least = range.clone().min_by_key(|index| numbers[*index]).unwrap_or(0);
        let greatest = range.max_by_key(|index| numbers[*index]).unwrap_or(0);
        (least, greatest)
    });
    let least = ends.iter().map(|ends| ends.0).min_by_key(|index| numbers[*index]);
    let greatest = ends.iter().map(|ends| ends.1).max_by_key(|index| numbers[*index]);
    fold([least, greatest].into_iter().flatten().map(|index| index as u64))
}

fn extremes_loop(numbers: Vec<u64>) -> u64 {
    let (mut least, mut greatest) = (0, 0);
    for (index, number) in numbers.iter().enumerate() {
        if *number < numbers[least] {
            least = index;
        }
        if *number >= numbers[greatest] {
            greatest = index;
        }
    }
    fold([least as u64, greatest as u64])
}

fn passes(number: &u64) -> bool {
    number.is_multiple_of(3)
}

fn compaction(numbers: Vec<u64>, _threads: usize) -> u64 {
    let count = numbers.len().div_ceil(GRAIN);
    let kept = parts(numbers.len(), count, &|_, range: Range<usize>| {
        numbers[range].iter().copied().filter(passes).collect::<Vec<u64>>()
    });
    let mut compact = vec![0; kept.iter().map(Vec::len).sum()];
    let mut rest = compact.as_mut_slice();
    let mut jobs = Vec::new();
    for part in &kept {
        let (piece, others) = rest.split_at_mut(part.len());
        jobs.push((part, piece));
        rest = others;
    }
    pieces(&mut jobs, 1, &|_, jobs| {
        jobs.iter_mut().for_each(|(part, piece)| piece.copy_from_slice(part))
    });
    checksum_of(&compact, |number| number)
}

/// The side of a cube, and its cells.
fn grid_3d(cells: usize) -> (usize, Vec<u64>) {
    let side = (1..).take_while(|side| side * side * side <= cells).last().unwrap_or(1);
    (side, numbers(side * side * side).into_iter().map(|cell| cell >> 32).collect())
}

fn heat_cell_3d(side: usize, cells: &[u64], at: usize) -> u64 {
    let neighbours = [1, side, side * side].map(|step| {
        let place = at / step % side;
        let before = cells[if place > 0 { at - step } else { at }];
        let after = cells[if place + 1 < side { at + step } else { at }];
        before + after
    });
    (2 * cells[at] + neighbours.iter().sum::<u64>()) / 8
}

fn heat_3d((side, mut cells): (usize, Vec<u64>), _threads: usize) -> u64 {
    let mut next = cells.clone();
    for _ in 0..5 {
        pieces(&mut next, GRAIN, &|first, piece| {
            for (index, cell) in piece.iter_mut().enumerate() {
                *cell = heat_cell_3d(side, &cells, first + index);
            }
        });
        std::mem::swap(&mut cells, &mut next);
    }
    checksum_of(&cells, |cell| cell)
}

fn heat_3d_loop((side, cells): (usize, Vec<u64>)) -> u64 {
    checksum((0..5).fold(cells, |cells, _| {
        (0..cells.len()).map(|at| heat_cell_3d(side, &cells, at)).collect()
    }))
}

fn sorted_numbers(count: usize) -> Vec<u64> {
    let mut numbers = numbers(count);
    numbers.sort_unstable();
    numbers
}

fn searches(numbers: Vec<u64>, _threads: usize) -> u64 {
    sum(0..numbers.len(), GRAIN / 8, &|index| {
        let wanted = mix(index as u64 ^ 0x5555_0000_0000);
        let place = match numbers.binary_search(&wanted) {
            Ok(place) | Err(place) => place,
        };
        placed(index, place as u64)
    })
}

fn searches_by_partition(numbers: Vec<u64>) -> u64 {
    checksum((0..numbers.len()).map(|index| {
        let wanted = mix(index as u64 ^ 0x5555_0000_0000);
        numbers.partition_point(|number| *number < wanted) as u64
    }))
}
