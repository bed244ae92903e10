//! Which pairs of symbols are worth merging? The merges of subword-nmt's `learn-bpe`, in its order.
//!
//! The trainer of the `tokenizers` crate is not used: it numbers word-final symbols in the order of a randomly seeded
//! hash map and breaks ties by these numbers, so that two runs on one text give different merges.

use std::collections::{BinaryHeap, HashMap, HashSet};
use std::rc::Rc;

use super::subword::{END_OF_WORD, Merge};
use crate::error::Result;

type Pair = (u32, u32);

/// The `merges` most frequent merges (fewer when no pair is left that occurs twice): again and again the most frequent
/// pair of neighbouring symbols of the words, of equally frequent ones that which comes last by code points.
///
/// ```
/// let counts = [("abab", 1), ("ab", 1)].map(|(word, count)| (word.to_string(), count)).into();
/// let merges = nmt::text::learn_merges(&counts, 10, |_| Ok(()))?;
/// assert_eq!(merges, [("a".to_string(), "b</w>".to_string())]);
/// # Ok::<(), nmt::Error>(())
/// ```
///
/// # Errors
/// Those of `learnt`, which is called with the number of merges before each one is looked for.
pub fn learn_merges(
    counts: &HashMap<String, u64>,
    merges: usize,
    mut learnt: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<Merge>> {
    let mut state = State::new(counts);
    let mut list = Vec::new();
    while list.len() < merges
        && let Some(pair) = state.most_frequent()
    {
        learnt(list.len())?;
        list.push((state.symbol(pair.0).to_string(), state.symbol(pair.1).to_string()));
        state.merge(pair);
    }
    Ok(list)
}

struct State {
    /// The symbols of every distinct word and how often it occurs.
    words: Vec<(Vec<u32>, u64)>,
    symbols: Vec<Rc<str>>,
    ids: HashMap<Rc<str>, u32>,
    pairs: HashMap<Pair, Occurrences>,
    /// Counts of pairs, with the text of the pair to break ties. An entry that no longer holds is put right when it
    /// comes up.
    heap: BinaryHeap<(u64, Rc<str>, Rc<str>)>,
}

#[derive(Default)]
struct Occurrences {
    count: u64,
    /// The words that have the pair, and perhaps some that had it.
    words: HashSet<u32>,
}

impl State {
    fn new(counts: &HashMap<String, u64>) -> State {
        let mut state = State {
            words: Vec::with_capacity(counts.len()),
            symbols: Vec::new(),
            ids: HashMap::new(),
            pairs: HashMap::new(),
            heap: BinaryHeap::new(),
        };
        for (word, &count) in counts {
            let mut symbols = Vec::new();
            let mut characters = word.chars().peekable();
            while let Some(character) = characters.next() {
                let end = if characters.peek().is_none() { END_OF_WORD } else { "" };
                symbols.push(state.id(&format!("{character}{end}")));
            }
            state.words.push((symbols, count));
        }
        for (word, (symbols, count)) in state.words.iter().enumerate() {
            for pair in neighbours(symbols) {
                let occurrences = state.pairs.entry(pair).or_default();
                occurrences.count += count;
                occurrences.words.insert(word as u32);
            }
        }
        let all: Vec<Pair> = state.pairs.keys().copied().collect();
        all.into_iter().for_each(|pair| state.announce(pair));
        state
    }

    fn id(&mut self, symbol: &str) -> u32 {
        if let Some(&id) = self.ids.get(symbol) {
            return id;
        }
        let (id, symbol) = (self.symbols.len() as u32, Rc::<str>::from(symbol));
        self.symbols.push(Rc::clone(&symbol));
        self.ids.insert(symbol, id);
        id
    }

    fn symbol(&self, id: u32) -> Rc<str> {
        self.symbols.get(id as usize).cloned().unwrap_or_else(|| Rc::from(""))
    }

    fn count(&self, pair: Pair) -> u64 {
        self.pairs.get(&pair).map_or(0, |occurrences| occurrences.count)
    }

    /// Put the present count of a pair on the heap. A pair seen once is never merged.
    fn announce(&mut self, pair: Pair) {
        let count = self.count(pair);
        if count > 1 {
            self.heap.push((count, self.symbol(pair.0), self.symbol(pair.1)));
        }
    }

    fn most_frequent(&mut self) -> Option<Pair> {
        while let Some((count, first, second)) = self.heap.pop() {
            let (Some(&first), Some(&second)) = (self.ids.get(&first), self.ids.get(&second)) else { continue };
            let pair = (first, second);
            let present = self.count(pair);
            if present == count {
                return Some(pair);
            } else if present < count {
                self.announce(pair);
            }
        }
        None
    }

    /// Make one symbol of the pair wherever it stands.
    fn merge(&mut self, pair: Pair) {
        let merged = self.id(&format!("{}{}", self.symbol(pair.0), self.symbol(pair.1)));
        let words = self.pairs.remove(&pair).map(|occurrences| occurrences.words).unwrap_or_default();
        let mut risen = HashSet::new();
        for word in words {
            let Some((symbols, count)) = self.words.get_mut(word as usize) else { continue };
            let (before, count) = (std::mem::take(symbols), *count);
            let after = replace(&before, pair, merged);
            symbols.clone_from(&after);
            for old in neighbours(&before) {
                if let Some(occurrences) = self.pairs.get_mut(&old) {
                    occurrences.count = occurrences.count.saturating_sub(count);
                }
            }
            for new in neighbours(&after).filter(|&new| new != pair) {
                let occurrences = self.pairs.entry(new).or_default();
                occurrences.count += count;
                occurrences.words.insert(word);
                if new.0 == merged || new.1 == merged {
                    risen.insert(new);
                }
            }
        }
        risen.into_iter().for_each(|pair| self.announce(pair));
    }
}

fn neighbours(symbols: &[u32]) -> impl Iterator<Item = Pair> {
    symbols.iter().copied().zip(symbols.iter().copied().skip(1))
}

/// `symbols` with every `pair`, from the left and without overlap, replaced by `merged`.
fn replace(symbols: &[u32], pair: Pair, merged: u32) -> Vec<u32> {
    let mut replaced = Vec::with_capacity(symbols.len());
    let mut rest = symbols;
    while let [first, tail @ ..] = rest {
        match tail {
            [second, tail @ ..] if (*first, *second) == pair => {
                replaced.push(merged);
                rest = tail;
            }
            _ => {
                replaced.push(*first);
                rest = tail;
            }
        }
    }
    replaced
}
