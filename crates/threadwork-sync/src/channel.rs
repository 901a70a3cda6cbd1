//! Channels for many senders and receivers: [`bounded`] and [`unbounded`].
//!
//! Messages are received in the order in which they were sent, each by one receiver.
//! Sending to a full channel waits, and so does receiving from an empty one: blocking,
//! with a timeout, or as a future. When all senders are gone, or one end has
//! [closed](Receiver::close) the channel, the receivers get what is still inside and then an
//! error; when all receivers are gone, what is inside is dropped and sending fails.
//!
//! To wait for several channels, or for a channel and something else, is to
//! [`select`](crate::select) among their futures.
//!
//! There is no channel of capacity 0, where a sender waits for a receiver to take over
//! (a rendezvous): send a reply channel, or a [`Latch`](crate::Latch), with the message. A
//! channel for one message (`oneshot`) is `bounded(1)`.
//!
//! # Example
//!
//! ```
//! use threadwork_sync::channel;
//!
//! let (sender, receiver) = channel::bounded(16);
//! std::thread::scope(|scope| {
//!     for start in [0, 100] {
//!         let sender = sender.clone();
//!         scope.spawn(move || (start..start + 100).for_each(|n| sender.send(n).unwrap()));
//!     }
//!     drop(sender);
//!     assert_eq!(receiver.iter().sum::<u32>(), (0..200).sum());
//! });
//! ```

mod error;
mod queue;
mod ring;

use core::fmt;
use core::future::Future;
use core::iter::FusedIterator;
use core::ops::Deref;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use core::time::Duration;

use alloc::boxed::Box;

pub use self::error::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};
use self::queue::{Popping, Queue};
use self::ring::{Blocked, End, Refusal, Ring};
use crate::futex::Patience;
use crate::primitive::AtomicU32;
use crate::system::System;
use crate::wait::Wait;
use crate::waiter::{Map, Resumed, Step, Waiter, block, block_forever};

/// How often a thread that is blocked leaves the processor to others before it waits. If
/// they are of the other end, they fill or empty more than one slot meanwhile, and
/// nobody has to be woken for each. It looks before that, too, since they may be at it on
/// another core. crossbeam's number.
const YIELDS: u32 = if cfg!(any(loom, not(feature = "std"))) {
    0
} else {
    4
};

/// A channel that holds up to `capacity` messages.
///
/// Everything is allocated here; sending and receiving allocate nothing.
///
/// # Panics
///
/// When `capacity` is 0 (use 1), or over 2^30.
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    channel(Flavor::Bounded(Ring::new(capacity)))
}

/// A channel that holds as many messages as there is memory for. To send never waits, so
/// a sender that is faster than the receivers fills the memory: prefer [`bounded`].
///
/// Sending allocates now and then, under a lock.
///
/// # Example
///
/// ```
/// use threadwork_sync::channel;
///
/// let (sender, receiver) = channel::unbounded();
/// (0..1_000).for_each(|n| sender.send(n).unwrap());
/// receiver.close();
/// assert!(sender.send(1_000).is_err());
/// assert_eq!(receiver.iter().count(), 1_000);
/// ```
#[must_use]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(Flavor::Unbounded(Queue::new()))
}

fn channel<T>(flavor: Flavor<T>) -> (Sender<T>, Receiver<T>) {
    let shared = NonNull::from(Box::leak(Box::new(Shared {
        flavor,
        senders: AtomicU32::new(1),
        receivers: AtomicU32::new(1),
        ends: AtomicU32::new(2),
    })));
    let sender = Sender {
        shared: Handle { shared },
    };
    let receiver = Receiver {
        shared: Handle { shared },
    };
    (sender, receiver)
}

/// A channel with its counts.
struct Shared<T> {
    flavor: Flavor<T>,
    senders: AtomicU32,
    receivers: AtomicU32,
    /// The ends that still have members. Who takes the last one frees the channel.
    ends: AtomicU32,
}

/// Where the messages are.
#[expect(
    clippy::large_enum_variant,
    reason = "one for each channel, in its box"
)]
enum Flavor<T> {
    Bounded(Ring<T>),
    Unbounded(Queue<T>),
}

/// A pointer to a channel that is counted.
struct Handle<T> {
    shared: NonNull<Shared<T>>,
}

// SAFETY: a channel moves messages between threads, so T is Send. It never gives two
// threads one message, so T need not be Sync.
unsafe impl<T: Send> Send for Handle<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Handle<T> {}

