//! Which distinct words, or pieces of words, does the text have, and how often?

use foldhash::fast::RandomState;
use indexmap::IndexMap;

/// Distinct words, numbered from 0 in the order in which they were added, each with its counts on the source and on
/// the target side.
#[derive(Default)]
pub struct Vocabulary(IndexMap<Box<str>, [u64; 2], RandomState>);

impl Vocabulary {
    /// The number of a word, which is added when it is new, with a count of 0.
    pub fn id(&mut self, word: &str) -> u32 {
        let id = self.0.get_index_of(word).unwrap_or_else(|| self.0.insert_full(Box::from(word), [0; 2]).0);
        // The memory for 2^32 words is beyond any machine that this runs on.
        id as u32
    }

    /// Add the occurrences of another vocabulary's word on both sides.
    pub fn count(&mut self, id: u32, times: [u64; 2]) {
        if let Some((_, counts)) = self.0.get_index_mut(id as usize) {
            counts.iter_mut().zip(times).for_each(|(count, times)| *count += times);
        }
    }

    /// Add an occurrence on a side (0: source, 1: target).
    pub fn count_once(&mut self, id: u32, side: usize) {
        let once = if side == 0 { [1, 0] } else { [0, 1] };
        self.count(id, once);
    }

    /// The word of a number.
    pub fn word(&self, id: u32) -> &str {
        self.0.get_index(id as usize).map_or("", |(word, _)| word)
    }

    /// The words in the order of their numbers.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(AsRef::as_ref)
    }

    /// The words in the order of their numbers, with their counts on both sides.
    pub fn iter(&self) -> impl Iterator<Item = (&str, [u64; 2])> {
        self.0.iter().map(|(word, counts)| (word.as_ref(), *counts))
    }

    /// The words that occur on the sides that `counted` adds up, with what it gives.
    pub fn counts(&self, counted: impl Fn([u64; 2]) -> u64) -> impl Iterator<Item = (&str, u64)> {
        self.iter().map(move |(word, sides)| (word, counted(sides))).filter(|(_, count)| *count > 0)
    }
}

/// The counts of both sides together.
pub fn both([source, target]: [u64; 2]) -> u64 {
    source + target
}
