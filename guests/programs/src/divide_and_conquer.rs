//! Divide and conquer: problems that are split in two by `join` until they are small. The
//! plain answers come from other algorithms, where there is one.

use std::collections::BTreeSet;

use example_cli::mix;
use threadwork::join;

use crate::program::{Family, fold, program, random_numbers};

pub(crate) const FAMILY: Family = Family {
    name: "divide-and-conquer",
    programs: &[
        program!(
            "fibonacci",
            "two calls each",
            20_000_000,
            fibonacci_index,
            |n, _| fibonacci(n),
            fibonacci_loop
        ),
        program!(
            "merge-sorting",
            "halves sorted, then merged",
            700_000,
            numbers,
            |n, _| fold(merge_sorted(n)),
            sorted
        ),
        program!(
            "quick-sorting",
            "in place, around a pivot",
            1_000_000,
            numbers,
            quick_sorted,
            sorted
        ),
        program!(
            "tree-fold",
            "a binary tree of that many nodes",
            4_000_000,
            |n| n,
            |n, _| tree(0, n),
            tree_loop
        ),
        program!(
            "queens",
            "placements on a board, row by row",
            2_000_000,
            |size| levels(size, 5) + 3,
            |n, _| queens(n),
            queens_by_columns
        ),
        program!(
            "knapsack",
            "the best of all subsets, with a bound",
            4_000_000_000,
            goods,
            |goods: Vec<Good>, _| knapsack(&goods),
            knapsack_by_weight
        ),
        program!(
            "karatsuba",
            "a product of two long numbers",
            4_000,
            polynomials,
            |(a, b): Pair, _| fold(karatsuba(&a, &b)),
            schoolbook
        ),
        program!(
            "strassen",
            "a product of matrices by seven smaller ones",
            256,
            matrices,
            |(a, b), _| fold(strassen(&a, &b)),
            matrix_product
        ),
        program!(
            "number-transform",
            "a convolution by Fourier's transform modulo a prime",
            150_000,
            residues,
            |(a, b), _| convolution(a, b),
            convolution_by_definition
        ),
        program!(
            "closest-pair",
            "of points in the plane",
            150_000,
            points,
            closest_pair,
            closest_of_all_pairs
        ),
        program!(
            "maximum-subarray",
            "the greatest sum of neighbours",
            20_000_000,
            signed_numbers,
            |n: Vec<i32>, _| best_sum(&n).best,
            best_sum_in_passing
        ),
        program!(
            "convex-hull",
            "by the farthest point from each edge",
            500_000,
            points,
            quick_hull,
            chain_hull
        ),
        program!(
            "inversions",
            "pairs out of order, counted in a merge",
            500_000,
            numbers,
            |n, _| inversions(n).1,
            inversions_of_all_pairs
        ),
        program!(
            "product-tree",
            "a polynomial from its roots",
            6_000,
            residue_list,
            |roots: Vec<u64>, _| fold(from_roots(&roots)),
            from_roots_one_by_one
        ),
        program!(
            "factorial",
            "all of its digits",
            4_000,
            |n| n as u64,
            |n, _| fold(product(1, n)),
            factorial_one_by_one
        ),
        program!(
            "minimax",
            "the value of a game of four moves a turn",
            30_000_000,
            |size| levels(size, 4),
            |turns, _| minimax(1, turns),
            minimax_by_generations
        ),
        program!(
            "adaptive-quadrature",
            "an integral, finer where it bends",
            2_000_000,
            |size| levels(size, 2),
            quadrature,
            quadrature_with_a_stack
        ),
        program!(
            "quadtree",
            "a bitmap, folded where it is uniform",
            4_000_000,
            bitmap,
            |map: Bitmap, _| quadtree(&map, 0, 0, map.side).0,
            quadtree_by_levels
        ),
        program!(
            "subset-sums",
            "how many subsets hit a target",
            30_000_000,
            |size| levels(size, 2),
            |n, _| subsets(0, n, 12 * n as u64),
            subsets_by_sum
        ),
        program!(
            "skyline",
            "the outline of buildings",
            200_000,
            buildings,
            |b: Vec<Building>, _| outline(&skyline(&b)),
            skyline_by_events
        ),
    ],
};

/// How often a number can be divided: the depth of a tree of that size.
fn levels(size: usize, base: usize) -> usize {
    size.ilog(base) as usize
}

fn numbers(count: usize) -> Vec<u64> {
    random_numbers(count, 2)
}

fn sorted(mut numbers: Vec<u64>) -> u64 {
    numbers.sort_unstable();
    fold(numbers)
}