impl<T> UnwindSafe for Handle<T> {}
impl<T> RefUnwindSafe for Handle<T> {}

impl<T> Deref for Handle<T> {
    type Target = Shared<T>;

    #[inline]
    fn deref(&self) -> &Shared<T> {
        // SAFETY: the channel is not freed while a handle is counted.
        unsafe { self.shared.as_ref() }
    }
}

impl<T> Handle<T> {
    fn count(end: &AtomicU32) {
        // Ordering: Relaxed; whoever clones has a handle, so the channel stays.
        let before = end.fetch_add(1, Ordering::Relaxed);
        if before > u32::MAX / 2 {
            // Ordering: Relaxed; as above.
            end.fetch_sub(1, Ordering::Relaxed);
            panic!("a channel has more than 2^31 handles: some are leaked, drop them");
        }
    }

    /// Whether the caller was the last of its end.
    fn uncount(end: &AtomicU32) -> bool {
        // Ordering: AcqRel; the last one sees all that the others did, so that the end is
        // done with the channel.
        end.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// # Safety
    ///
    /// The caller was the last of its end, and calls this once, and last.
    unsafe fn leave(&self) {
        // Ordering: AcqRel; the second end sees all that the first did.
        if self.ends.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: it comes from a box, and no handle of either end is left.
            drop(unsafe { Box::from_raw(self.shared.as_ptr()) });
        }
    }
}

/// The sending end of a channel; cloned for each further sender.
pub struct Sender<T> {
    shared: Handle<T>,
}

impl<T> Sender<T> {
    /// Sends `message`. Blocks while the channel is full.
    ///
    /// # Errors
    ///
    /// The message, if all receivers are gone. (It may also be dropped unseen if they go
    /// right afterwards.)
    #[inline]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        match self.try_send(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(message)) => self.send_slowly(message),
            Err(TrySendError::Disconnected(message)) => Err(SendError(message)),
        }
    }

    #[cold]
    fn send_slowly(&self, message: T) -> Result<(), SendError<T>> {
        block_forever(&System, self.sending(message, YIELDS))
            .map_err(|error| SendError(error.into_inner()))
    }

    /// Sends `message` if the channel is not full. Never blocks.
    ///
    /// # Errors
    ///
    /// The message, if the channel is full or all receivers are gone.
    #[inline]
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        match &self.shared.flavor {
            Flavor::Bounded(ring) => match ring.claim_free() {
                Ok(claim) => {
                    ring.put(claim, message);
                    Ok(())
                }
                Err(Refusal::Blocked(_)) => Err(TrySendError::Full(message)),
                Err(Refusal::Closed) => Err(TrySendError::Disconnected(message)),
            },
            Flavor::Unbounded(queue) => queue.push(message).map_err(TrySendError::Disconnected),
        }
    }

    /// Sends `message`, or gives up after `timeout`.
    ///
    /// # Errors
    ///
    /// The message, if the channel stayed full or all receivers are gone.
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        block(&System, self.sending(message, YIELDS), Some(timeout))
            .unwrap_or_else(|| unreachable!("one that gives up returns the message"))
    }

    /// Sends `message`, or gives up at `deadline`.
    ///
    /// # Errors
    ///
    /// As [`send_timeout`](Self::send_timeout).
    #[cfg(feature = "std")]
    pub fn send_deadline(
        &self,
        message: T,
        deadline: std::time::Instant,
    ) -> Result<(), SendTimeoutError<T>> {
        self.send_timeout(
            message,
            deadline.saturating_duration_since(std::time::Instant::now()),
        )
    }

    /// Sends `message` without blocking the thread. A future that is dropped drops the
    /// message if it is not sent.
    ///
    /// # Errors
    ///
    /// The message, if all receivers are gone.
    ///
    /// # Example
    ///
    /// ```
    /// # use std::{pin::pin, task::{Context, Poll, Waker}};
    /// use threadwork_sync::channel;
    ///
    /// let (sender, receiver) = channel::bounded(1);
    /// let mut context = Context::from_waker(Waker::noop());
    /// sender.send(1).unwrap();
    /// let mut second = pin!(sender.send_async(2));
    /// assert_eq!(second.as_mut().poll(&mut context), Poll::Pending);
    /// assert_eq!(receiver.recv(), Ok(1));
    /// assert_eq!(second.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    /// ```
    pub fn send_async(&self, message: T) -> impl Future<Output = Result<(), SendError<T>>> {
        Wait::new(Map::new(
            self.sending(message, 0),
            |result: Result<(), SendTimeoutError<T>>| {
                result.map_err(|error| SendError(error.into_inner()))
            },
        ))
    }

    fn sending(&self, message: T, yields: u32) -> Sending<'_, T> {
        let to = match &self.shared.flavor {
            Flavor::Bounded(ring) => To::Ring(EndWaiter::new(ring, End::Sender, yields)),
            Flavor::Unbounded(queue) => To::Queue(queue),
        };
        Sending {
            to,
            message: Some(message),
        }
    }

    /// Whether all receivers are gone, or the channel was closed.
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        self.shared.flavor.is_closed()
    }
}

