//! Embarrassingly parallel: items that know nothing of each other. The answer is the sum of
//! what each item gives.

use example_cli::{SplitMix64, mix};

use crate::parallel::sum;
use crate::program::{Family, fold, program};

/// A program whose items are `item(0)` to `item(size - 1)`.
macro_rules! items {
    ($name:literal, $about:literal, $size:literal, $item:path) => {
        program!(
            $name,
            $about,
            $size,
            |size| size,
            |size, threads| sum(0..size, size.div_ceil(64 * threads), &$item),
            |size| (0..size).map($item).fold(0, u64::wrapping_add)
        )
    };
}
pub(crate) const FAMILY: Family = Family {
    name: "embarrassingly-parallel",
    programs: &[
        items!("darts", "Monte Carlo pi, 1000 darts a block", 8_000, darts),
        items!("mandelbrot", "iterations until a point escapes", 60_000, mandelbrot),
        items!("julia-cubic", "the same for z^3 + c, in fixed point", 60_000, julia),
        items!("collatz", "steps down to 1", 700_000, collatz),
        items!("trial-division", "primes found by trial", 250_000, trial_division),
        items!("divisor-sums", "the sum of the divisors", 60_000, divisor_sum),
        items!("totients", "numbers below that share no divisor", 2_500, totient),
        items!("proof-of-work", "nonces whose hash begins with zeros", 12_000_000, proof_of_work),
        items!("fermat-tests", "modular powers", 120_000, fermat_test),
        items!("crc32", "checksums of 4 KiB blocks", 10_000, crc32),
        items!("edit-distances", "between pairs of words", 12_000, edit_distance),
        items!("random-walks", "how far 500 steps lead", 60_000, random_walk),
        items!("option-prices", "binomial trees of 64 steps", 30_000, option_price),
        items!("small-matrices", "determinants modulo a prime", 20_000, determinant),
        items!("ray-casting", "rays among spheres", 200_000, ray),
        items!("life-boards", "boards of 64 cells, 100 generations", 60_000, life_board),
        items!("run-lengths", "blocks of bytes, packed", 12_000, run_lengths),
        items!("base64", "blocks, written and read back", 12_000, base64),
        items!("easter", "dates by Gauss's rule", 20_000_000, easter),
        items!("nearest-points", "among 1000, for each query", 60_000, nearest_point),
    ],
};

fn darts(block: usize) -> u64 {
    let mut random = SplitMix64::for_block(block);
    let mut unit = || (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    (0..1000).filter(|_| unit().powi(2) + unit().powi(2) < 1.0).count() as u64
}

fn mandelbrot(point: usize) -> u64 {
    let (column, row) = (point % 300, point / 300 % 200);
    let (re, im) = (column as f64 / 100.0 - 2.0, row as f64 / 100.0 - 1.0);
    let (mut x, mut y) = (0.0, 0.0);
    (0..400)
        .find(|_| {
            (x, y) = (x * x - y * y + re, 2.0 * x * y + im);
            x * x + y * y > 4.0
        })
        .unwrap_or(400)
}

fn julia(point: usize) -> u64 {
    /// 20 bits after the point.
    const ONE: i64 = 1 << 20;
    let mul = |a: i64, b: i64| (a * b) >> 20;
    let (mut x, mut y) =
        ((point % 300) as i64 * ONE / 100 - ONE, (point / 300 % 200) as i64 * ONE / 100 - ONE);
    (0..200)
        .find(|_| {
            let (xx, yy) = (mul(x, x), mul(y, y));
            (x, y) = (mul(x, xx - 3 * yy) + ONE / 5, mul(y, 3 * xx - yy) + ONE / 2);
            x.abs() > 2 * ONE || y.abs() > 2 * ONE
        })
        .unwrap_or(200)
}

fn collatz(start: usize) -> u64 {
    let mut n = start as u64 + 1;
    let mut steps = 0;
    while n != 1 {
        n = if n.is_multiple_of(2) { n / 2 } else { 3 * n + 1 };
        steps += 1;
    }
    steps
}

fn trial_division(index: usize) -> u64 {
    let n = index as u64;
    let is_prime = n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
    u64::from(is_prime)
}

fn divisor_sum(index: usize) -> u64 {
    let n = index as u64 + 1;
    let small = (1..).take_while(|d| d * d <= n).filter(|d| n.is_multiple_of(*d));
    small.map(|d| if d * d == n { d } else { d + n / d }).sum()
}

fn totient(index: usize) -> u64 {
    fn gcd(a: u64, b: u64) -> u64 {
        if b == 0 { a } else { gcd(b, a % b) }
    }
    let n = index as u64 + 1;
    (1..=n).filter(|k| gcd(n, *k) == 1).count() as u64
}

fn proof_of_work(nonce: usize) -> u64 {
    let hash = mix(mix(nonce as u64 ^ 0x9e37_79b9).rotate_left(17));
    u64::from(hash.leading_zeros() >= 12) * hash
}

fn fermat_test(index: usize) -> u64 {
    let n = 2 * index as u64 + 1_000_001;
    let (mut base, mut exponent, mut power) = (2, n - 1, 1);
    while exponent > 0 {
        if exponent % 2 == 1 {
            power = power * base % n;
        }
        base = base * base % n;
        exponent /= 2;
    }
    u64::from(power == 1)
}

fn bytes(block: usize, count: usize) -> Vec<u8> {
    let mut random = SplitMix64::for_block(block);
    (0..count.div_ceil(8)).flat_map(|_| random.next_u64().to_le_bytes()).collect()
}

fn crc32(block: usize) -> u64 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut crc = index as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
                bit += 1;
            }
            table[index] = crc;
            index += 1;
        }
        table
    };
    let crc = bytes(block, 4096)
        .iter()
        .fold(!0, |crc: u32, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8));
    u64::from(!crc)
}

