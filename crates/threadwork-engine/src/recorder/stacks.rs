//! [`Stacks`]: each stack once, by a number.

use super::bounds::MOST_STACKS;
use std::collections::HashMap;
use std::sync::Arc;

/// Stands for all stacks beyond those that are told apart.
pub(crate) const MORE_STACKS: u32 = u32::MAX >> 12;

/// Stacks by their numbers, from 1; 0 is one that is empty, or not known.
#[derive(Default)]
pub(crate) struct Stacks {
    numbers: HashMap<Arc<[usize]>, u32>,
    stacks: Vec<Arc<[usize]>>,
}

impl Stacks {
    /// The number of these frames.
    pub(super) fn number(&mut self, frames: &[usize]) -> u32 {
        if frames.is_empty() {
            return 0;
        }
        if let Some(number) = self.numbers.get(frames) {
            return *number;
        }
        if self.stacks.len() >= MOST_STACKS {
            return MORE_STACKS;
        }
        let frames: Arc<[usize]> = frames.into();
        self.stacks.push(Arc::clone(&frames));
        // Far fewer than 2^32.
        let number = self.stacks.len() as u32;
        self.numbers.insert(frames, number);
        number
    }

    /// The frames, the newest first; empty if they are not known.
    pub(crate) fn frames(&self, number: u32) -> &[usize] {
        let at = (number as usize).checked_sub(1);
        at.and_then(|at| self.stacks.get(at))
            .map_or(&[], |stack| stack)
    }
}
