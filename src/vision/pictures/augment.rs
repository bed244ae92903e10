//! How small pictures are changed for training: crop, flip, cutout; and how all are normalised.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Padding beyond which a crop has nothing of the picture.
const GREATEST_PADDING: usize = 64;

/// How pictures are changed for training. Large ones are cropped and resized in any case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Zeros around a small picture (black, before normalisation), out of which a random part of its size is cut; 0: none.
    pub crop_padding: usize,
    /// Turn every second picture, at random, left to right.
    pub flip: bool,
    /// Side of the square that is set to 0, after normalisation, at a random place of a small picture; 0: none.
    pub cutout: usize,
    /// α of MixUp: pictures are mixed in pairs by λ ~ Beta(α, α), one λ a batch; 0: none.
    pub mixup: f64,
}

impl Default for AugmentConfig {
    fn default() -> AugmentConfig {
        AugmentConfig { crop_padding: 4, flip: true, cutout: 16, mixup: 0.0 }
    }
}

impl AugmentConfig {
    /// Refuse values that make no picture.
    ///
    /// # Errors
    /// [`Error::Usage`] for a padding above 64, and for a `mixup` that is neither 0 nor from 0.001 to 1000.
    pub fn check(&self) -> Result<()> {
        if self.crop_padding > GREATEST_PADDING {
            let found = self.crop_padding;
            let message = format!("augment.crop_padding has to be from 0 to {GREATEST_PADDING}, found {found}");
            return Err(Error::usage(message, "4 is usual"));
        }
        if self.mixup != 0.0 && !(0.001..=1000.0).contains(&self.mixup) {
            let message = format!("augment.mixup has to be 0 or from 0.001 to 1000, found {}", self.mixup);
            return Err(Error::usage(message, "1 is usual for CIFAR-10, 0.2 for ImageNet"));
        }
        Ok(())
    }
}

/// Mean and deviation of each channel (red, green, blue), where values are from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalisation {
    /// The means, which are subtracted.
    pub mean: [f32; 3],
    /// The deviations, which are divided by.
    pub deviation: [f32; 3],
}

impl Normalisation {
    /// The numbers that are usual for CIFAR-10. (The deviations are means of those of single pictures.)
    pub const CIFAR10: Normalisation =
        Normalisation { mean: [0.4914, 0.4822, 0.4465], deviation: [0.2023, 0.1994, 0.2010] };
    /// Those that are usual for ImageNet.
    pub const IMAGENET: Normalisation = Normalisation { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };

    /// The normalised value of every byte, by channel.
    pub(super) fn tables(&self) -> Tables {
        let value = |channel: usize, byte: usize| (byte as f32 / 255.0 - self.mean[channel]) / self.deviation[channel];
        [0, 1, 2].map(|channel| std::array::from_fn(|byte| value(channel, byte)))
    }
}

/// The normalised value of every byte, by channel.
pub(super) type Tables = [[f32; 256]; 3];

/// The random numbers of one picture: a function of the seed of its batch and its place in it alone, so that it does not
/// matter which thread does it.
pub(super) fn random(seed: u64, position: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(position);
    random
}

/// What is drawn for a small picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choices {
    /// Row and column of the crop in the padded picture.
    corner: (usize, usize),
    /// Left to right.
    flip: bool,
    /// Row and column of the centre of what is cut out.
    centre: (usize, usize),
}

impl Choices {
    /// Everything is drawn, needed or not: to switch one change off leaves the others as they are.
    pub(super) fn draw(config: &AugmentConfig, side: usize, random: &mut impl Rng) -> Choices {
        let greatest = 2 * config.crop_padding as u32;
        let last = (side as u32).saturating_sub(1);
        let corner = (random.random_range(0..=greatest) as usize, random.random_range(0..=greatest) as usize);
        let flip = random.random::<bool>();
        let centre = (random.random_range(0..=last) as usize, random.random_range(0..=last) as usize);
        Choices { corner, flip: flip && config.flip, centre }
    }
}

