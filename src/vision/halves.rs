//! S and S̃ of GradInit on pictures.

use std::iter::Peekable;

use tch::Tensor;

use super::batch::PictureBatch;
use super::pictures::PictureData;
use crate::error::{Error, Result};
use crate::init::gradinit::{Halves, halves};
use crate::random::split_mix;
use crate::train::TrainingData;

/// Draws S and S̃ for every iteration of GradInit, each of both of the batch size that GradInit has, in the order of
/// training; what is in both is the same pixels. (The published code keeps half of a batch and draws the other
/// half of S̃ anew.)
pub struct PictureHalves<'a> {
    data: &'a PictureData,
    overlap: f64,
    batches: Peekable<Box<dyn Iterator<Item = Vec<usize>> + 'a>>,
    seed: u64,
    drawn: u64,
}

impl<'a> PictureHalves<'a> {
    /// The size of a batch that S and S̃ of `batch_size` pictures with this overlap are cut from.
    pub fn batch_size(batch_size: usize, overlap: f64) -> usize {
        ((batch_size as f64 * (2.0 - overlap)).round() as usize).max(3)
    }

    /// Start with the first epoch. `data` has batches of [`PictureHalves::batch_size`].
    ///
    /// # Errors
    /// [`Error::Content`] for fewer than three pictures.
    pub fn new(data: &'a PictureData, overlap: f64, seed: u64) -> Result<PictureHalves<'a>> {
        if data.pictures().len() < 3 {
            return Err(too_few(data.pictures().len()));
        }
        // What is left at the end of an epoch may be too little.
        let batches = data.batches_without_end().filter(|indices| indices.len() >= 3);
        let batches: Box<dyn Iterator<Item = Vec<usize>>> = Box::new(batches);
        Ok(PictureHalves { data, overlap, batches: batches.peekable(), seed, drawn: 0 })
    }

    /// The pictures of the next iteration.
    fn next(&mut self) -> Vec<usize> {
        self.drawn += 1;
        self.batches.next().unwrap_or_default() // It has no end.
    }
}

/// The seed of the batch that is drawn as number `drawn` to initialise a network.
pub(super) fn seed_of_draw(seed: u64, drawn: u64) -> u64 {
    split_mix(seed.wrapping_add(drawn << 32))
}

impl Halves for PictureHalves<'_> {
    type Batch = PictureBatch;

    /// # Errors
    /// What reading pictures brings, and [`Error::Content`] for a batch of which fewer than three are not corrupt.
    fn draw(&mut self) -> Result<(PictureBatch, PictureBatch)> {
        let indices = self.next();
        let batch = self.data.batch(&indices, seed_of_draw(self.seed, self.drawn))?;
        let seed = seed_of_draw(self.seed, self.drawn + 1);
        if let Some(next) = self.batches.peek() {
            self.data.prefetch(next, seed);
        }
        // Of the pictures that there are: corrupt ones may have been left out.
        let count = batch.classes.size()[0] as usize;
        if count < 3 {
            return Err(too_few(count));
        }
        let (s, s_tilde) = halves(count, self.overlap);
        let part = |range: std::ops::Range<usize>| {
            let rows = |tensor: &Tensor| tensor.narrow(0, range.start as i64, range.len() as i64);
            let mixed = batch.mixed.as_ref().map(|(others, share)| (rows(others), *share));
            PictureBatch { pictures: rows(&batch.pictures), classes: rows(&batch.classes), mixed }
        };
        Ok((part(s), part(s_tilde)))
    }

    fn skip(&mut self) -> Result<()> {
        self.next();
        Ok(())
    }
}

fn too_few(found: usize) -> Error {
    let next = "give more pictures, or a larger gradinit.batch_size";
    Error::content("GradInit", "at least three pictures to cut S and S̃ from", found.to_string(), next)
}