/// The first one whose tree of calls has that size.
fn fibonacci_index(size: usize) -> u32 {
    (1..).find(|n| fibonacci_loop(*n) >= size as u64).unwrap_or(1)
}

fn fibonacci(n: u32) -> u64 {
    if n < 2 {
        return n.into();
    }
    let (a, b) = join(|| fibonacci(n - 1), || fibonacci(n - 2));
    a + b
}

fn fibonacci_loop(n: u32) -> u64 {
    (0..n).fold((0, 1), |(a, b), _| (b, a + b)).0
}

fn merge_sorted(mut numbers: Vec<u64>) -> Vec<u64> {
    if numbers.len() <= 2_000 {
        numbers.sort();
        return numbers;
    }
    let right = numbers.split_off(numbers.len() / 2);
    let (left, right) = join(|| merge_sorted(numbers), || merge_sorted(right));
    merged(&left, &right)
}

fn merged(left: &[u64], right: &[u64]) -> Vec<u64> {
    let mut all = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let next = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) if a <= b => left.next(),
            (Some(_), None) => left.next(),
            _ => right.next(),
        };
        match next {
            Some(number) => all.push(*number),
            None => return all,
        }
    }
}

fn quick_sorted(mut numbers: Vec<u64>, _threads: usize) -> u64 {
    fn sort(numbers: &mut [u64]) {
        if numbers.len() <= 1_000 {
            return numbers.sort_unstable();
        }
        let mut ends = [numbers[0], numbers[numbers.len() / 2], numbers[numbers.len() - 1]];
        ends.sort_unstable();
        let pivot = ends[1];
        // Less, equal, greater.
        let (mut equal, mut greater, mut next) = (0, numbers.len(), 0);
        while next < greater {
            if numbers[next] < pivot {
                numbers.swap(next, equal);
                equal += 1;
                next += 1;
            } else if numbers[next] > pivot {
                greater -= 1;
                numbers.swap(next, greater);
            } else {
                next += 1;
            }
        }
        let (low, high) = numbers.split_at_mut(greater);
        join(|| sort(&mut low[..equal]), || sort(high));
    }
    sort(&mut numbers);
    fold(numbers)
}

/// The nodes are numbered as in a heap.
fn tree(node: usize, nodes: usize) -> u64 {
    if node >= nodes {
        return 1;
    }
    let (left, right) = join(|| tree(2 * node + 1, nodes), || tree(2 * node + 2, nodes));
    tree_node(node, left, right)
}

fn tree_node(node: usize, left: u64, right: u64) -> u64 {
    mix(node as u64).wrapping_add(left.wrapping_mul(3)).wrapping_add(right.wrapping_mul(5))
}

fn tree_loop(nodes: usize) -> u64 {
    let mut values = vec![1; 2 * nodes + 1];
    for node in (0..nodes).rev() {
        values[node] = tree_node(node, values[2 * node + 1], values[2 * node + 2]);
    }
    values[0]
}

fn queens(side: usize) -> u64 {
    /// Tries the free columns of a row, in two halves.
    fn place(all: u32, columns: u32, left: u32, right: u32, depth: u32) -> u64 {
        let free = all & !(columns | left | right);
        if columns == all { 1 } else { choose(all, columns, left, right, free, depth) }
    }
    fn choose(all: u32, columns: u32, left: u32, right: u32, free: u32, depth: u32) -> u64 {
        match free.count_ones() {
            0 => 0,
            1 => place(all, columns | free, (left | free) << 1, (right | free) >> 1, depth + 1),
            ones => {
                let low = (0..ones / 2).fold(0, |low, _| {
                    let rest = free & !low;
                    low | (rest & rest.wrapping_neg())
                });
                let half = |part| choose(all, columns, left, right, part, depth);
                let (a, b) = if depth < 4 {
                    join(|| half(low), || half(free & !low))
                } else {
                    (half(low), half(free & !low))
                };
                a + b
            }
        }
    }
    place((1 << side) - 1, 0, 0, 0, 0)
}

fn queens_by_columns(side: usize) -> u64 {
    fn place(placed: &mut Vec<usize>, side: usize) -> u64 {
        let row = placed.len();
        if row == side {
            return 1;
        }
        let mut count = 0;
        for column in 0..side {
            let attacks =
                |(other, at): (usize, &usize)| *at == column || at.abs_diff(column) == row - other;
            if !placed.iter().enumerate().any(attacks) {
                placed.push(column);
                count += place(placed, side);
                placed.pop();
            }
        }
        count
    }
    place(&mut Vec::new(), side)
}

