//! Random lock patterns: transfers between accounts, each of which has a lock.

use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::time::Duration;

use threadwork::sync::{Condvar, Mutex, MutexGuard, RwLock, lock_order};

use crate::case::{Case, Check, Property, Random};

pub(crate) const FAMILY: Property = Property {
    name: "random_lock_patterns",
    claim: "locks that are nested, tried, waited for and given up in random patterns lose no money",
    check,
    bugs: &["one-lock-of-two", "half-a-transfer"],
};

/// A lock, and beside it what it protects: a balance that is read and written in two
/// steps. It is an atomic so that a forgotten lock is a wrong number, and not undefined
/// behaviour.
#[derive(Default)]
struct Account {
    lock: Mutex<()>,
    balance: AtomicI32,
    /// Told when something comes in.
    paid_in: Condvar,
}

struct Bank {
    accounts: Vec<Account>,
    /// Held for reading during a transfer, and for writing to count all money.
    books: RwLock<()>,
    total: i32,
    one_lock_of_two: bool,
    half_a_transfer: bool,
}

const START: i32 = 100;
const SOON: Duration = Duration::from_micros(50);

fn check(case: &mut Case<'_>) -> Check {
    // Who gives up may take locks in any order. Lock checking reports it nevertheless.
    lock_order::set_handler(|_| {});
    let count = case.between(2, 8);
    let bank = Bank {
        accounts: (0..count).map(|_| Account::default()).collect(),
        books: RwLock::new(()),
        total: START * count as i32,
        one_lock_of_two: case.has_bug("one-lock-of-two"),
        half_a_transfer: case.has_bug("half-a-transfer"),
    };
    bank.accounts.iter().for_each(|account| account.balance.store(START, SeqCst));
    let (threads, rounds) = (case.between(2, 8), case.between(1, 40));
    case.on_threads(threads, |_, random| (0..rounds).try_for_each(|_| bank.round(random)))?;
    bank.count()
}

impl Bank {
    fn round(&self, random: &mut Random) -> Check {
        match random.below(8) {
            0 => return self.count(),
            1 => self.wait_for_a_payment(random),
            2..4 => self.try_to_transfer(random),
            _ => self.transfer(random),
        }
        Ok(())
    }

    /// Whenever nobody transfers, all money is there.
    fn count(&self) -> Check {
        let _books = self.books.write();
        let balances: Vec<i32> =
            self.accounts.iter().map(|account| account.balance.load(SeqCst)).collect();
        let total: i32 = balances.iter().sum();
        check!(total == self.total, "{balances:?} make {total}, not {}", self.total);
        Ok(())
    }

    /// Takes both locks, in ascending order.
    fn transfer(&self, random: &mut Random) {
        let _books = self.books.read();
        let (from, to) = self.two(random);
        let (low, high) = (from.min(to), from.max(to));
        let _low = self.accounts[low].lock.lock();
        random.pause();
        let _high = (!self.one_lock_of_two).then(|| self.accounts[high].lock.lock());
        self.move_money(from, to, random);
    }

    /// Takes both locks in any order, and gives up if the second is not free soon.
    fn try_to_transfer(&self, random: &mut Random) {
        let _books = self.books.read();
        let (from, to) = self.two(random);
        let Some(_from) = self.try_lock(from, random) else { return };
        random.pause();
        let second = self.try_lock(to, random);
        if second.is_some() {
            self.move_money(from, to, random);
        } else if self.half_a_transfer {
            self.accounts[from].balance.fetch_sub(1, SeqCst);
        }
    }

    fn try_lock(&self, account: usize, random: &mut Random) -> Option<MutexGuard<'_, ()>> {
        let lock = &self.accounts[account].lock;
        if random.one_in(2) { lock.try_lock() } else { lock.lock_timeout(SOON) }
    }

    /// The caller holds both locks.
    fn move_money(&self, from: usize, to: usize, random: &mut Random) {
        let amount = random.between(1, 50) as i32;
        for (account, change) in [(from, -amount), (to, amount)] {
            let balance = &self.accounts[account].balance;
            let before = balance.load(SeqCst);
            random.pause();
            balance.store(before + change, SeqCst);
        }
        if random.one_in(2) {
            self.accounts[to].paid_in.notify_one();
        } else {
            self.accounts[to].paid_in.notify_all();
        }
    }

    /// Waits for a moment, perhaps in vain.
    fn wait_for_a_payment(&self, random: &mut Random) {
        let account = random.pick(&self.accounts);
        let guard = account.lock.lock();
        let before = account.balance.load(SeqCst);
        drop(
            account
                .paid_in
                .wait_timeout_while(guard, SOON, |()| account.balance.load(SeqCst) == before),
        );
    }

    /// Two different accounts.
    fn two(&self, random: &mut Random) -> (usize, usize) {
        let count = self.accounts.len() as u32;
        let from = random.below(count);
        let to = (from + random.between(1, count - 1)) % count;
        (from as usize, to as usize)
    }
}
