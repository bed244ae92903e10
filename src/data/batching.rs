//! Which sentences go into which batch, and in which order? As fairseq does it.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};

/// How large a batch may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows times columns, the longer side counted, `</s>` included; `None`: no limit.
    pub max_tokens: Option<usize>,
    /// Rows; `None`: no limit.
    pub max_sentences: Option<usize>,
    /// The number of rows is a multiple of this where that is possible.
    pub required_batch_size_multiple: usize,
    /// The longest sentence a model takes, `</s>` included; `None`: no limit.
    pub max_length: Option<usize>,
    /// Leave sentences that are too long out ([`Limits::too_long`] names them) instead of failing.
    pub skip_too_long: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_tokens: None,
            max_sentences: None,
            required_batch_size_multiple: 8,
            max_length: None,
            skip_too_long: false,
        }
    }
}

impl Limits {
    /// The longest sentence that fits.
    fn longest(&self) -> usize {
        self.max_length.unwrap_or(usize::MAX).min(self.max_tokens.unwrap_or(usize::MAX))
    }

    /// The indices of the pairs of which a side is too long, in rising order.
    pub fn too_long(&self, source_lengths: &[usize], target_lengths: &[usize]) -> Vec<usize> {
        let lengths = source_lengths.iter().zip(target_lengths).map(|(source, target)| *source.max(target));
        lengths.enumerate().filter(|(_, length)| *length > self.longest()).map(|(i, _)| i).collect()
    }
}

/// `order` sorted by target length, then by source length, both stable: equally long pairs keep their order.
fn sort_by_length(order: &mut [usize], source_lengths: &[usize], target_lengths: &[usize]) {
    let length = |lengths: &[usize], i: usize| lengths.get(i).copied().unwrap_or(0);
    order.sort_by_key(|&i| (length(source_lengths, i), length(target_lengths, i)));
}

/// All indices by source length, ties by target length, ties by index: fairseq's `ordered_indices()` without shuffling.
///
/// ```
/// assert_eq!(nmt::data::ordered_indices(&[5, 3, 3, 3], &[1, 4, 2, 4]), [2, 1, 3, 0]);
/// ```
pub fn ordered_indices(source_lengths: &[usize], target_lengths: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..source_lengths.len().min(target_lengths.len())).collect();
    sort_by_length(&mut order, source_lengths, target_lengths);
    order
}