#[derive(Clone, Copy)]
struct Good {
    weight: u64,
    value: u64,
}

/// The best value for each weight first.
fn goods(size: usize) -> Vec<Good> {
    let of = |number: u64| Good { weight: number % 100 + 20, value: number / 100 % 100 + 50 };
    let mut goods: Vec<Good> = random_numbers(levels(size, 2), 3).into_iter().map(of).collect();
    goods.sort_by_key(|good| std::cmp::Reverse(1_000 * good.value / good.weight));
    goods
}

fn capacity(goods: &[Good]) -> u64 {
    goods.iter().map(|good| good.weight).sum::<u64>() / 2
}

fn knapsack(goods: &[Good]) -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    /// What the rest could bring at most, if goods could be cut.
    fn bound(goods: &[Good], mut room: u64) -> u64 {
        let mut value = 0;
        for good in goods {
            if good.weight > room {
                return value + good.value * room / good.weight + 1;
            }
            room -= good.weight;
            value += good.value;
        }
        value
    }
    fn search(goods: &[Good], room: u64, value: u64, best: &AtomicU64) {
        best.fetch_max(value, Relaxed);
        let Some((first, rest)) = goods.split_first() else { return };
        if value + bound(goods, room) <= best.load(Relaxed) {
            return;
        }
        let with = || {
            if first.weight <= room {
                search(rest, room - first.weight, value + first.value, best);
            }
        };
        join(with, || search(rest, room, value, best));
    }
    let best = AtomicU64::new(0);
    search(goods, capacity(goods), 0, &best);
    best.into_inner()
}

fn knapsack_by_weight(goods: Vec<Good>) -> u64 {
    let mut best = vec![0; capacity(&goods) as usize + 1];
    for good in goods {
        for room in (good.weight as usize..best.len()).rev() {
            best[room] = best[room].max(best[room - good.weight as usize] + good.value);
        }
    }
    best[best.len() - 1]
}

type Pair = (Vec<u64>, Vec<u64>);

fn polynomials(len: usize) -> Pair {
    let len = len.next_power_of_two();
    (random_numbers(len, 4), random_numbers(len, 5))
}

/// Digits without carries: products and sums modulo 2^64.
fn karatsuba(a: &[u64], b: &[u64]) -> Vec<u64> {
    if a.len() <= 64 {
        return schoolbook_product(a, b);
    }
    let half = a.len() / 2;
    let ((a_low, a_high), (b_low, b_high)) = (a.split_at(half), b.split_at(half));
    let added = |low: &[u64], high: &[u64]| -> Vec<u64> {
        low.iter().zip(high).map(|(low, high)| low.wrapping_add(*high)).collect()
    };
    let ((low, high), middle) = join(
        || join(|| karatsuba(a_low, b_low), || karatsuba(a_high, b_high)),
        || karatsuba(&added(a_low, a_high), &added(b_low, b_high)),
    );
    let mut all = vec![0_u64; 2 * a.len() - 1];
    for (index, (low, high)) in low.iter().zip(&high).enumerate() {
        let middle = middle[index].wrapping_sub(*low).wrapping_sub(*high);
        for (at, value) in [(0, *low), (half, middle), (2 * half, *high)] {
            all[index + at] = all[index + at].wrapping_add(value);
        }
    }
    all
}

fn schoolbook_product(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut product = vec![0_u64; a.len() + b.len() - 1];
    for (i, a) in a.iter().enumerate() {
        for (j, b) in b.iter().enumerate() {
            product[i + j] = product[i + j].wrapping_add(a.wrapping_mul(*b));
        }
    }
    product
}

fn schoolbook((a, b): Pair) -> u64 {
    fold(schoolbook_product(&a, &b))
}

/// Square, with a power of two for its side.
#[derive(Clone)]
struct Matrix {
    side: usize,
    cells: Vec<u64>,
}

fn matrices(side: usize) -> (Matrix, Matrix) {
    let side = side.next_power_of_two();
    let of = |seed| Matrix { side, cells: random_numbers(side * side, seed) };
    (of(6), of(7))
}

impl Matrix {
    fn zip(&self, other: &Self, with: impl Fn(u64, u64) -> u64) -> Self {
        let cells = self.cells.iter().zip(&other.cells).map(|(a, b)| with(*a, *b)).collect();
        Self { side: self.side, cells }
    }

    fn plus(&self, other: &Self) -> Self {
        self.zip(other, u64::wrapping_add)
    }

    fn minus(&self, other: &Self) -> Self {
        self.zip(other, u64::wrapping_sub)
    }

