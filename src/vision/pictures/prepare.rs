//! Pictures of a batch as numbers, in the memory of the host.

use tch::{Device, Tensor};

use super::augment::{self, AugmentConfig, Choices, Tables};
use super::{Pictures, Raw, resize};
use crate::error::{Error, Result};
use crate::text::in_order;

/// The error of pictures that are all left out.
pub(in crate::vision) fn all_corrupt(place: &str) -> Error {
    let next =
        "remove those that were named, or replace them; larger batches (training.batch_size) have others beside them";
    Error::content(place, "at least one whole picture", "corrupt ones alone", next)
}

/// A batch before it is a tensor.
#[derive(Debug, PartialEq)]
pub(super) struct Prepared {
    /// `[images, 3, side, side]`.
    values: Vec<f32>,
    /// `[images]`.
    classes: Vec<i64>,
    side: usize,
}

impl Prepared {
    /// The number of pictures.
    pub(super) fn len(&self) -> usize {
        self.classes.len()
    }

    /// Refuse a batch whose pictures were all left out.
    ///
    /// # Errors
    /// [`Error::Content`].
    pub(super) fn with_pictures(self) -> Result<Prepared> {
        if self.len() > 0 {
            return Ok(self);
        }
        Err(all_corrupt("a batch"))
    }

    /// `[images, 3, side, side]`, fp32, and `[images]`, int64.
    ///
    /// # Errors
    /// [`Error::Torch`], where there is no memory.
    pub(super) fn tensors(&self, device: Device) -> Result<(Tensor, Tensor)> {
        let side = self.side as i64;
        let pictures = Tensor::f_from_slice(&self.values)?.f_view([self.len() as i64, 3, side, side])?;
        Ok((pictures.f_to_device(device)?, Tensor::f_from_slice(&self.classes)?.f_to_device(device)?))
    }
}

/// Prepare the pictures of these indices: changed for training by `augment` and the seed of the batch, or, without it, for
/// evaluation. Corrupt pictures are left out where they may be, be it all. Pictures on disk are decoded in several threads; the result
/// does not depend on their number.
///
/// # Errors
/// As [`Pictures::raw`]; [`Error::Usage`] for no indices.
pub(super) fn prepare(
    pictures: &Pictures,
    augment: Option<&AugmentConfig>,
    indices: &[usize],
    seed: u64,
) -> Result<Prepared> {
    if indices.is_empty() {
        return Err(Error::usage("a batch has to have at least one picture, found none", ""));
    }
    let side = pictures.side();
    let tables = pictures.normalisation().tables();
    let (mut values, mut classes) = (Vec::with_capacity(indices.len() * 3 * side * side), Vec::new());
    let mut positions = indices.iter().copied().enumerate();
    let work = |(position, index): (usize, usize)| -> Result<Option<(Vec<f32>, i64)>> {
        let values = one(pictures, augment, &tables, index, (seed, position as u64))?;
        Ok(values.map(|values| (values, pictures.class_of(index))))
    };
    in_order(
        pictures.threads().min(indices.len()),
        || Ok(positions.next()),
        work,
        |done| {
            if let Some((of_one, class)) = done? {
                values.extend_from_slice(&of_one);
                classes.push(class);
            }
            Ok(())
        },
    )?;
    Ok(Prepared { values, classes, side })
}

fn one(
    pictures: &Pictures,
    augment: Option<&AugmentConfig>,
    tables: &Tables,
    index: usize,
    (seed, position): (u64, u64),
) -> Result<Option<Vec<f32>>> {
    let mut random = augment::random(seed, position);
    Ok(match (pictures.raw(index)?, augment) {
        (Raw::Small(pixels), None) => Some(augment::small(pixels, pictures.side(), tables)),
        (Raw::Small(pixels), Some(config)) => {
            let choices = Choices::draw(config, pictures.side(), &mut random);
            Some(augment::small_changed(pixels, pictures.side(), tables, config, choices))
        }
        (Raw::Large(image), None) => Some(resize::large(&image, tables)),
        (Raw::Large(image), Some(config)) => Some(resize::large_changed(&image, tables, config, &mut random)),
        (Raw::LeftOut, _) => None,
    })
}