impl<T> Clone for Sender<T> {
    /// # Panics
    ///
    /// When there are 2^31 senders.
    fn clone(&self) -> Self {
        Handle::<T>::count(&self.shared.senders);
        let shared = self.shared.shared;
        Sender {
            shared: Handle { shared },
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if Handle::<T>::uncount(&self.shared.senders) {
            self.shared.flavor.close();
            // SAFETY: this was the last sender, and is gone with this.
            unsafe { self.shared.leave() };
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt_as("Sender", f)
    }
}

/// The receiving end of a channel; cloned for each further receiver.
pub struct Receiver<T> {
    shared: Handle<T>,
}

impl<T> Receiver<T> {
    /// Receives a message. Blocks while the channel is empty.
    ///
    /// # Errors
    ///
    /// If the channel is empty and all senders are gone.
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        match self.try_recv() {
            Ok(message) => Ok(message),
            Err(TryRecvError::Empty) => self.recv_slowly(),
            Err(TryRecvError::Disconnected) => Err(RecvError),
        }
    }

    #[cold]
    fn recv_slowly(&self) -> Result<T, RecvError> {
        block_forever(&System, self.receiving(YIELDS))
    }

    /// Receives a message if there is one. Never blocks.
    ///
    /// # Errors
    ///
    /// If the channel is empty, and whether a message can come yet.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match &self.shared.flavor {
            Flavor::Bounded(ring) => match ring.claim_full() {
                Ok(claim) => Ok(ring.take(claim)),
                Err(Refusal::Blocked(_)) => Err(TryRecvError::Empty),
                Err(Refusal::Closed) => Err(TryRecvError::Disconnected),
            },
            Flavor::Unbounded(queue) => queue.pop(),
        }
    }

    /// Receives a message, or gives up after `timeout`.
    ///
    /// # Errors
    ///
    /// If the channel stayed empty, or is empty and all senders are gone.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        match block(&System, self.receiving(YIELDS), Some(timeout)) {
            Some(Ok(message)) => Ok(message),
            Some(Err(RecvError)) => Err(RecvTimeoutError::Disconnected),
            None => Err(RecvTimeoutError::Timeout),
        }
    }

    /// Receives a message, or gives up at `deadline`.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Self::recv_timeout).
    #[cfg(feature = "std")]
    pub fn recv_deadline(&self, deadline: std::time::Instant) -> Result<T, RecvTimeoutError> {
        self.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now()))
    }

    /// Receives a message without blocking the thread. Dropping the future loses none.
    ///
    /// # Errors
    ///
    /// If the channel is empty and all senders are gone.
    pub fn recv_async(&self) -> impl Future<Output = Result<T, RecvError>> {
        Wait::new(self.receiving(0))
    }

    fn receiving(&self, yields: u32) -> Receiving<'_, T> {
        match &self.shared.flavor {
            Flavor::Bounded(ring) => {
                Receiving::FromRing(EndWaiter::new(ring, End::Receiver, yields))
            }
            Flavor::Unbounded(queue) => Receiving::FromQueue(queue.popping()),
        }
    }

    /// The messages from now on, until the channel is empty and all senders are gone.
    /// Blocks for each.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// The messages that are there, until the channel is empty. Never blocks.
    ///
    /// # Example
    ///
    /// ```
    /// use threadwork_sync::channel;
    ///
    /// let (sender, receiver) = channel::bounded(4);
    /// (1..4).for_each(|n| sender.send(n).unwrap());
    /// assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    /// Whether all senders are gone, or the channel was closed. Messages may still be inside.
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        self.shared.flavor.is_closed()
    }
}

