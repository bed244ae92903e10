//! Which pairs of symbols are worth merging? The merges of subword-nmt's `learn-bpe`, in its order.
//!
//! The trainer of the `tokenizers` crate is not used: it numbers word-final symbols in the order of a randomly seeded
//! hash map and breaks ties by these numbers, so that two runs on one text give different merges.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::rc::Rc;

use foldhash::{HashMap, HashMapExt};

use super::subword::{END_OF_WORD, Merge};
use crate::error::Result;

type Pair = (u32, u32);

/// The `merges` most frequent merges (fewer when no pair is left that occurs twice): again and again the most frequent
/// pair of neighbouring symbols of the words, of equally frequent ones that which comes last by code points. `counts`
/// are distinct words and how often each occurs; their order makes no difference.
///
/// ```
/// let merges = nmt::text::learn_merges([("abab", 1), ("ab", 1)], 10, |_| Ok(()))?;
/// assert_eq!(merges, [("a".to_string(), "b</w>".to_string())]);
/// # Ok::<(), nmt::Error>(())
/// ```
///
/// # Errors
/// Those of `learnt`, which is called with the number of merges before each one is looked for.
pub fn learn_merges<'a>(
    counts: impl IntoIterator<Item = (&'a str, u64)>,
    merges: usize,
    mut learnt: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<Merge>> {
    let mut state = State::new(counts);
    let mut list = Vec::new();
    while list.len() < merges
        && let Some(candidate) = state.most_frequent()
    {
        learnt(list.len())?;
        list.push((candidate.first.to_string(), candidate.second.to_string()));
        state.merge(&candidate);
    }
    Ok(list)
}

struct State {
    words: Vec<Word>,
    symbols: Symbols,
    pairs: HashMap<Pair, Occurrences>,
    /// An entry that no longer holds is put right when it comes up.
    heap: BinaryHeap<Candidate>,
}

/// The symbols of a distinct word and how often it occurs.
struct Word {
    symbols: Vec<u32>,
    count: u64,
}

#[derive(Default)]
struct Occurrences {
    count: u64,
    /// The words that have the pair, and perhaps some that had it; a word may come twice.
    words: Vec<u32>,
}

/// A pair with its count, and its text to break ties.
struct Candidate {
    count: u64,
    first: Rc<str>,
    second: Rc<str>,
    pair: Pair,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Candidate) -> Ordering {
        let by_text = || self.first.cmp(&other.first).then_with(|| self.second.cmp(&other.second));
        self.count.cmp(&other.count).then_with(by_text)
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Candidate) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Candidate) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

/// Symbols by number and by text.
#[derive(Default)]
struct Symbols {
    texts: Vec<Rc<str>>,
    ids: HashMap<Rc<str>, u32>,
}

impl Symbols {
    fn id(&mut self, symbol: &str) -> u32 {
        if let Some(&id) = self.ids.get(symbol) {
            return id;
        }
        let (id, symbol) = (self.texts.len() as u32, Rc::<str>::from(symbol));
        self.texts.push(Rc::clone(&symbol));
        self.ids.insert(symbol, id);
        id
    }

    fn text(&self, id: u32) -> Rc<str> {
        self.texts.get(id as usize).cloned().unwrap_or_else(|| Rc::from(""))
    }
}