/// Cut `order` into batches: fairseq's `batch_by_size`.
///
/// A pair is as long as its longer side. Before a pair is appended to a batch that has `max_sentences` rows, or that
/// would have more than `max_tokens` with it, the rows up to the last multiple of `required_batch_size_multiple`
/// leave as a batch and the rest begins the next one.
///
/// ```
/// use nmt::data::{Limits, batch_by_size};
/// let limits = Limits { max_tokens: Some(6), required_batch_size_multiple: 2, ..Limits::default() };
/// let lengths = [1, 1, 2, 2, 2, 3];
/// let batches = batch_by_size(&[0, 1, 2, 3, 4, 5], &lengths, &lengths, &limits)?;
/// assert_eq!(batches, [vec![0, 1], vec![2, 3], vec![4, 5]]);
/// # Ok::<(), nmt::Error>(())
/// ```
///
/// # Errors
/// [`Error::Content`] that names the pair that is too long, unless `skip_too_long`.
pub fn batch_by_size(
    order: &[usize],
    source_lengths: &[usize],
    target_lengths: &[usize],
    limits: &Limits,
) -> Result<Vec<Vec<usize>>> {
    let multiple = limits.required_batch_size_multiple.max(1);
    let (max_tokens, max_sentences) =
        (limits.max_tokens.unwrap_or(usize::MAX), limits.max_sentences.unwrap_or(usize::MAX).max(1));
    let length = |i: usize| {
        let of = |lengths: &[usize]| lengths.get(i).copied().unwrap_or(0);
        of(source_lengths).max(of(target_lengths))
    };
    let mut batches = Vec::new();
    let mut batch: Vec<usize> = Vec::new();
    let mut longest = 0;
    for &i in order {
        if length(i) > limits.longest() {
            if limits.skip_too_long {
                continue;
            }
            let raise = match limits.max_length {
                Some(positions) if positions == limits.longest() => "raise model.max_positions",
                _ => "raise the tokens of a batch (--max-tokens; training.max_tokens, gradinit.max_tokens)",
            };
            return Err(Error::content(
                format!("sentence pair {} (from 1)", i + 1),
                format!("at most {} tokens, </s> included", limits.longest()),
                format!("{}", length(i)),
                format!("{raise}, or leave long sentences out with --set training.skip_too_long=true"),
            ));
        }
        let longest_with = longest.max(length(i));
        let tokens = longest_with.saturating_mul(batch.len() + 1);
        if !batch.is_empty() && (batch.len() >= max_sentences || tokens > max_tokens) {
            let rows = (batch.len() / multiple * multiple).max(batch.len() % multiple);
            let rest = batch.split_off(rows);
            batches.push(std::mem::replace(&mut batch, rest));
            longest = batch.iter().map(|&i| length(i)).max().unwrap_or(0);
        }
        longest = longest.max(length(i));
        batch.push(i);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    Ok(batches)
}

/// The batches of one epoch of training, in the order they are trained on: pairs of equal lengths in random order,
/// [`batch_by_size`], then the batches in random order. A function of its arguments alone, so that training can be
/// taken up again in the middle of an epoch.
///
/// # Errors
/// As [`batch_by_size`].
pub fn epoch_batches(
    source_lengths: &[usize],
    target_lengths: &[usize],
    limits: &Limits,
    seed: u64,
    epoch: u64,
) -> Result<Vec<Vec<usize>>> {
    // One stream of random numbers an epoch.
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(epoch);
    let mut order: Vec<usize> = (0..source_lengths.len().min(target_lengths.len())).collect();
    order.shuffle(&mut random);
    sort_by_length(&mut order, source_lengths, target_lengths);
    let mut batches = batch_by_size(&order, source_lengths, target_lengths, limits)?;
    batches.shuffle(&mut random);
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(n: usize, step: usize) -> Vec<usize> {
        (0..n).map(|i| 2 + (i * step) % 13).collect()
    }

    #[test]
    fn an_epoch_has_every_pair_once_within_the_limits() {
        let (source, target) = (lengths(500, 7), lengths(500, 5));
        let limits = Limits { max_tokens: Some(90), max_sentences: Some(16), ..Limits::default() };
        let batches = epoch_batches(&source, &target, &limits, 1, 1).unwrap();
        let mut seen: Vec<usize> = batches.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..500).collect::<Vec<_>>());
        for batch in &batches {
            let longest = batch.iter().map(|&i| source[i].max(target[i])).max().unwrap();
            assert!(batch.len() <= 16 && batch.len() * longest <= 90);
        }
    }

    #[test]
    fn the_order_depends_on_seed_and_epoch_only() {
        let (source, target) = (lengths(200, 7), lengths(200, 5));
        let limits = Limits { max_tokens: Some(90), ..Limits::default() };
        let order = |seed, epoch| epoch_batches(&source, &target, &limits, seed, epoch).unwrap();
        assert_eq!(order(1, 3), order(1, 3));
        assert_ne!(order(1, 3), order(1, 4));
        assert_ne!(order(1, 3), order(2, 3));
        // Not only the batches but also the pairs in them change places.
        let first = |batches: Vec<Vec<usize>>| batches.into_iter().find(|batch| batch.contains(&0));
        assert_ne!(first(order(1, 3)), first(order(1, 4)));
    }

    #[test]
    fn a_pair_that_is_too_long_is_named_or_skipped() {
        let (source, target) = ([3, 4, 3], [3, 11, 3]);
        let limits = Limits { max_tokens: Some(10), ..Limits::default() };
        let message = epoch_batches(&source, &target, &limits, 1, 1).unwrap_err().to_string();
        assert!(message.contains("pair 2 (from 1)") && message.contains("at most 10") && message.contains("found 11"));
        assert_eq!(limits.too_long(&source, &target), [1]);
        let limits = Limits { skip_too_long: true, ..limits };
        let mut seen = epoch_batches(&source, &target, &limits, 1, 1).unwrap().concat();
        seen.sort_unstable();
        assert_eq!(seen, [0, 2]);
        let limits = Limits { max_tokens: None, max_length: Some(10), ..limits };
        assert_eq!(limits.too_long(&source, &target), [1]);
    }

    #[test]
    fn limits_that_are_no_limits() {
        let limits = Limits { max_sentences: Some(0), required_batch_size_multiple: 0, ..Limits::default() };
        assert_eq!(batch_by_size(&[0, 1, 7], &[1, 1], &[1, 1], &limits).unwrap(), [vec![0], vec![1], vec![7]]);
        assert_eq!(batch_by_size(&[], &[], &[], &limits).unwrap(), Vec::<Vec<usize>>::new());
    }
}