    fn quarter(&self, down: usize, right: usize) -> Self {
        let half = self.side / 2;
        let rows = (down * half..(down + 1) * half).map(|row| row * self.side + right * half);
        Self {
            side: half,
            cells: rows.flat_map(|at| &self.cells[at..at + half]).copied().collect(),
        }
    }

    fn times(&self, other: &Self) -> Self {
        let side = self.side;
        let mut cells = vec![0_u64; side * side];
        for (row, line) in cells.chunks_mut(side).enumerate() {
            for k in 0..side {
                let factor = self.cells[row * side + k];
                for (cell, right) in line.iter_mut().zip(&other.cells[k * side..]) {
                    *cell = cell.wrapping_add(factor.wrapping_mul(*right));
                }
            }
        }
        Self { side, cells }
    }
}

fn strassen(a: &Matrix, b: &Matrix) -> Vec<u64> {
    fn times(a: &Matrix, b: &Matrix) -> Matrix {
        if a.side <= 32 {
            return a.times(b);
        }
        let [a11, a12, a21, a22] = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(i, j)| a.quarter(i, j));
        let [b11, b12, b21, b22] = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(i, j)| b.quarter(i, j));
        let (((m1, m2), (m3, m4)), ((m5, m6), m7)) = join(
            || {
                join(
                    || {
                        join(
                            || times(&a11.plus(&a22), &b11.plus(&b22)),
                            || times(&a21.plus(&a22), &b11),
                        )
                    },
                    || join(|| times(&a11, &b12.minus(&b22)), || times(&a22, &b21.minus(&b11))),
                )
            },
            || {
                join(
                    || {
                        join(
                            || times(&a11.plus(&a12), &b22),
                            || times(&a21.minus(&a11), &b11.plus(&b12)),
                        )
                    },
                    || times(&a12.minus(&a22), &b21.plus(&b22)),
                )
            },
        );
        let quarters = [
            m1.plus(&m4).minus(&m5).plus(&m7),
            m3.plus(&m5),
            m2.plus(&m4),
            m1.minus(&m2).plus(&m3).plus(&m6),
        ];
        let half = a.side / 2;
        let cell = |at: usize| {
            let (row, column) = (at / a.side, at % a.side);
            let quarter = &quarters[2 * (row / half) + column / half];
            quarter.cells[row % half * half + column % half]
        };
        Matrix { side: a.side, cells: (0..a.side * a.side).map(cell).collect() }
    }
    times(a, b).cells
}

fn matrix_product((a, b): (Matrix, Matrix)) -> u64 {
    fold(a.times(&b).cells)
}

/// 119 x 2^23 + 1, of which 3 is a primitive root.
const PRIME: u64 = 998_244_353;

fn power(base: u64, exponent: u64) -> u64 {
    (0..64).rev().fold(1, |power: u64, bit| {
        let square = power * power % PRIME;
        if exponent >> bit & 1 == 1 { square * base % PRIME } else { square }
    })
}

fn residue_list(count: usize) -> Vec<u64> {
    random_numbers(count, 8).into_iter().map(|number| number % PRIME).collect()
}

fn residues(count: usize) -> Pair {
    let mut all = residue_list(2 * count);
    let second = all.split_off(count);
    (all, second)
}

fn transform(values: Vec<u64>, root: u64) -> Vec<u64> {
    if values.len() == 1 {
        return values;
    }
    let every_other = |first| values.iter().skip(first).step_by(2).copied().collect::<Vec<u64>>();
    let (even, odd) = (every_other(0), every_other(1));
    let square = root * root % PRIME;
    let (even, odd) = if values.len() > 512 {
        join(|| transform(even, square), || transform(odd, square))
    } else {
        (transform(even, square), transform(odd, square))
    };
    let mut result = values;
    let half = even.len();
    let mut factor = 1;
    for (index, (even, odd)) in even.iter().zip(&odd).enumerate() {
        let turned = factor * odd % PRIME;
        result[index] = (even + turned) % PRIME;
        result[index + half] = (even + PRIME - turned) % PRIME;
        factor = factor * root % PRIME;
    }
    result
}

fn convolution(mut a: Vec<u64>, mut b: Vec<u64>) -> u64 {
    let len = a.len() + b.len() - 1;
    let padded = len.next_power_of_two();
    a.resize(padded, 0);
    b.resize(padded, 0);
    let root = power(3, (PRIME - 1) / padded as u64);
    let (a, b) = join(|| transform(a, root), || transform(b, root));
    let product = a.iter().zip(&b).map(|(a, b)| a * b % PRIME).collect();
    let scale = power(padded as u64, PRIME - 2);
    let back = transform(product, power(root, PRIME - 2));
    fold(back[..len].iter().map(|value| value * scale % PRIME))
}