impl<T> Clone for Receiver<T> {
    /// # Panics
    ///
    /// When there are 2^31 receivers.
    fn clone(&self) -> Self {
        Handle::<T>::count(&self.shared.receivers);
        let shared = self.shared.shared;
        Receiver {
            shared: Handle { shared },
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if Handle::<T>::uncount(&self.shared.receivers) {
            self.shared.flavor.close();
            let last = Last { receiver: self };
            last.drop_messages();
        }
    }
}

/// The last receiver on its way out.
struct Last<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T> Last<'_, T> {
    /// A message may own what somebody waits for, such as a sender of replies. So it goes
    /// now, not when the last sender does.
    fn drop_messages(&self) {
        self.receiver.try_iter().for_each(drop);
    }
}

impl<T> Drop for Last<'_, T> {
    fn drop(&mut self) {
        // There are some left if one has panicked. As of a `Vec`, a second panic ends the
        // program.
        self.drop_messages();
        // SAFETY: this was the last receiver, and is gone with this.
        unsafe { self.receiver.shared.leave() };
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt_as("Receiver", f)
    }
}

/// What both ends tell.
macro_rules! measures {
    ($end:ident) => {
        impl<T> $end<T> {
            /// Closes the channel, for all senders and receivers: nobody can send any more,
            /// and what is inside can still be received. Wakes everybody who waits. Never
            /// blocks. Returns whether it was open.
            ///
            /// # Example
            ///
            /// ```
            /// use threadwork_sync::channel::{self, RecvError};
            ///
            /// let (sender, receiver) = channel::bounded(2);
            /// sender.send(1).unwrap();
            /// assert!(receiver.close());
            /// assert!(sender.send(2).is_err());
            /// assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Err(RecvError)));
            /// ```
            pub fn close(&self) -> bool {
                self.shared.flavor.close()
            }

            /// Whether `other` is of the same channel.
            #[must_use]
            pub fn same_channel(&self, other: &Self) -> bool {
                self.shared.shared == other.shared.shared
            }

            /// The number of messages inside at this moment.
            #[must_use]
            pub fn len(&self) -> usize {
                self.shared.flavor.len()
            }

            /// Whether there is none.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Whether there is no room for another.
            #[must_use]
            pub fn is_full(&self) -> bool {
                Some(self.len()) == self.capacity()
            }

            /// The number of messages that there is room for; `None` if the channel is
            /// unbounded.
            #[must_use]
            pub fn capacity(&self) -> Option<usize> {
                self.shared.flavor.capacity()
            }
        }
    };
}

measures!(Sender);
measures!(Receiver);

impl<T> Shared<T> {
    fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("len", &self.flavor.len())
            .field("capacity", &self.flavor.capacity())
            .field("disconnected", &self.flavor.is_closed())
            .finish_non_exhaustive()
    }
}

impl<T> Flavor<T> {
    fn close(&self) -> bool {
        match self {
            Flavor::Bounded(ring) => ring.close(),
            Flavor::Unbounded(queue) => queue.close(),
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Flavor::Bounded(ring) => ring.is_closed(),
            Flavor::Unbounded(queue) => queue.is_closed(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Flavor::Bounded(ring) => ring.len(),
            Flavor::Unbounded(queue) => queue.len(),
        }
    }

    fn capacity(&self) -> Option<usize> {
        match self {
            Flavor::Bounded(ring) => Some(ring.capacity()),
            Flavor::Unbounded(_) => None,
        }
    }
}

/// Who waits, or is about to, at one end of a ring.
struct EndWaiter<'a, T> {
    ring: &'a Ring<T>,
    end: End,
    counted: bool,
    /// What it does when it is blocked.
    next: Attempt,
    /// How often it leaves the processor to others each time: never for futures, whose
    /// thread has other things to do.
    yields: u32,
}

/// What comes before a sleep.
#[derive(Clone, Copy)]
enum Attempt {
    /// A short watch: who is awaited may be at it just now, on another core.
    Watch,
    /// Or want this core, so many times more; and then, a longer watch.
    Yield(u32),
    Sleep,
}

impl<'a, T> EndWaiter<'a, T> {
    fn new(ring: &'a Ring<T>, end: End, yields: u32) -> Self {
        EndWaiter {
            ring,
            end,
            counted: false,
            next: Attempt::Watch,
            yields,
        }
    }