impl State {
    fn new<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>) -> State {
        let mut state =
            State { words: Vec::new(), symbols: Symbols::default(), pairs: HashMap::new(), heap: BinaryHeap::new() };
        // A character inside a word and one at its end are different symbols.
        let mut characters: [HashMap<char, u32>; 2] = [HashMap::new(), HashMap::new()];
        for (text, count) in counts {
            let mut symbols = Vec::new();
            let mut rest = text.chars();
            while let Some(character) = rest.next() {
                let last = rest.as_str().is_empty();
                let end = if last { END_OF_WORD } else { "" };
                let ids = &mut characters[usize::from(last)];
                symbols.push(*ids.entry(character).or_insert_with(|| state.symbols.id(&format!("{character}{end}"))));
            }
            let word = state.words.len() as u32;
            for pair in symbols.iter().copied().zip(symbols.iter().copied().skip(1)) {
                state.pairs.entry(pair).or_default().add(word, count);
            }
            state.words.push(Word { symbols, count });
        }
        let all: Vec<Pair> = state.pairs.keys().copied().collect();
        all.into_iter().for_each(|pair| state.announce(pair));
        state
    }

    fn count(&self, pair: Pair) -> u64 {
        self.pairs.get(&pair).map_or(0, |occurrences| occurrences.count)
    }

    /// Put the present count of a pair on the heap. A pair seen once is never merged.
    fn announce(&mut self, pair: Pair) {
        let count = self.count(pair);
        if count > 1 {
            let (first, second) = (self.symbols.text(pair.0), self.symbols.text(pair.1));
            self.heap.push(Candidate { count, first, second, pair });
        }
    }

    fn most_frequent(&mut self) -> Option<Candidate> {
        while let Some(candidate) = self.heap.pop() {
            let present = self.count(candidate.pair);
            if present == candidate.count {
                return Some(candidate);
            } else if present < candidate.count {
                self.announce(candidate.pair);
            }
        }
        None
    }

    /// Make one symbol of the pair wherever it stands.
    fn merge(&mut self, candidate: &Candidate) {
        let merged = self.symbols.id(&format!("{}{}", candidate.first, candidate.second));
        let words = self.pairs.remove(&candidate.pair).map(|occurrences| occurrences.words).unwrap_or_default();
        let (mut gone, mut new, mut risen) = (Vec::new(), Vec::new(), Vec::new());
        for id in words {
            let Some(word) = self.words.get_mut(id as usize) else { continue };
            gone.clear();
            new.clear();
            replace(&mut word.symbols, candidate.pair, merged, &mut gone, &mut new);
            for old in &gone {
                if let Some(occurrences) = self.pairs.get_mut(old) {
                    occurrences.count = occurrences.count.saturating_sub(word.count);
                }
            }
            for &pair in &new {
                self.pairs.entry(pair).or_default().add(id, word.count);
            }
            risen.extend_from_slice(&new);
        }
        risen.sort_unstable();
        risen.dedup();
        risen.into_iter().for_each(|pair| self.announce(pair));
    }
}

impl Occurrences {
    fn add(&mut self, word: u32, count: u64) {
        self.count += count;
        if self.words.last() != Some(&word) {
            self.words.push(word);
        }
    }
}

/// Replace every `pair` in `symbols`, from the left and without overlap, by `merged`. The neighbours that this parts go to
/// `gone`, those that it brings together to `new`.
fn replace(symbols: &mut Vec<u32>, pair: Pair, merged: u32, gone: &mut Vec<Pair>, new: &mut Vec<Pair>) {
    let (mut read, mut written) = (0, 0);
    // The symbol before: what it was, and what it is now.
    let mut before: Option<(u32, u32)> = None;
    let mut after_merge = false;
    while read < symbols.len() {
        let first = symbols[read];
        let merge = symbols.get(read + 1).is_some_and(|&second| (first, second) == pair);
        let symbol = if merge { merged } else { first };
        if let Some((was, is)) = before.filter(|_| merge || after_merge) {
            gone.push((was, first));
            new.push((is, symbol));
        }
        before = Some((if merge { pair.1 } else { first }, symbol));
        symbols[written] = symbol;
        written += 1;
        read += if merge { 2 } else { 1 };
        after_merge = merge;
    }
    symbols.truncate(written);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out by hand: 1 and 2 become 9.
    #[test]
    fn neighbours_change_only_beside_a_merge() {
        for (before, after, gone, new) in [
            (vec![3, 4, 1, 2, 5, 6], vec![3, 4, 9, 5, 6], vec![(4, 1), (2, 5)], vec![(4, 9), (9, 5)]),
            (vec![1, 2, 1, 2], vec![9, 9], vec![(2, 1)], vec![(9, 9)]),
            (vec![1, 2, 1], vec![9, 1], vec![(2, 1)], vec![(9, 1)]),
            (vec![1, 1, 2], vec![1, 9], vec![(1, 1)], vec![(1, 9)]),
            (vec![2, 1], vec![2, 1], vec![], vec![]),
        ] {
            let (mut symbols, mut parted, mut together) = (before.clone(), Vec::new(), Vec::new());
            replace(&mut symbols, (1, 2), 9, &mut parted, &mut together);
            assert_eq!((symbols, parted, together), (after, gone, new), "{before:?}");
        }
        // Overlapping pairs: the left one counts.
        let (mut symbols, mut parted, mut together) = (vec![7, 7, 7], Vec::new(), Vec::new());
        replace(&mut symbols, (7, 7), 9, &mut parted, &mut together);
        assert_eq!((symbols, parted, together), (vec![9, 7], vec![(7, 7)], vec![(9, 7)]));
    }
}
