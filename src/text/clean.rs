//! Which sentence pairs are too odd to learn from? Moses' `clean-corpus-n.perl`.

use serde::{Deserialize, Serialize};

/// The lengths, in words, that a training pair may have. Without any limit every pair passes; with one, a pair with an
/// empty side never does.
///
/// ```
/// use nmt::text::{LengthFilter, Misfit};
/// let filter = LengthFilter { min: Some(1), max: Some(175), ratio: Some(1.5) };
/// assert_eq!(filter.misfit(2, 3), None); // 3 / 2 is not above 1.5
/// assert_eq!(filter.misfit(4, 2), Some(Misfit::Ratio));
/// assert_eq!(filter.misfit(176, 170), Some(Misfit::TooLong));
/// assert_eq!(filter.misfit(0, 1), Some(Misfit::Empty));
/// assert_eq!(LengthFilter::default().misfit(0, 1), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LengthFilter {
    /// The fewest words of a side.
    pub min: Option<usize>,
    /// The most words of a side.
    pub max: Option<usize>,
    /// The most words of a side for every word of the other.
    pub ratio: Option<f64>,
}

/// Why a pair is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// A side has no words.
    Empty,
    /// A side has fewer words than the minimum.
    TooShort,
    /// A side has more words than the maximum.
    TooLong,
    /// A side is too long for the other.
    Ratio,
}

impl LengthFilter {
    /// Why a pair of so many words does not pass; none when it does. The reasons are tried in the order of [`Misfit`].
    pub fn misfit(&self, source_words: usize, target_words: usize) -> Option<Misfit> {
        if *self == LengthFilter::default() {
            return None;
        }
        let (shorter, longer) = (source_words.min(target_words), source_words.max(target_words));
        if shorter == 0 {
            Some(Misfit::Empty)
        } else if self.min.is_some_and(|min| shorter < min) {
            Some(Misfit::TooShort)
        } else if self.max.is_some_and(|max| longer > max) {
            Some(Misfit::TooLong)
        } else if self.ratio.is_some_and(|ratio| longer as f64 / shorter as f64 > ratio) {
            Some(Misfit::Ratio)
        } else {
            None
        }
    }
}
