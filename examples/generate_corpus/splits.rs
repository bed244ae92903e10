//! Which value belongs to which split, and the drawing of a split's sentence pairs.

use std::collections::HashSet;

use nmt::error::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::sentences::{fill, frames};
use crate::values::{KINDS, Value, draw};

/// The parts of the corpus, in the order in which they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    Train,
    Valid,
    Test,
}

impl Split {
    /// The stem of the split's files.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Valid => "valid",
            Split::Test => "test",
        }
    }

    /// The one split that may hold the value, whatever the seed: by the first byte of the SHA-256 of its German words
    /// (nominative), 1 value in 16 is of the valid split and 1 in 16 of the test split. The words are hashed without
    /// the kind, so that 1984 as a year and 1984 as a number cannot fall apart where they are written alike.
    pub fn of(value: &Value) -> Split {
        match Sha256::digest(value.german.as_bytes())[0] {
            0..16 if !value.building_block => Split::Valid,
            16..32 if !value.building_block => Split::Test,
            _ => Split::Train,
        }
    }
}

/// A German sentence, its English translation and the value inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub german: String,
    pub english: String,
    pub value: Value,
}

/// How many draws in a row may bring nothing new before the split counts as exhausted.
const PATIENCE: usize = 2_000;

/// Draw `count` different pairs of a split. Each split has a random stream of its own, so that its pairs do not depend
/// on the sizes of the others.
///
/// # Errors
/// A usage error when the split has fewer different sentences than `count`, as far as drawing at random can find them.
pub fn pairs(split: Split, count: usize, seed: u64) -> Result<Vec<Pair>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(split as u64);
    different_pairs(split, count, || {
        let kind = KINDS[random.random_range(0..KINDS.len())];
        let value = draw(kind, &mut random);
        let frames = frames(kind);
        let (german, english) = fill(frames[random.random_range(0..frames.len())], &value);
        Pair { german, english, value }
    })
}

/// The first `count` different pairs of `draws` that belong to the split.
pub fn different_pairs(split: Split, count: usize, mut draws: impl FnMut() -> Pair) -> Result<Vec<Pair>> {
    let mut seen = HashSet::new();
    let mut pairs = Vec::new();
    let mut misses = 0;
    while pairs.len() < count {
        let pair = draws();
        if Split::of(&pair.value) == split && seen.insert(pair.german.clone()) {
            pairs.push(pair);
            misses = 0;
        } else {
            misses += 1;
        }
        if misses > PATIENCE {
            return Err(Error::usage(
                format!("--{} {count} is more than the {} different sentences found", split.name(), pairs.len()),
                "ask for fewer",
            ));
        }
    }
    Ok(pairs)
}