/// A small picture, `[3, side, side]`, as it is.
pub(super) fn small(pixels: &[u8], side: usize, tables: &Tables) -> Vec<f32> {
    let planes = pixels.chunks_exact((side * side).max(1)).zip(tables);
    planes.flat_map(|(plane, table)| plane.iter().map(|byte| table[usize::from(*byte)])).collect()
}

/// A small picture, `[3, side, side]`, changed: cropped, turned, normalised, cut out (DeVries and Taylor, 2017).
pub(super) fn small_changed(
    pixels: &[u8],
    side: usize,
    tables: &Tables,
    config: &AugmentConfig,
    choices: Choices,
) -> Vec<f32> {
    let Choices { corner, flip, centre } = choices;
    // The place in the picture of a place in the crop; None in the padding.
    let inside = |place: usize, from: usize| (place + from).checked_sub(config.crop_padding).filter(|at| *at < side);
    // The square begins half its side before the centre; what would be outside is not there.
    let half = config.cutout / 2;
    let within = |place: usize, centre: usize| place + half >= centre && place + half < centre + config.cutout;
    let mut changed = Vec::with_capacity(pixels.len());
    for (plane, table) in pixels.chunks_exact((side * side).max(1)).zip(tables) {
        for row in 0..side {
            let from = inside(row, corner.0).map(|row| &plane[row * side..(row + 1) * side]);
            for column in 0..side {
                if within(row, centre.0) && within(column, centre.1) {
                    changed.push(0.0);
                    continue;
                }
                let column = if flip { side - 1 - column } else { column };
                let byte = from.and_then(|line| Some(line[inside(column, corner.1)?])).unwrap_or(0);
                changed.push(table[usize::from(byte)]);
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that leaves bytes as they are, and one unit above, to tell them from what was cut out.
    fn plain() -> Tables {
        [[0.0; 256]; 3].map(|_| std::array::from_fn(|byte| byte as f32 + 1.0))
    }

    const NONE: AugmentConfig = AugmentConfig { crop_padding: 0, flip: false, cutout: 0, mixup: 0.0 };

    /// 3 × 3 pixels: 0 to 8 red, 10 to 18 green, 20 to 28 blue.
    fn picture() -> Vec<u8> {
        [0u8, 10, 20].iter().flat_map(|base| (0..9).map(move |pixel| base + pixel)).collect()
    }

    fn first_plane(config: AugmentConfig, corner: (usize, usize), flip: bool, centre: (usize, usize)) -> Vec<i32> {
        let all = small_changed(&picture(), 3, &plain(), &config, Choices { corner, flip, centre });
        assert_eq!(all.len(), 27);
        // Planes differ by 10, but where there is no picture.
        for (i, value) in all[..9].iter().enumerate() {
            assert!(all[9 + i] - value == 10.0 || *value <= 1.0);
        }
        all[..9].iter().map(|value| *value as i32 - 1).collect()
    }

    /// Oracle: (x/255 - mean)/deviation in double precision.
    #[test]
    fn bytes_are_normalised_by_channel() {
        let tables = Normalisation::CIFAR10.tables();
        let expected =
            [(0, 0, -0.4914 / 0.2023), (1, 255, (1.0 - 0.4822) / 0.1994), (2, 128, (128.0 / 255.0 - 0.4465) / 0.2010)];
        for (channel, byte, value) in expected {
            assert!((f64::from(tables[channel][byte]) - value).abs() < 2e-6);
        }
        let tables = Normalisation::IMAGENET.tables();
        assert!((tables[2][51] - (0.2 - 0.406) / 0.225).abs() < 1e-6);
        let values = small(&[0, 255, 128], 1, &Normalisation::CIFAR10.tables());
        assert!((values[1] - 2.596_79).abs() < 1e-4 && values.len() == 3);
    }

    #[test]
    fn without_changes_a_picture_stays() {
        assert_eq!(first_plane(NONE, (0, 0), false, (1, 1)), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(
            small_changed(&picture(), 3, &plain(), &NONE, Choices { corner: (0, 0), flip: false, centre: (2, 2) }),
            small(&picture(), 3, &plain())
        );
    }

    #[test]
    fn a_crop_has_black_around_the_picture() {
        let config = AugmentConfig { crop_padding: 1, ..NONE };
        assert_eq!(first_plane(config.clone(), (1, 1), false, (0, 0)), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(first_plane(config.clone(), (0, 2), false, (0, 0)), [0, 0, 0, 1, 2, 0, 4, 5, 0]);
        assert_eq!(first_plane(config, (2, 0), false, (0, 0)), [0, 3, 4, 0, 6, 7, 0, 0, 0]);
        let config = AugmentConfig { crop_padding: 4, ..NONE };
        assert_eq!(first_plane(config, (0, 0), false, (0, 0)), [0; 9]);
    }

    #[test]
    fn a_flip_is_of_the_crop() {
        assert_eq!(first_plane(NONE, (0, 0), true, (0, 0)), [2, 1, 0, 5, 4, 3, 8, 7, 6]);
        let config = AugmentConfig { crop_padding: 1, ..NONE };
        assert_eq!(first_plane(config, (0, 2), true, (0, 0)), [0, 0, 0, 0, 2, 1, 0, 5, 4]);
    }

    /// -1 is the 0 behind normalisation.
    #[test]
    fn a_cutout_is_clipped_at_the_border() {
        let config = AugmentConfig { cutout: 2, ..NONE };
        // Rows and columns 0 and 1.
        assert_eq!(first_plane(config.clone(), (0, 0), false, (1, 1)), [-1, -1, 2, -1, -1, 5, 6, 7, 8]);
        // One pixel of four is inside.
        assert_eq!(first_plane(config.clone(), (0, 0), false, (0, 0)), [-1, 1, 2, 3, 4, 5, 6, 7, 8]);
        // It is where it was drawn, turned picture or not.
        assert_eq!(first_plane(config, (0, 0), true, (2, 0)), [2, 1, 0, -1, 4, 3, -1, 7, 6]);
        let config = AugmentConfig { cutout: 3, ..NONE };
        assert_eq!(first_plane(config, (0, 0), false, (2, 2)), [0, 1, 2, 3, -1, -1, 6, -1, -1]);
        let config = AugmentConfig { cutout: 16, ..NONE };
        assert_eq!(first_plane(config, (0, 0), false, (1, 2)), [-1; 9]);
    }

    #[test]
    fn choices_are_uniform_and_of_seed_and_position() {
        let config = AugmentConfig::default();
        let draw = |seed, position| {
            let Choices { corner, flip, centre } = Choices::draw(&config, 32, &mut random(seed, position));
            (corner, flip, centre)
        };
        assert_eq!(draw(7, 3), draw(7, 3));
        assert_ne!(draw(7, 3), draw(7, 4));
        assert_ne!(draw(7, 3), draw(8, 3));
        let (mut corners, mut flips, mut centres) = ([0; 9], 0, [0; 32]);
        for position in 0..9_000 {
            let (corner, flip, centre) = draw(1, position);
            corners[corner.0] += 1;
            flips += i32::from(flip);
            centres[centre.1] += 1;
        }
        // Means 1,000, 4,500 and 281; five deviations are 149, 237 and 82.
        assert!(corners.iter().all(|count| (850..1150).contains(count)), "{corners:?}");
        assert!((4263..4737).contains(&flips), "{flips}");
        assert!(centres.iter().all(|count| (199..364).contains(count)), "{centres:?}");
        // What is switched off leaves the rest as it is.
        let without = AugmentConfig { flip: false, cutout: 0, ..config.clone() };
        let Choices { corner, flip, centre } = Choices::draw(&without, 32, &mut random(7, 3));
        assert_eq!((corner, centre, flip), (draw(7, 3).0, draw(7, 3).2, false));
    }

    #[test]
    fn the_configuration_is_checked() {
        let config: AugmentConfig = toml::from_str("cutout = 8\n").unwrap();
        assert_eq!(config, AugmentConfig { cutout: 8, ..AugmentConfig::default() });
        assert!(toml::from_str::<AugmentConfig>("cut_out = 8\n").is_err());
        config.check().unwrap();
        for bad in ["crop_padding = 65", "mixup = -1.0", "mixup = nan", "mixup = 1e9"] {
            let error = toml::from_str::<AugmentConfig>(bad).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(&format!("augment.{}", &bad[..5])), "{error}");
        }
    }
}