    /// What to do about having been blocked; nothing if it is worth another try.
    fn wait<O>(&mut self, blocked: &Blocked<'a>) -> Option<Step<'a, O>> {
        let watch = |patience| Some(Step::Watch(blocked.stamp, blocked.value, patience));
        match self.next {
            Attempt::Watch => {
                self.next = Attempt::Yield(self.yields);
                watch(Patience::Brief)
            }
            Attempt::Yield(0) => {
                self.next = Attempt::Sleep;
                watch(Patience::Long)
            }
            Attempt::Yield(left) => {
                self.next = Attempt::Yield(left - 1);
                #[cfg(feature = "std")]
                std::thread::yield_now();
                None
            }
            Attempt::Sleep => {
                if !self.counted {
                    self.ring.count(self.end);
                    self.counted = true;
                }
                let (sequence, value) = self.ring.announce(self.end, blocked)?;
                self.next = Attempt::Watch;
                Some(Step::Sleep(sequence, value))
            }
        }
    }

    fn leave(&mut self) {
        if self.counted {
            self.counted = false;
            self.ring.uncount(self.end);
        }
    }
}

struct Sending<'a, T> {
    to: To<'a, T>,
    /// `None` once it is sent.
    message: Option<T>,
}

enum To<'a, T> {
    Ring(EndWaiter<'a, T>),
    /// It never waits.
    Queue(&'a Queue<T>),
}

impl<T> Sending<'_, T> {
    fn message(&mut self) -> T {
        match self.message.take() {
            Some(message) => message,
            None => unreachable!("a waiter is not used after it is done"),
        }
    }

    fn leave(&mut self) {
        if let To::Ring(waiter) = &mut self.to {
            waiter.leave();
        }
    }
}

impl<'a, T> Waiter<'a> for Sending<'a, T> {
    type Output = Result<(), SendTimeoutError<T>>;

    fn step(&mut self, _resumed: Resumed) -> Step<'a, Self::Output> {
        let waiter = match &mut self.to {
            To::Ring(waiter) => waiter,
            To::Queue(queue) => {
                let queue = *queue;
                let sent = queue.push(self.message());
                return Step::Done(sent.map_err(SendTimeoutError::Disconnected));
            }
        };
        let ring = waiter.ring;
        let claim = loop {
            match ring.claim_free() {
                Ok(claim) => break Some(claim),
                Err(Refusal::Closed) => break None,
                Err(Refusal::Blocked(blocked)) => {
                    if let Some(step) = waiter.wait(&blocked) {
                        return step;
                    }
                }
            }
        };
        let message = self.message();
        let result = match claim {
            Some(claim) => {
                ring.put(claim, message);
                Ok(())
            }
            None => Err(SendTimeoutError::Disconnected(message)),
        };
        self.leave();
        Step::Done(result)
    }

    fn cancel(&mut self, _woken: bool) -> Option<Self::Output> {
        self.leave();
        Some(Err(SendTimeoutError::Timeout(self.message())))
    }
}

enum Receiving<'a, T> {
    FromRing(EndWaiter<'a, T>),
    FromQueue(Popping<'a, T>),
}

impl<'a, T> Waiter<'a> for Receiving<'a, T> {
    type Output = Result<T, RecvError>;

    fn step(&mut self, resumed: Resumed) -> Step<'a, Self::Output> {
        let waiter = match self {
            Receiving::FromRing(waiter) => waiter,
            Receiving::FromQueue(popping) => return popping.step(resumed),
        };
        let ring = waiter.ring;
        let result = loop {
            match ring.claim_full() {
                Ok(claim) => break Ok(ring.take(claim)),
                Err(Refusal::Closed) => break Err(RecvError),
                Err(Refusal::Blocked(blocked)) => {
                    if let Some(step) = waiter.wait(&blocked) {
                        return step;
                    }
                }
            }
        };
        waiter.leave();
        Step::Done(result)
    }

    fn cancel(&mut self, woken: bool) -> Option<Self::Output> {
        match self {
            Receiving::FromRing(waiter) => {
                waiter.leave();
                None
            }
            Receiving::FromQueue(popping) => popping.cancel(woken),
        }
    }
}

/// The messages of a [`Receiver`] ([`Receiver::iter`]).
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for Iter<'_, T> {}

/// The messages that a [`Receiver`] can have at once ([`Receiver::try_iter`]).
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

/// The messages of a channel, with the receiver.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for IntoIter<T> {}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}
