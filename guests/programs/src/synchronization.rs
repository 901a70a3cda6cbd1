//! Synchronization-heavy: threads that meet all the time. The answers do not depend on who
//! comes first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};

use example_cli::mix;
use threadwork::sync::{
    Barrier, Condvar, Latch, Mutex, OnceLock, Parker, Priority, PriorityMutex, RwLock, Semaphore,
    WaitGroup,
};
use threadwork::thread;

use crate::program::{Family, fold, program};

pub(crate) const FAMILY: Family = Family {
    name: "synchronization-heavy",
    programs: &[
        program!(
            "urgent-orders",
            "one lock, in three classes",
            500_000,
            |n| n,
            urgent_orders,
            hashes
        ),
        program!(
            "bank-transfers",
            "two locks each, in order",
            300_000,
            |n| n,
            bank_transfers,
            transfers_in_turn
        ),
        program!(
            "philosophers",
            "two forks each, put back if one is missing",
            300_000,
            |n| n,
            philosophers,
            dinner_in_turn
        ),
        program!(
            "bounded-buffer",
            "a queue behind two conditions",
            200_000,
            |n| n,
            bounded_buffer,
            hashes
        ),
        program!(
            "shared-cache",
            "read often, written when something is missing",
            300_000,
            |n| n,
            shared_cache,
            lookups
        ),
        program!(
            "relaxation",
            "a rod that cools, a barrier at each step",
            1_500,
            |n| n,
            relaxation,
            relaxation_alone
        ),
        program!(
            "token-ring",
            "a token that is changed at each hop",
            100_000,
            |n| n,
            token_ring,
            |n| (0..n).fold(1, |token, _| mix(token))
        ),
        program!(
            "striped-table",
            "words counted under 64 locks",
            400_000,
            |n| n,
            striped_table,
            one_table
        ),
        program!(
            "shared-histogram",
            "atomic counts in 256 places",
            2_000_000,
            |n| n,
            shared_histogram,
            own_histogram
        ),
        program!(
            "barber-shop",
            "chairs and barbers, by semaphores",
            200_000,
            |n| n,
            barber_shop,
            hashes
        ),
        program!(
            "wavefront",
            "cells that wait for the row above",
            400,
            |n| n,
            wavefront,
            rows_in_turn
        ),
        program!(
            "growing-work",
            "jobs that make jobs, until none is left",
            150_000,
            |n| n,
            growing_work,
            jobs_alone
        ),
        program!(
            "memo-table",
            "each entry made once, from others",
            40_000,
            |n| n,
            memo_table,
            entries_upwards
        ),
        program!(
            "union-find",
            "components, by compare-and-swap",
            400_000,
            |n| n,
            union_find,
            components
        ),
        program!(
            "lock-free-stack",
            "pushed and popped by tagged indices",
            500_000,
            |n| n,
            lock_free_stack,
            hashes
        ),
        program!(
            "life-on-a-torus",
            "generations with a barrier after each",
            1_000,
            |n| n,
            life,
            life_alone
        ),
        program!(
            "seat-booking",
            "each finds the next free seat",
            400_000,
            |n| n,
            seat_booking,
            hashes
        ),
        program!(
            "prefix-doubling",
            "sums over ever longer spans",
            150_000,
            |n| n,
            prefix_doubling,
            prefix_sums
        ),
        program!(
            "shortest-paths",
            "all edges again until nothing changes",
            20_000,
            |n| n,
            shortest_paths,
            shortest_paths_by_queue
        ),
        program!(
            "breadth-first",
            "a graph, level by level",
            60_000,
            |n| n,
            breadth_first,
            breadth_first_by_queue
        ),
    ],
};

/// Runs `work(0)` to `work(threads - 1)` at once.
fn together(threads: usize, work: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        for index in 1..threads {
            let work = &work;
            scope.spawn(move || work(index));
        }
        work(0);
    });
}

/// Every thread's share of the numbers below `count`.
fn share(thread: usize, threads: usize, count: usize) -> impl Iterator<Item = usize> {
    (thread..count).step_by(threads)
}

fn hash(index: usize) -> u64 {
    mix(index as u64 + 1)
}