fn edit_distance(pair: usize) -> u64 {
    let letters = bytes(pair, 96);
    let (left, right) = letters.split_at(48);
    let mut row: Vec<u64> = (0..=right.len() as u64).collect();
    for (above, a) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = above as u64 + 1;
        for (column, b) in right.iter().enumerate() {
            let same = diagonal + u64::from(a % 4 != b % 4);
            diagonal = row[column + 1];
            row[column + 1] = same.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

fn random_walk(walker: usize) -> u64 {
    let mut random = SplitMix64::for_block(walker);
    let (mut x, mut y) = (0_i64, 0_i64);
    for _ in 0..500 {
        match random.next_u64() >> 62 {
            0 => x += 1,
            1 => x -= 1,
            2 => y += 1,
            _ => y -= 1,
        }
    }
    x.unsigned_abs() + y.unsigned_abs()
}

/// In thousandths, all in whole numbers.
fn option_price(option: usize) -> u64 {
    const STEPS: usize = 64;
    let strike = 80_000 + (option % 40_000) as u64;
    let spot = 100_000_u64;
    let price = |ups: usize| {
        let up = (0..ups).fold(spot, |price, _| price * 1020 / 1000);
        (ups..STEPS).fold(up, |price, _| price * 980 / 1000)
    };
    let mut values: Vec<u64> = (0..=STEPS).map(|ups| price(ups).saturating_sub(strike)).collect();
    for last in (0..STEPS).rev() {
        for ups in 0..=last {
            values[ups] = (values[ups] + values[ups + 1]) * 9995 / 20_000;
        }
    }
    values[0]
}

fn determinant(index: usize) -> u64 {
    const P: u64 = 1_000_003;
    const SIDE: usize = 12;
    let mut random = SplitMix64::for_block(index);
    let mut rows: Vec<Vec<u64>> =
        (0..SIDE).map(|_| (0..SIDE).map(|_| random.next_u64() % P).collect()).collect();
    let inverse = |n: u64| {
        (0..20).rev().fold(1, |power: u64, bit| {
            let square = power * power % P;
            if (P - 2) >> bit & 1 == 1 { square * n % P } else { square }
        })
    };
    let mut determinant = 1;
    for column in 0..SIDE {
        let Some(pivot) = (column..SIDE).find(|row| rows[*row][column] != 0) else { return 0 };
        if pivot != column {
            rows.swap(pivot, column);
            determinant = P - determinant;
        }
        determinant = determinant * rows[column][column] % P;
        let scale = inverse(rows[column][column]);
        let (upper, lower) = rows.split_at_mut(column + 1);
        for row in lower {
            let factor = row[column] * scale % P;
            for (cell, above) in row.iter_mut().zip(&upper[column]) {
                *cell = (*cell + (P - factor) * above) % P;
            }
        }
    }
    determinant
}

/// Which of 16 spheres a ray from the origin hits first, and how far away, all in whole
/// numbers.
fn ray(index: usize) -> u64 {
    let (dx, dy, dz) = ((index % 500) as i64 - 250, (index / 500 % 400) as i64 - 200, 300);
    let length2 = dx * dx + dy * dy + dz * dz;
    let hits = (0..16_i64).filter_map(|sphere| {
        let place = mix(sphere as u64);
        let (x, y) = ((place % 1000) as i64 - 500, (place / 1000 % 1000) as i64 - 500);
        let z = 600 + 50 * sphere;
        let along = x * dx + y * dy + z * dz;
        let distance2 = x * x + y * y + z * z - along * along / length2;
        (distance2 < 120 * 120).then_some((along, sphere))
    });
    hits.min().map_or(0, |(along, sphere)| fold([along as u64, sphere as u64]) >> 32)
}

/// An 8 x 8 torus in the bits of a number.
fn life_board(seed: usize) -> u64 {
    let mut board = mix(seed as u64 + 1);
    for _ in 0..100 {
        let east = |b: u64| (b & 0x7f7f_7f7f_7f7f_7f7f) << 1 | (b >> 7 & 0x0101_0101_0101_0101);
        let west = |b: u64| (b >> 1 & 0x7f7f_7f7f_7f7f_7f7f) | (b & 0x0101_0101_0101_0101) << 7;
        let rows = [board.rotate_left(8), board, board.rotate_right(8)];
        let mut counts = [0_u64; 4];
        for (row, cells) in rows.into_iter().enumerate() {
            for shifted in [east(cells), west(cells)].into_iter().chain((row != 1).then_some(cells))
            {
                let mut carry = shifted;
                for count in &mut counts {
                    (*count, carry) = (*count ^ carry, *count & carry);
                }
            }
        }
        let [ones, twos, fours, eights] = counts;
        board = twos & !fours & !eights & (ones | board);
    }
    u64::from(board.count_ones())
}

fn run_lengths(block: usize) -> u64 {
    let bytes = bytes(block, 4096);
    let mut packed = Vec::new();
    for byte in bytes.iter().map(|byte| byte / 100) {
        match packed.last_mut() {
            Some((last, count)) if *last == byte && *count < 255_u8 => *count += 1,
            _ => packed.push((byte, 1_u8)),
        }
    }
    fold(packed.iter().map(|(byte, count)| u64::from(*byte) << 8 | u64::from(*count))) >> 16
}

fn base64(block: usize) -> u64 {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = bytes(block, 3072);
    let mut text = Vec::with_capacity(4096);
    for three in bytes.chunks_exact(3) {
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        text.extend([18, 12, 6, 0].map(|shift| LETTERS[(bits >> shift & 63) as usize]));
    }
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let back = text.chunks_exact(4).flat_map(|four| {
        let bits = four.iter().fold(0, |bits: u32, letter| bits << 6 | u32::from(value(*letter)));
        let [_, a, b, c] = bits.to_be_bytes();
        [a, b, c]
    });
    let same = back.eq(bytes.iter().copied());
    u64::from(same) * (fold(text.iter().map(|letter| u64::from(*letter))) >> 16)
}

fn easter(index: usize) -> u64 {
    let year = 1583 + (index % 8000) as i64;
    let (a, b, c) = (year % 19, year / 100, year % 100);
    let (d, e) = (b / 4, b % 4);
    let g = (b - (b + 8) / 25 + 1) / 3;
    let h = (19 * a + b - d - g + 15) % 30;
    let l = (32 + 2 * e + 2 * (c / 4) - h - c % 4) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let day = h + l - 7 * m + 114;
    (100 * (day / 31) + day % 31 + 1) as u64
}

fn nearest_point(query: usize) -> u64 {
    let place = |seed: u64| {
        let bits = mix(seed);
        ((bits & 0xffff) as i64, (bits >> 16 & 0xffff) as i64)
    };
    let (x, y) = place(query as u64 + 1_000_000);
    let distance = |point: &u64| {
        let (px, py) = place(*point);
        (px - x).pow(2) + (py - y).pow(2)
    };
    (0..1000).min_by_key(distance).unwrap_or(0)
}
