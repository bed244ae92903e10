//! Which pieces is a word made of this time? BPE-dropout (Provilkov, Emelianenko and Voita 2020): at every step of the
//! encoding each merge that is possible is left out with a certain probability, so that a word has many segmentations.
//!
//! The dropout of the `tokenizers` crate cannot be seeded; this one gives a line of a text the same pieces every time.

use std::collections::HashMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::subword::{END_OF_WORD, Merge, show_pieces};
use crate::error::{Error, Result};

/// A byte-pair encoding that leaves merges out at random, as subword-nmt's `apply-bpe --dropout` does.
///
/// ```
/// use nmt::text::BpeDropout;
/// let merges = [("l", "o"), ("lo", "w</w>")].map(|(a, b)| (a.to_string(), b.to_string()));
/// assert_eq!(BpeDropout::new(&merges, 0.0, 1)?.segment("low lot", 0, 0), "low lo@@ t");
/// assert_eq!(BpeDropout::new(&merges, 1.0, 1)?.segment("low lot", 0, 0), "l@@ o@@ w l@@ o@@ t");
/// # Ok::<(), nmt::Error>(())
/// ```
#[derive(Debug)]
pub struct BpeDropout {
    ids: HashMap<String, u32>,
    /// Rank and result of the merge of two symbols.
    merges: HashMap<(u32, u32), (u32, u32)>,
    probability: f64,
    seed: u64,
}

/// A symbol in a word.
#[derive(Clone, Copy)]
struct Symbol {
    /// None for a character that no merge has.
    id: Option<u32>,
    /// The byte after it.
    end: usize,
}

impl BpeDropout {
    /// The encoding of `merges` (see [`Subword::merges`](super::Subword::merges)), each left out with this probability.
    ///
    /// # Errors
    /// [`Error::Usage`] for a probability that is not 0 to 1.
    pub fn new(merges: &[Merge], probability: f64, seed: u64) -> Result<BpeDropout> {
        if !(0.0..=1.0).contains(&probability) {
            return Err(Error::usage(
                format!("expected a probability of BPE-dropout from 0 to 1, found {probability}"),
                "0.1 is usual",
            ));
        }
        let mut ids = HashMap::new();
        let mut id = |symbol: String| {
            let next = ids.len() as u32;
            *ids.entry(symbol).or_insert(next)
        };
        let mut ranked = HashMap::new();
        for (rank, (first, second)) in merges.iter().enumerate() {
            let pair = (id(first.clone()), id(second.clone()));
            let merged = id(format!("{first}{second}"));
            ranked.entry(pair).or_insert((rank as u32, merged));
        }
        Ok(BpeDropout { ids, merges: ranked, probability, seed })
    }

    /// Line `number` of a text in pieces, shown as [`Subword::segment`](super::Subword::segment) does. Every `text` has
    /// random numbers of its own, and every line of it: the same text and number give the same pieces.
    pub fn segment(&self, line: &str, text: u64, number: u64) -> String {
        let mut key = [0; 32];
        for (part, value) in key.chunks_exact_mut(8).zip([self.seed, text]) {
            part.copy_from_slice(&value.to_le_bytes());
        }
        let mut random = ChaCha8Rng::from_seed(key);
        random.set_stream(number);
        show_pieces(line, |word| self.ends(word, &mut random))
    }

    /// Where the pieces of a word end.
    fn ends(&self, word: &str, random: &mut impl Rng) -> Vec<usize> {
        let mut symbols: Vec<Symbol> = Vec::new();
        for (start, character) in word.char_indices() {
            let end = start + character.len_utf8();
            let last = if end == word.len() { END_OF_WORD } else { "" };
            symbols.push(Symbol { id: self.ids.get(&format!("{character}{last}")).copied(), end });
        }
        loop {
            // The merges that are possible and not left out this time.
            let possible = symbols.windows(2).enumerate().filter_map(|(i, pair)| {
                let [first, second] = pair else { return None };
                let &(rank, merged) = self.merges.get(&(first.id?, second.id?))?;
                (random.random::<f64>() >= self.probability).then_some((rank, i, merged))
            });
            let possible: Vec<(u32, usize, u32)> = possible.collect();
            let Some(&(best, _, merged)) = possible.iter().min() else { break };
            let places = possible.iter().filter(|(rank, ..)| *rank == best).map(|&(_, i, _)| i);
            symbols = merge(&symbols, places, merged);
        }
        symbols.iter().map(|symbol| symbol.end).collect()
    }
}

/// Make one symbol of those at `i` and `i + 1` for each `i` of `places`; of places that overlap, the first counts.
fn merge(symbols: &[Symbol], places: impl Iterator<Item = usize>, merged: u32) -> Vec<Symbol> {
    let mut places = places.peekable();
    let mut after = Vec::with_capacity(symbols.len());
    let mut i = 0;
    while let Some(symbol) = symbols.get(i) {
        while places.next_if(|&place| place < i).is_some() {}
        match symbols.get(i + 1) {
            Some(second) if places.next_if_eq(&i).is_some() => {
                after.push(Symbol { id: Some(merged), end: second.end });
                i += 2;
            }
            _ => {
                after.push(*symbol);
                i += 1;
            }
        }
    }
    after
}