fn hashes(count: usize) -> u64 {
    (0..count).map(hash).fold(0, u64::wrapping_add)
}

fn atomics(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

fn fold_atomics(words: &[AtomicU64]) -> u64 {
    fold(words.iter().map(|word| word.load(SeqCst)))
}

fn urgent_orders(orders: usize, threads: usize) -> u64 {
    const CLASSES: [Priority; 3] = [Priority::Low, Priority::Normal, Priority::High];
    let sum = PriorityMutex::new(0_u64);
    together(threads, |thread| {
        for order in share(thread, threads, orders) {
            let mut sum = sum.lock_as(CLASSES[order % 3]);
            *sum = sum.wrapping_add(hash(order));
        }
    });
    sum.into_inner()
}

const ACCOUNTS: usize = 64;

/// From, to, and how much.
fn transfer(number: usize) -> (usize, usize, u64) {
    let bits = hash(number);
    let from = bits as usize % ACCOUNTS;
    (from, (from + 1 + (bits >> 8) as usize % (ACCOUNTS - 1)) % ACCOUNTS, bits >> 40)
}

fn bank_transfers(count: usize, threads: usize) -> u64 {
    let accounts: Vec<Mutex<u64>> = (0..ACCOUNTS).map(|_| Mutex::new(0)).collect();
    together(threads, |thread| {
        for number in share(thread, threads, count) {
            let (from, to, amount) = transfer(number);
            let mut low = accounts[from.min(to)].lock();
            let mut high = accounts[from.max(to)].lock();
            let (from, to) = if from < to { (&mut low, &mut high) } else { (&mut high, &mut low) };
            **from = from.wrapping_sub(amount);
            **to = to.wrapping_add(amount);
        }
    });
    fold(accounts.into_iter().map(Mutex::into_inner))
}

fn transfers_in_turn(count: usize) -> u64 {
    let mut accounts = [0_u64; ACCOUNTS];
    for (from, to, amount) in (0..count).map(transfer) {
        accounts[from] = accounts[from].wrapping_sub(amount);
        accounts[to] = accounts[to].wrapping_add(amount);
    }
    fold(accounts)
}

const FORKS: usize = 5;

fn philosophers(meals: usize, threads: usize) -> u64 {
    let forks: Vec<Mutex<u64>> = (0..FORKS).map(|_| Mutex::new(0)).collect();
    together(threads, |thread| {
        for meal in share(thread, threads, meals) {
            let seat = hash(meal) as usize % FORKS;
            let (mut first, mut second) = (&forks[seat], &forks[(seat + 1) % FORKS]);
            loop {
                let mut held = first.lock();
                if let Some(mut other) = second.try_lock() {
                    *held = held.wrapping_add(hash(meal));
                    *other = other.wrapping_add(hash(meal));
                    break;
                }
                // Next time it waits for the one that was missing.
                drop(held);
                (first, second) = (second, first);
            }
        }
    });
    fold(forks.into_iter().map(Mutex::into_inner))
}

fn dinner_in_turn(meals: usize) -> u64 {
    let mut forks = [0_u64; FORKS];
    for meal in (0..meals).map(hash) {
        let seat = meal as usize % FORKS;
        for fork in [seat, (seat + 1) % FORKS] {
            forks[fork] = forks[fork].wrapping_add(meal);
        }
    }
    fold(forks)
}

/// Half of the threads put items in, the others take them out.
fn bounded_buffer(items: usize, threads: usize) -> u64 {
    const ROOM: usize = 16;
    struct Buffer {
        queue: Mutex<VecDeque<u64>>,
        has_room: Condvar,
        has_items: Condvar,
    }
    let buffer =
        Buffer { queue: Mutex::default(), has_room: Condvar::new(), has_items: Condvar::new() };
    let makers = threads.div_ceil(2);
    let takers = (threads / 2).max(1);
    let sum = AtomicU64::new(0);
    together(makers + takers, |thread| {
        if thread < makers {
            for item in share(thread, makers, items) {
                let mut queue =
                    buffer.has_room.wait_while(buffer.queue.lock(), |queue| queue.len() == ROOM);
                queue.push_back(hash(item));
                drop(queue);
                buffer.has_items.notify_one();
            }
            return;
        }
        for _ in share(thread - makers, takers, items) {
            let mut queue =
                buffer.has_items.wait_while(buffer.queue.lock(), |queue| queue.is_empty());
            let item = queue.pop_front().unwrap_or(0);
            drop(queue);
            buffer.has_room.notify_one();
            sum.fetch_add(item, SeqCst);
        }
    });
    sum.into_inner()
}

fn lookup_key(number: usize) -> usize {
    (hash(number) % 997) as usize
}

fn lookup_value(key: usize) -> u64 {
    (0..50).fold(key as u64, |value, _| mix(value))
}

fn shared_cache(lookups: usize, threads: usize) -> u64 {
    let cache = RwLock::new(BTreeMap::new());
    let sum = AtomicU64::new(0);
    together(threads, |thread| {
        for key in share(thread, threads, lookups).map(lookup_key) {
            let known = cache.read().get(&key).copied();
            let value = known
                .unwrap_or_else(|| *cache.write().entry(key).or_insert_with(|| lookup_value(key)));
            sum.fetch_add(value, SeqCst);
        }
    });
    sum.into_inner()
}

fn lookups(lookups: usize) -> u64 {
    (0..lookups).map(|number| lookup_value(lookup_key(number))).fold(0, u64::wrapping_add)
}

const ROD: usize = 256;

/// The temperature after a step, from those of the step before.
fn cooled(place: usize, before: impl Fn(usize) -> u64) -> u64 {
    let left = before(place.saturating_sub(1));
    let right = before((place + 1).min(ROD - 1));
    (left + 2 * before(place) + right) / 4
}

fn warm(place: usize) -> u64 {
    hash(place) >> 24
}

fn relaxation(steps: usize, threads: usize) -> u64 {
    let rods = [atomics(ROD), atomics(ROD)];
    rods[0].iter().enumerate().for_each(|(place, cell)| cell.store(warm(place), SeqCst));
    let barrier = Barrier::new(threads as u32);
    together(threads, |thread| {
        for step in 0..steps {
            let [before, after] = [&rods[step % 2], &rods[(step + 1) % 2]];
            for place in ROD * thread / threads..ROD * (thread + 1) / threads {
                after[place].store(cooled(place, |place| before[place].load(SeqCst)), SeqCst);
            }
            barrier.wait();
        }
    });
    fold_atomics(&rods[steps % 2])
}

fn relaxation_alone(steps: usize) -> u64 {
    let start: Vec<u64> = (0..ROD).map(warm).collect();
    fold(
        (0..steps).fold(start, |rod, _| {
            (0..ROD).map(|place| cooled(place, |place| rod[place])).collect()
        }),
    )
}

fn token_ring(hops: usize, threads: usize) -> u64 {
    let seats: Vec<Parker> = (0..threads).map(|_| Parker::new()).collect();
    let token = AtomicU64::new(1);
    seats[0].unpark();
    together(threads, |thread| {
        for _ in share(thread, threads, hops) {
            seats[thread].park();
            token.store(mix(token.load(SeqCst)), SeqCst);
            seats[(thread + 1) % threads].unpark();
        }
    });
    token.into_inner()
}

fn word(number: usize) -> u64 {
    hash(number) % 5_000 * (hash(number) >> 32) % 5_000
}

fn sorted_fold(counts: impl IntoIterator<Item = (u64, u64)>) -> u64 {
    let sorted: BTreeMap<u64, u64> = counts.into_iter().collect();
    fold(sorted.into_iter().flat_map(|(word, count)| [word, count]))
}

fn striped_table(words: usize, threads: usize) -> u64 {
    let stripes: Vec<Mutex<HashMap<u64, u64>>> = (0..64).map(|_| Mutex::default()).collect();
    together(threads, |thread| {
        for word in share(thread, threads, words).map(word) {
            *stripes[(mix(word) % 64) as usize].lock().entry(word).or_insert(0) += 1;
        }
    });
    sorted_fold(stripes.into_iter().flat_map(Mutex::into_inner))
}

fn one_table(words: usize) -> u64 {
    let mut counts = HashMap::new();
    (0..words).for_each(|number| *counts.entry(word(number)).or_insert(0) += 1);
    sorted_fold(counts)
}

fn shared_histogram(numbers: usize, threads: usize) -> u64 {
    let bins = atomics(256);
    together(threads, |thread| {
        for number in share(thread, threads, numbers) {
            bins[(hash(number) >> 56) as usize].fetch_add(1, SeqCst);
        }
    });
    fold_atomics(&bins)
}

fn own_histogram(numbers: usize) -> u64 {
    let mut bins = [0; 256];
    (0..numbers).for_each(|number| bins[(hash(number) >> 56) as usize] += 1);
    fold(bins)
}

fn barber_shop(customers: usize, threads: usize) -> u64 {
    let (chairs, barbers) = (Semaphore::new(3), Semaphore::new(2));
    let paid = AtomicU64::new(0);
    together(threads, |thread| {
        for customer in share(thread, threads, customers) {
            let chair = chairs.acquire();
            let _barber = barbers.acquire();
            drop(chair);
            paid.fetch_add(hash(customer), SeqCst);
        }
    });
    paid.into_inner()
}

fn cell(left: u64, above: u64) -> u64 {
    mix(left.wrapping_mul(3) ^ above)
}

fn wavefront(side: usize, threads: usize) -> u64 {
    let cells = atomics(side * side);
    let done: Vec<Latch> = (0..side * side).map(|_| Latch::new()).collect();
    together(threads, |thread| {
        for row in share(thread, threads, side) {
            let mut left = row as u64;
            for at in row * side..(row + 1) * side {
                let above = at.checked_sub(side).map_or(at as u64, |above| {
                    done[above].wait();
                    cells[above].load(SeqCst)
                });
                left = cell(left, above);
                cells[at].store(left, SeqCst);
                done[at].open();
            }
        }
    });
    fold_atomics(&cells[side * (side - 1)..])
}

fn rows_in_turn(side: usize) -> u64 {
    let mut row: Vec<u64> = (0..side as u64).collect();
    for number in 0..side as u64 {
        let mut left = number;
        for above in &mut row {
            left = cell(left, *above);
            *above = left;
        }
    }
    fold(row)
}

/// A job makes two smaller ones of about its half.
fn smaller_jobs(job: u64) -> impl Iterator<Item = u64> {
    let half = job / 2;
    [half, job.saturating_sub(half + 1)].into_iter().filter(|job| *job > 0)
}

fn growing_work(size: usize, threads: usize) -> u64 {
    let jobs = Mutex::new(vec![size as u64]);
    let open = WaitGroup::new();
    open.add(1);
    let (more, is_over) = (Condvar::new(), AtomicBool::new(false));
    let sum = AtomicU64::new(0);
    // One thread more, which waits for the end.
    together(threads + 1, |thread| {
        if thread == threads {
            open.wait();
            let _jobs = jobs.lock();
            is_over.store(true, SeqCst);
            more.notify_all();
            return;
        }
        loop {
            let idle = |jobs: &mut Vec<u64>| jobs.is_empty() && !is_over.load(SeqCst);
            let Some(job) = more.wait_while(jobs.lock(), idle).pop() else { return };
            sum.fetch_add(mix(job), SeqCst);
            for smaller in smaller_jobs(job) {
                open.add(1);
                jobs.lock().push(smaller);
                more.notify_one();
            }
            open.done();
        }
    });
    sum.into_inner()
}

fn jobs_alone(size: usize) -> u64 {
    let (mut jobs, mut sum) = (vec![size as u64], 0_u64);
    while let Some(job) = jobs.pop() {
        sum = sum.wrapping_add(mix(job));
        jobs.extend(smaller_jobs(job));
    }
    sum
}

/// What an entry is made of: earlier ones, about half as far.
fn ingredients(entry: usize) -> [usize; 2] {
    [entry / 2, entry / 2 + hash(entry) as usize % entry.div_ceil(2).max(1)]
        .map(|i| i.min(entry - 1))
}

fn make_entry(entry: usize, a: u64, b: u64) -> u64 {
    (0..20).fold(entry as u64, |value, _| mix(value ^ a).wrapping_add(b))
}

fn memo_table(entries: usize, threads: usize) -> u64 {
    fn entry(table: &[OnceLock<u64>], number: usize) -> u64 {
        *table[number].get_or_init(|| {
            if number == 0 {
                return 1;
            }
            // An entry waits for lower ones only, so nobody waits in a circle.
            let [a, b] = ingredients(number).map(|lower| entry(table, lower));
            make_entry(number, a, b)
        })
    }
    let table: Vec<OnceLock<u64>> = (0..entries).map(|_| OnceLock::new()).collect();
    let sum = AtomicU64::new(0);
    together(threads, |thread| {
        for number in share(thread, threads, entries) {
            sum.fetch_add(entry(&table, entries - 1 - number), SeqCst);
        }
    });
    sum.into_inner()
}

fn entries_upwards(entries: usize) -> u64 {
    let mut table = vec![1];
    for number in 1..entries {
        let [a, b] = ingredients(number).map(|lower| table[lower]);
        table.push(make_entry(number, a, b));
    }
    table.into_iter().fold(0, u64::wrapping_add)
}

/// Fewer edges than nodes, so that there are many components.
fn edge(number: usize, nodes: usize) -> (usize, usize) {
    let bits = hash(number);
    ((bits & 0xffff_ffff) as usize % nodes, (bits >> 32) as usize % nodes)
}

/// How many trees are left of so many nodes.
fn union_find(edges: usize, threads: usize) -> u64 {
    let nodes = edges + 1;
    let parents: Vec<AtomicUsize> = (0..nodes).map(AtomicUsize::new).collect();
    let root = |mut node: usize| loop {
        let parent = parents[node].load(SeqCst);
        if parent == node {
            return node;
        }
        let above = parents[parent].load(SeqCst);
        // Halves the way for those that come later. If it fails, another did.
        let _ = parents[node].compare_exchange(parent, above, SeqCst, SeqCst);
        node = above;
    };
    let joined = AtomicU64::new(0);
    together(threads, |thread| {
        for (a, b) in share(thread, threads, edges * 3 / 4).map(|number| edge(number, nodes)) {
            loop {
                // Asked once each: they change, and the lower must not be of another moment.
                let (a, b) = (root(a), root(b));
                let (low, high) = (a.min(b), a.max(b));
                if low == high {
                    break;
                }
                // Only a root gets a parent, which has a lower number: no circles.
                if parents[high].compare_exchange(high, low, SeqCst, SeqCst).is_ok() {
                    joined.fetch_add(1, SeqCst);
                    break;
                }
            }
        }
    });
    nodes as u64 - joined.into_inner()
}

fn components(edges: usize) -> u64 {
    let nodes = edges + 1;
    let mut neighbours = vec![Vec::new(); nodes];
    for (a, b) in (0..edges * 3 / 4).map(|number| edge(number, nodes)) {
        neighbours[a].push(b);
        neighbours[b].push(a);
    }
    let mut seen = vec![false; nodes];
    let mut count = 0;
    for start in 0..nodes {
        count += u64::from(!seen[start]);
        let mut stack = vec![start];
        while let Some(node) = stack.pop() {
            if !std::mem::replace(&mut seen[node], true) {
                stack.extend(&neighbours[node]);
            }
        }
    }
    count
}

/// Each thread pushes its items, and pops as many, whosever they are.
fn lock_free_stack(items: usize, threads: usize) -> u64 {
    const NONE: u32 = u32::MAX;
    let next: Vec<AtomicU32> = (0..items).map(|_| AtomicU32::new(NONE)).collect();
    // The top in the low half, and a number in the high one that changes with each pop: so
    // a top that went and came back is not taken for one that stayed.
    let top = AtomicU64::new(NONE.into());
    let sum = AtomicU64::new(0);
    together(threads, |thread| {
        let own = share(thread, threads, items);
        for chunk in own.collect::<Vec<_>>().chunks(8) {
            for &item in chunk {
                let mut before = top.load(SeqCst);
                loop {
                    next[item].store(before as u32, SeqCst);
                    let after = before >> 32 << 32 | item as u64;
                    match top.compare_exchange(before, after, SeqCst, SeqCst) {
                        Ok(_) => break,
                        Err(now) => before = now,
                    }
                }
            }
            for _ in chunk {
                let mut before = top.load(SeqCst);
                // All that were pushed are either here or popped, so it is not empty for long.
                while before as u32 == NONE || {
                    let below = next[before as u32 as usize].load(SeqCst);
                    let after = ((before >> 32) + 1) << 32 | u64::from(below);
                    top.compare_exchange(before, after, SeqCst, SeqCst).is_err()
                } {
                    before = top.load(SeqCst);
                }
                sum.fetch_add(hash(before as u32 as usize), SeqCst);
            }
        }
    });
    sum.into_inner()
}

/// Rows of 64 cells, as bits.
const ROWS: usize = 64;

fn next_row(above: u64, row: u64, below: u64) -> u64 {
    let around = [above, row, below].map(|row| [row.rotate_left(1), row, row.rotate_right(1)]);
    let mut counts = [0_u64; 4];
    for (line, cells) in around.iter().enumerate() {
        for (column, cells) in cells.iter().enumerate() {
            let mut carry = if (line, column) == (1, 1) { 0 } else { *cells };
            for count in &mut counts {
                (*count, carry) = (*count ^ carry, *count & carry);
            }
        }
    }
    counts[1] & !counts[2] & !counts[3] & (counts[0] | row)
}

fn life(generations: usize, threads: usize) -> u64 {
    let boards = [atomics(ROWS), atomics(ROWS)];
    boards[0].iter().enumerate().for_each(|(row, cells)| cells.store(hash(row), SeqCst));
    let barrier = Barrier::new(threads as u32);
    together(threads, |thread| {
        for generation in 0..generations {
            let [before, after] = [&boards[generation % 2], &boards[(generation + 1) % 2]];
            let at = |row: usize| before[row % ROWS].load(SeqCst);
            for row in share(thread, threads, ROWS) {
                after[row].store(next_row(at(row + ROWS - 1), at(row), at(row + 1)), SeqCst);
            }
            barrier.wait();
        }
    });
    fold_atomics(&boards[generations % 2])
}

fn life_alone(generations: usize) -> u64 {
    let mut board: Vec<u64> = (0..ROWS).map(hash).collect();
    for _ in 0..generations {
        let at = |row: usize| board[row % ROWS];
        board = (0..ROWS).map(|row| next_row(at(row + ROWS - 1), at(row), at(row + 1))).collect();
    }
    fold(board)
}

/// As many seats as guests, so in the end all are taken, each once.
fn seat_booking(guests: usize, threads: usize) -> u64 {
    let rows = atomics(guests.div_ceil(64));
    let is_seat = |seat: usize| seat < guests;
    let sum = AtomicU64::new(0);
    together(threads, |thread| {
        for guest in share(thread, threads, guests) {
            let first = hash(guest) as usize % rows.len();
            let seat = (0..rows.len()).map(|row| (first + row) % rows.len()).find_map(|row| {
                let mut taken = rows[row].load(SeqCst);
                loop {
                    let free = taken.trailing_ones() as usize;
                    if free == 64 || !is_seat(64 * row + free) {
                        return None;
                    }
                    match rows[row].compare_exchange(taken, taken | 1 << free, SeqCst, SeqCst) {
                        Ok(_) => return Some(64 * row + free),
                        Err(now) => taken = now,
                    }
                }
            });
            sum.fetch_add(seat.map_or(0, hash), SeqCst);
        }
    });
    sum.into_inner()
}

fn prefix_doubling(count: usize, threads: usize) -> u64 {
    let sums = [atomics(count), atomics(count)];
    sums[0].iter().enumerate().for_each(|(index, sum)| sum.store(hash(index), SeqCst));
    let barrier = Barrier::new(threads as u32);
    let rounds = count.next_power_of_two().ilog2() as usize;
    together(threads, |thread| {
        for round in 0..rounds {
            let [before, after] = [&sums[round % 2], &sums[(round + 1) % 2]];
            for index in count * thread / threads..count * (thread + 1) / threads {
                let earlier = index.checked_sub(1 << round).map_or(0, |i| before[i].load(SeqCst));
                after[index].store(before[index].load(SeqCst).wrapping_add(earlier), SeqCst);
            }
            barrier.wait();
        }
    });
    fold_atomics(&sums[rounds % 2])
}

fn prefix_sums(count: usize) -> u64 {
    let sums = (0..count).map(hash).scan(0_u64, |sum, number| {
        *sum = sum.wrapping_add(number);
        Some(*sum)
    });
    fold(sums)
}

/// Four edges from each node, most of them short: where to, and how long.
fn roads(node: usize, nodes: usize) -> [(usize, u64); 4] {
    let bits = hash(node);
    let near = |shift: u32| (node + 1 + (bits >> shift) as usize % 50) % nodes;
    let length = |shift: u32| bits >> shift & 0xff;
    let far = (bits >> 20) as usize % nodes;
    [(near(0), length(8)), (near(10), length(18)), (near(16), length(28)), (far, 200 + length(40))]
}

fn shortest_paths(nodes: usize, threads: usize) -> u64 {
    let distances: Vec<AtomicU64> = (0..nodes).map(|_| AtomicU64::new(u64::MAX)).collect();
    distances[0].store(0, SeqCst);
    // In which round something changed last.
    let changed = AtomicUsize::new(0);
    let barrier = Barrier::new(threads as u32);
    together(threads, |thread| {
        for round in 1.. {
            for node in nodes * thread / threads..nodes * (thread + 1) / threads {
                let here = distances[node].load(SeqCst);
                for (to, length) in roads(node, nodes) {
                    let there = here.saturating_add(length);
                    if there < distances[to].fetch_min(there, SeqCst) {
                        changed.fetch_max(round, SeqCst);
                    }
                }
            }
            barrier.wait();
            let is_over = changed.load(SeqCst) < round;
            // Nobody begins the next round before all have looked.
            barrier.wait();
            if is_over {
                return;
            }
        }
    });
    fold_atomics(&distances)
}

fn shortest_paths_by_queue(nodes: usize) -> u64 {
    let mut distances = vec![u64::MAX; nodes];
    distances[0] = 0;
    let mut queue = std::collections::BTreeSet::from([(0, 0)]);
    while let Some((here, node)) = queue.pop_first() {
        for (to, length) in roads(node, nodes) {
            if here + length < distances[to] {
                queue.remove(&(distances[to], to));
                distances[to] = here + length;
                queue.insert((distances[to], to));
            }
        }
    }
    fold(distances)
}

fn breadth_first(nodes: usize, threads: usize) -> u64 {
    let levels: Vec<AtomicU64> = (0..nodes).map(|_| AtomicU64::new(u64::MAX)).collect();
    levels[0].store(0, SeqCst);
    let frontiers = [RwLock::new(vec![0]), RwLock::new(Vec::new())];
    let barrier = Barrier::new(threads as u32);
    together(threads, |thread| {
        for level in 0.. {
            let [now, next] = [&frontiers[level % 2], &frontiers[(level + 1) % 2]];
            let mut found = Vec::new();
            let frontier = now.read();
            for index in share(thread, threads, frontier.len()) {
                for (to, _) in roads(frontier[index], nodes) {
                    let there = level as u64 + 1;
                    if levels[to].compare_exchange(u64::MAX, there, SeqCst, SeqCst).is_ok() {
                        found.push(to);
                    }
                }
            }
            let is_over = frontier.is_empty();
            drop(frontier);
            next.write().append(&mut found);
            if barrier.wait().is_leader() {
                now.write().clear();
            }
            barrier.wait();
            if is_over {
                return;
            }
        }
    });
    fold_atomics(&levels)
}

fn breadth_first_by_queue(nodes: usize) -> u64 {
    let mut levels = vec![u64::MAX; nodes];
    levels[0] = 0;
    let mut queue = VecDeque::from([0]);
    while let Some(node) = queue.pop_front() {
        for (to, _) in roads(node, nodes) {
            if levels[to] == u64::MAX {
                levels[to] = levels[node] + 1;
                queue.push_back(to);
            }
        }
    }
    fold(levels)
}