fn convolution_by_definition((a, b): Pair) -> u64 {
    fold(polynomial_product(&a, &b))
}

/// Modulo the prime.
fn polynomial_product(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut product = vec![0; a.len() + b.len() - 1];
    for (i, a) in a.iter().enumerate() {
        for (j, b) in b.iter().enumerate() {
            product[i + j] = (product[i + j] + a * b) % PRIME;
        }
    }
    product
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    x: i64,
    y: i64,
}

/// In a disc, so that many are near the hull.
fn points(count: usize) -> Vec<Point> {
    const RADIUS: i64 = 1 << 24;
    let coordinate = |bits: u64| (bits & 0xffff_ffff) as i64 % (2 * RADIUS) - RADIUS;
    let all = random_numbers(2 * count, 9).into_iter();
    let all = all.map(|number| Point { x: coordinate(number), y: coordinate(number >> 32) });
    all.filter(|point| point.x.pow(2) + point.y.pow(2) < RADIUS.pow(2)).take(count).collect()
}

fn distance2(a: Point, b: Point) -> u64 {
    ((a.x - b.x).pow(2) + (a.y - b.y).pow(2)) as u64
}

fn closest_pair(mut points: Vec<Point>, _threads: usize) -> u64 {
    /// The points are sorted by x.
    fn closest(points: &[Point]) -> u64 {
        if points.len() <= 32 {
            return closest_of_all(points);
        }
        let middle = points.len() / 2;
        let (left, right) = points.split_at(middle);
        let (a, b) = join(|| closest(left), || closest(right));
        let best = a.min(b);
        let near = |point: &&Point| ((point.x - points[middle].x).pow(2) as u64) < best;
        let mut strip: Vec<Point> = points.iter().filter(near).copied().collect();
        strip.sort_unstable_by_key(|point| point.y);
        let across = strip.iter().enumerate().flat_map(|(index, point)| {
            strip[index + 1..].iter().take(7).map(|other| distance2(*point, *other))
        });
        across.min().unwrap_or(best).min(best)
    }
    points.sort_unstable();
    closest(&points)
}

fn closest_of_all(points: &[Point]) -> u64 {
    let pairs = points.iter().enumerate().flat_map(|(index, point)| {
        points[index + 1..].iter().map(|other| distance2(*point, *other))
    });
    pairs.min().unwrap_or(u64::MAX)
}

fn closest_of_all_pairs(points: Vec<Point>) -> u64 {
    closest_of_all(&points)
}

/// Twice the area of a triangle, positive if the turn is to the left.
fn area2(a: Point, b: Point, c: Point) -> i64 {
    (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)
}

fn hull_fold(corners: BTreeSet<Point>) -> u64 {
    fold(corners.into_iter().flat_map(|point| [point.x as u64, point.y as u64]))
}

fn quick_hull(points: Vec<Point>, _threads: usize) -> u64 {
    /// The corners to the left of an edge, among points that all are.
    fn beyond(from: Point, to: Point, points: &[Point]) -> Vec<Point> {
        // Of several that are as far away, the last one along the edge: it is a corner.
        let along = |point: &Point| (to.x - from.x) * point.x + (to.y - from.y) * point.y;
        let far = points.iter().max_by_key(|point| (area2(from, to, **point), along(point)));
        let Some(&far) = far else { return Vec::new() };
        let left_of = |a, b| -> Vec<Point> {
            points.iter().filter(|point| area2(a, b, **point) > 0).copied().collect()
        };
        let side = |a, b| beyond(a, b, &left_of(a, b));
        let (mut corners, mut others) = if points.len() > 1_000 {
            join(|| side(from, far), || side(far, to))
        } else {
            (side(from, far), side(far, to))
        };
        corners.push(far);
        corners.append(&mut others);
        corners
    }
    let (Some(&west), Some(&east)) = (points.iter().min(), points.iter().max()) else { return 0 };
    let left_of = |a, b| -> Vec<Point> {
        points.iter().filter(|point| area2(a, b, **point) > 0).copied().collect()
    };
    let (upper, lower) = join(
        || beyond(west, east, &left_of(west, east)),
        || beyond(east, west, &left_of(east, west)),
    );
    hull_fold([west, east].into_iter().chain(upper).chain(lower).collect())
}

fn chain_hull(mut points: Vec<Point>) -> u64 {
    points.sort_unstable();
    points.dedup();
    let chain = |points: &mut dyn Iterator<Item = &Point>| {
        let mut chain: Vec<Point> = Vec::new();
        for point in points {
            while let [.., a, b] = chain[..]
                && area2(a, b, *point) <= 0
            {
                chain.pop();
            }
            chain.push(*point);
        }
        chain
    };
    let (lower, upper) = (chain(&mut points.iter()), chain(&mut points.iter().rev()));
    hull_fold(lower.into_iter().chain(upper).collect())
}

fn signed_numbers(count: usize) -> Vec<i32> {
    (0..count as u64).map(|index| (mix(index) % 2001) as i32 - 1000).collect()
}

/// The best sums of neighbours in a part.
#[derive(Clone, Copy)]
struct Sums {
    best: u64,
    from_start: i64,
    to_end: i64,
    all: i64,
}

fn best_sum(numbers: &[i32]) -> Sums {
    if numbers.len() > 5_000 {
        let (left, right) = numbers.split_at(numbers.len() / 2);
        let (left, right) = join(|| best_sum(left), || best_sum(right));
        return Sums {
            best: left.best.max(right.best).max((left.to_end + right.from_start) as u64),
            from_start: left.from_start.max(left.all + right.from_start),
            to_end: right.to_end.max(right.all + left.to_end),
            all: left.all + right.all,
        };
    }
    let mut sums = Sums { best: 0, from_start: 0, to_end: 0, all: 0 };
    for &number in numbers {
        sums.all += i64::from(number);
        sums.from_start = sums.from_start.max(sums.all);
        sums.to_end = (sums.to_end + i64::from(number)).max(0);
        sums.best = sums.best.max(sums.to_end as u64);
    }
    sums
}

fn best_sum_in_passing(numbers: Vec<i32>) -> u64 {
    let (mut best, mut here) = (0, 0);
    for number in numbers {
        here = (here + i64::from(number)).max(0);
        best = best.max(here);
    }
    best as u64
}

/// The numbers in order, and how many pairs were not.
fn inversions(mut numbers: Vec<u64>) -> (Vec<u64>, u64) {
    if numbers.len() <= 64 {
        let count = count_inversions(&numbers);
        numbers.sort_unstable();
        return (numbers, count);
    }
    let right = numbers.split_off(numbers.len() / 2);
    let ((left, in_left), (right, in_right)) = join(|| inversions(numbers), || inversions(right));
    let mut smaller = right.iter().peekable();
    let (mut passed, mut across) = (0, 0);
    for number in &left {
        while smaller.next_if(|other| *other < number).is_some() {
            passed += 1;
        }
        across += passed;
    }
    (merged(&left, &right), in_left + in_right + across)
}

fn count_inversions(numbers: &[u64]) -> u64 {
    let later = |(index, number): (usize, &u64)| {
        numbers[index + 1..].iter().filter(|other| *other < number).count() as u64
    };
    numbers.iter().enumerate().map(later).sum()
}

fn inversions_of_all_pairs(numbers: Vec<u64>) -> u64 {
    count_inversions(&numbers)
}

/// The product of `x - root`, its coefficients modulo the prime.
fn from_roots(roots: &[u64]) -> Vec<u64> {
    if let [root] = roots {
        return vec![(PRIME - root) % PRIME, 1];
    }
    let (left, right) = roots.split_at(roots.len() / 2);
    let (left, right) = join(|| from_roots(left), || from_roots(right));
    polynomial_product(&left, &right)
}

fn from_roots_one_by_one(roots: Vec<u64>) -> u64 {
    let times =
        |product: Vec<u64>, root: u64| polynomial_product(&product, &[(PRIME - root) % PRIME, 1]);
    fold(roots.into_iter().fold(vec![1], times))
}

/// Digits of a long number, the lowest first.
const BASE: u64 = 1_000_000_000;

/// The product of all numbers from the first to the last.
fn product(first: u64, last: u64) -> Vec<u64> {
    if first == last {
        return vec![first];
    }
    let middle = first + (last - first) / 2;
    let (a, b) = join(|| product(first, middle), || product(middle + 1, last));
    let mut digits = vec![0; a.len() + b.len()];
    for (i, a) in a.iter().enumerate() {
        let mut carry = 0;
        for (j, b) in b.iter().chain([&0]).enumerate() {
            let sum = digits[i + j] + a * b + carry;
            (digits[i + j], carry) = (sum % BASE, sum / BASE);
        }
    }
    while digits.last() == Some(&0) {
        digits.pop();
    }
    digits
}

fn factorial_one_by_one(n: u64) -> u64 {
    let mut digits = vec![1];
    for factor in 2..=n {
        let mut carry = 0;
        for digit in &mut digits {
            let product = *digit * factor + carry;
            (*digit, carry) = (product % BASE, product / BASE);
        }
        if carry > 0 {
            digits.push(carry);
        }
    }
    fold(digits)
}

/// What the one whose turn it is can get at best, who wants as much as the other wants
/// little. A position is a number, and its ends are worth what they hash to.
fn minimax(position: u64, turns: usize) -> u64 {
    if turns == 0 {
        return mix(position) >> 32;
    }
    let after = |first: u64| {
        let [a, b] = [first, first + 1].map(|turn| minimax(4 * position + turn, turns - 1));
        if turns.is_multiple_of(2) { a.max(b) } else { a.min(b) }
    };
    let (a, b) = if turns > 4 { join(|| after(0), || after(2)) } else { (after(0), after(2)) };
    if turns.is_multiple_of(2) { a.max(b) } else { a.min(b) }
}

fn minimax_by_generations(turns: usize) -> u64 {
    let first = 4_u64.pow(turns as u32);
    let mut values: Vec<u64> = (first..2 * first).map(|end| mix(end) >> 32).collect();
    for turn in 1..=turns {
        let best = |moves: &[u64]| {
            let best = if turn % 2 == 0 { moves.iter().max() } else { moves.iter().min() };
            best.copied().unwrap_or(0)
        };
        values = values.chunks(4).map(best).collect();
    }
    values[0]
}

/// A peak at zero. Nothing that a library computes: its digits could differ elsewhere.
fn height(x: f64) -> f64 {
    1.0 / (1.0 + 1e6 * x * x)
}

fn simpson(from: f64, to: f64) -> f64 {
    (to - from) / 6.0 * (height(from) + 4.0 * height((from + to) / 2.0) + height(to))
}

/// Halves what is not precise enough, and everything down to some depth.
fn is_fine(from: f64, to: f64, depth: usize) -> bool {
    let middle = (from + to) / 2.0;
    let error = simpson(from, middle) + simpson(middle, to) - simpson(from, to);
    depth == 0 || (error.abs() < 1e-15 && to - from < 1e-3)
}

/// In units of 2^-60, rounded, so that the order of additions does not matter.
fn area(from: f64, to: f64) -> u64 {
    (simpson(from, to) * (1_u64 << 60) as f64) as u64
}

fn quadrature(depth: usize, _threads: usize) -> u64 {
    fn integral(from: f64, to: f64, depth: usize) -> u64 {
        if is_fine(from, to, depth) {
            return area(from, to);
        }
        let middle = (from + to) / 2.0;
        let (left, right) =
            join(|| integral(from, middle, depth - 1), || integral(middle, to, depth - 1));
        left.wrapping_add(right)
    }
    integral(-1.0, 1.0, depth)
}

fn quadrature_with_a_stack(depth: usize) -> u64 {
    let mut stack = vec![(-1.0, 1.0, depth)];
    let mut sum = 0_u64;
    while let Some((from, to, depth)) = stack.pop() {
        if is_fine(from, to, depth) {
            sum = sum.wrapping_add(area(from, to));
        } else {
            let middle = (from + to) / 2.0;
            stack.extend([(from, middle, depth - 1), (middle, to, depth - 1)]);
        }
    }
    sum
}

/// Discs on a square with a power of two for its side.
struct Bitmap {
    side: usize,
    bits: Vec<bool>,
}

fn bitmap(pixels: usize) -> Bitmap {
    let side = pixels.isqrt().next_power_of_two();
    let grid = side / 8;
    let inside = |at: usize| {
        let (x, y) = (at % side, at / side);
        let (dx, dy) = (
            (x % grid.max(1)) as i64 * 2 - grid as i64,
            (y % grid.max(1)) as i64 * 2 - grid as i64,
        );
        let radius =
            (mix((x / grid.max(1) + 64 * (y / grid.max(1))) as u64) % (grid as u64 + 1)) as i64;
        dx * dx + dy * dy < radius * radius
    };
    Bitmap { side, bits: (0..side * side).map(inside).collect() }
}

/// How many leaves a square needs, and the colour if it is one.
fn quadtree(map: &Bitmap, x: usize, y: usize, side: usize) -> (u64, Option<bool>) {
    if side == 1 {
        return (1, Some(map.bits[y * map.side + x]));
    }
    let half = side / 2;
    let row = |y| {
        let quarter = |x| quadtree(map, x, y, half);
        if side > 64 {
            join(|| quarter(x), || quarter(x + half))
        } else {
            (quarter(x), quarter(x + half))
        }
    };
    let (upper, lower) =
        if side > 64 { join(|| row(y), || row(y + half)) } else { (row(y), row(y + half)) };
    folded([upper.0, upper.1, lower.0, lower.1])
}

fn folded(quarters: [(u64, Option<bool>); 4]) -> (u64, Option<bool>) {
    let colour = quarters[0].1;
    if colour.is_some() && quarters.iter().all(|quarter| quarter.1 == colour) {
        return (1, colour);
    }
    (quarters.iter().map(|quarter| quarter.0).sum(), None)
}

fn quadtree_by_levels(map: Bitmap) -> u64 {
    let mut side = map.side;
    let mut squares: Vec<_> = map.bits.iter().map(|bit| (1, Some(*bit))).collect();
    while side > 1 {
        let half = side / 2;
        let square = |at: usize| {
            let (x, y) = (at % half, at / half);
            folded(
                [(0, 0), (1, 0), (0, 1), (1, 1)]
                    .map(|(dx, dy)| squares[(2 * y + dy) * side + 2 * x + dx]),
            )
        };
        squares = (0..half * half).map(square).collect();
        side = half;
    }
    squares[0].0
}

fn weight(item: usize) -> u64 {
    mix(item as u64 + 77) % 50 + 1
}

/// How many subsets of the items from `first` on have that sum.
fn subsets(first: usize, items: usize, target: u64) -> u64 {
    if first == items {
        return u64::from(target == 0);
    }
    let with = || match target.checked_sub(weight(first)) {
        Some(rest) => subsets(first + 1, items, rest),
        None => 0,
    };
    let without = || subsets(first + 1, items, target);
    let (a, b) = if items - first > 8 { join(with, without) } else { (with(), without()) };
    a + b
}

fn subsets_by_sum(items: usize) -> u64 {
    let mut counts = vec![0; 12 * items + 1];
    counts[0] = 1;
    for item in 0..items {
        for sum in (weight(item) as usize..counts.len()).rev() {
            counts[sum] += counts[sum - weight(item) as usize];
        }
    }
    counts[12 * items]
}

#[derive(Clone, Copy)]
struct Building {
    from: u64,
    to: u64,
    height: u64,
}

fn buildings(count: usize) -> Vec<Building> {
    let of = |number: u64| {
        let from = (number >> 32) % (10 * count as u64);
        Building { from, to: from + 1 + number % 100, height: 1 + (number >> 16) % 1000 }
    };
    random_numbers(count, 10).into_iter().map(of).collect()
}

/// The outline: where the height changes, and to what.
fn skyline(buildings: &[Building]) -> Vec<(u64, u64)> {
    if let [Building { from, to, height }] = buildings {
        return vec![(*from, *height), (*to, 0)];
    }
    let (left, right) = buildings.split_at(buildings.len() / 2);
    let (left, right) = if buildings.len() > 256 {
        join(|| skyline(left), || skyline(right))
    } else {
        (skyline(left), skyline(right))
    };
    let (mut i, mut j, mut low, mut high) = (0, 0, 0, 0);
    let mut both: Vec<(u64, u64)> = Vec::with_capacity(left.len() + right.len());
    while i < left.len() || j < right.len() {
        let x = left.get(i).into_iter().chain(right.get(j)).map(|change| change.0).min();
        let Some(x) = x else { break };
        if let Some((_, height)) = left.get(i).filter(|change| change.0 == x) {
            (low, i) = (*height, i + 1);
        }
        if let Some((_, height)) = right.get(j).filter(|change| change.0 == x) {
            (high, j) = (*height, j + 1);
        }
        let height = low.max(high);
        if both.last().map_or(0, |change| change.1) != height {
            both.push((x, height));
        }
    }
    both
}

fn outline(changes: &[(u64, u64)]) -> u64 {
    fold(changes.iter().flat_map(|(x, height)| [*x, *height]))
}

fn skyline_by_events(buildings: Vec<Building>) -> u64 {
    let edges: BTreeSet<u64> = buildings.iter().flat_map(|b| [b.from, b.to]).collect();
    let mut changes: Vec<(u64, u64)> = Vec::new();
    for x in edges {
        let here = buildings.iter().filter(|b| b.from <= x && x < b.to).map(|b| b.height);
        let height = here.max().unwrap_or(0);
        if changes.last().map_or(0, |change| change.1) != height {
            changes.push((x, height));
        }
    }
    outline(&changes)
}
