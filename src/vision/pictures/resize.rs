//! Pictures of any size to squares of one size, the large ones as networks for ImageNet are trained and evaluated.

use image::RgbImage;
use image::imageops::{self, FilterType};
use rand::Rng;

use super::augment::{AugmentConfig, Tables};

/// Height and width of large pictures in a batch.
pub const LARGE_SIDE: usize = 224;
/// The shorter side that a picture is brought to for evaluation.
const SHORTER_SIDE: u32 = 256;
/// Parts that are tried before the middle is taken.
const TRIES: usize = 10;
/// The least and the greatest share of the picture that a part has.
const AREA: (f64, f64) = (0.08, 1.0);
/// The least and the greatest ratio of its width to its height.
const RATIO: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);
/// A picture longer than this many times its shorter side loses its ends before it is resized for evaluation: they are not
/// in the middle, and a line of pixels would become gigabytes.
const LONGEST: u32 = 4;

/// A part of a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl Part {
    /// A part of random size, shape and place (Szegedy et al., 2015, as torchvision's `RandomResizedCrop` draws it): its
    /// share of the area is uniform, the logarithm of its ratio, too; where ten do not fit, the middle, as much of it as
    /// the ratios allow.
    pub(super) fn draw(width: u32, height: u32, random: &mut impl Rng) -> Part {
        let area = f64::from(width) * f64::from(height);
        for _ in 0..TRIES {
            let target = area * random.random_range(AREA.0..=AREA.1);
            let ratio = random.random_range(RATIO.0.ln()..=RATIO.1.ln()).exp();
            let w = (target * ratio).sqrt().round() as u32;
            let h = (target / ratio).sqrt().round() as u32;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                let top = random.random_range(0..=height - h);
                let left = random.random_range(0..=width - w);
                return Part { left, top, width: w, height: h };
            }
        }
        let ratio = f64::from(width) / f64::from(height);
        let w = if ratio > RATIO.1 { (f64::from(height) * RATIO.1).round() as u32 } else { width };
        let h = if ratio < RATIO.0 { (f64::from(width) / RATIO.0).round() as u32 } else { height };
        Part::middle(width, height, w.clamp(1, width), h.clamp(1, height))
    }

    /// The middle `w` × `h` of `width` × `height`.
    fn middle(width: u32, height: u32, w: u32, h: u32) -> Part {
        let (w, h) = (w.min(width), h.min(height));
        Part { left: (width - w) / 2, top: (height - h) / 2, width: w, height: h }
    }

    fn of(self, image: &RgbImage) -> RgbImage {
        imageops::crop_imm(image, self.left, self.top, self.width, self.height).to_image()
    }
}

/// A picture for training, `[3, 224, 224]`: a random part, resized, and turned left to right with probability ½.
pub(super) fn large_changed(
    image: &RgbImage,
    tables: &Tables,
    config: &AugmentConfig,
    random: &mut impl Rng,
) -> Vec<f32> {
    let (width, height) = image.dimensions();
    let part = Part::draw(width, height, random);
    let flip = random.random::<bool>() && config.flip;
    let side = LARGE_SIDE as u32;
    // Bilinear over all pixels that an output pixel covers, as PIL does it.
    let mut image = imageops::resize(&part.of(image), side, side, FilterType::Triangle);
    if flip {
        imageops::flip_horizontal_in_place(&mut image);
    }
    planes(&image, tables)
}

/// A picture for evaluation, `[3, 224, 224]`: the shorter side is resized to 256, then the middle is taken.
pub(super) fn large(image: &RgbImage, tables: &Tables) -> Vec<f32> {
    planes(&middle_of_resized(image, SHORTER_SIDE, LARGE_SIDE as u32), tables)
}

/// The middle `side` × `side` of the picture whose shorter side is brought to `shorter` pixels, which are as many or more.
pub(super) fn middle_of_resized(image: &RgbImage, shorter: u32, side: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    let longest = width.min(height).saturating_mul(LONGEST);
    let kept = Part::middle(width, height, longest, longest);
    let (width, height) = (kept.width, kept.height);
    // The longer side is rounded down, as torchvision does.
    let longer = |long: u32, short: u32| (u64::from(shorter) * u64::from(long) / u64::from(short.max(1))) as u32;
    let (w, h) = if width <= height { (shorter, longer(height, width)) } else { (longer(width, height), shorter) };
    let resized = imageops::resize(&kept.of(image), w, h, FilterType::Triangle);
    // torchvision rounds halves to even numbers.
    let start = |length: u32| (f64::from(length.saturating_sub(side)) / 2.0).round_ties_even() as u32;
    Part { left: start(w), top: start(h), width: side, height: side }.of(&resized)
}

/// Pixel by pixel to plane by plane, normalised.
pub(super) fn planes(image: &RgbImage, tables: &Tables) -> Vec<f32> {
    let bytes = image.as_raw();
    let plane = |(channel, table): (usize, &[f32; 256])| -> Vec<f32> {
        bytes.iter().skip(channel).step_by(3).map(|byte| table[usize::from(*byte)]).collect()
    };
    tables.iter().enumerate().flat_map(plane).collect()
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::super::augment::{Normalisation, random};
    use super::*;

    fn plain() -> Tables {
        [[0.0; 256]; 3].map(|_| std::array::from_fn(|byte| byte as f32))
    }

    fn gradient(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, 50]))
    }

    #[test]
    fn parts_are_inside_and_of_the_shapes_that_are_asked_for() {
        let (mut areas, mut shapes) = (Vec::new(), Vec::new());
        for position in 0..4_000 {
            let part = Part::draw(500, 375, &mut random(1, position));
            assert!(part.left + part.width <= 500 && part.top + part.height <= 375);
            areas.push(f64::from(part.width * part.height) / (500.0 * 375.0));
            shapes.push(f64::from(part.width) / f64::from(part.height));
        }
        assert!(areas.iter().all(|area| (0.079..=1.001).contains(area)));
        assert!(shapes.iter().all(|shape| (0.74..=1.35).contains(shape)));
        // A third of the areas that are drawn is below 0.08 + 0.92/3. All of them fit; of those above 0.5625, where heights
        // begin not to, 0.452: 0.307/(0.4825 + 0.4375 × 0.452) = 0.451 of 4,000, give or take five deviations.
        let small = areas.iter().filter(|area| **area < 0.387).count();
        assert!((1_648..1_962).contains(&small), "{small}");
        assert_eq!(Part::draw(500, 375, &mut random(1, 5)), Part::draw(500, 375, &mut random(1, 5)));
    }

    #[test]
    fn what_no_part_fits_gives_its_middle() {
        // The smallest part is 77 pixels wide, or in the other picture 73 high.
        let part = Part::draw(10, 10_000, &mut random(1, 1));
        assert_eq!(part, Part { left: 0, top: 4_993, width: 10, height: 13 });
        let part = Part::draw(10_000, 9, &mut random(1, 1));
        assert_eq!(part, Part { left: 4_994, top: 0, width: 12, height: 9 });
        let part = Part::draw(1, 1, &mut random(1, 1));
        assert_eq!(part, Part { left: 0, top: 0, width: 1, height: 1 });
    }

    /// Oracle: a plane that rises linearly from 0 to 255 has, resized to 256, the value of its column.
    #[test]
    fn evaluation_takes_the_middle_of_the_resized_picture() {
        for (width, height) in [(512, 512), (512, 1024), (1024, 512)] {
            let values = large(&gradient(width, height), &plain());
            assert_eq!(values.len(), 3 * LARGE_SIDE * LARGE_SIDE);
            let at = |plane: usize, row: usize, column: usize| values[(plane * LARGE_SIDE + row) * LARGE_SIDE + column];
            let middle = |length: u32| 255.0 * (f64::from(length - 224) / 2.0 + 100.0) / f64::from(length);
            let (w, h) = (256 * width / width.min(height), 256 * height / width.min(height));
            assert!((f64::from(at(0, 50, 100)) - middle(w)).abs() < 1.5, "{width}");
            assert!((f64::from(at(1, 100, 50)) - middle(h)).abs() < 1.5, "{width}");
            assert_eq!(at(2, 10, 10), 50.0);
        }
        for (width, height) in [(1, 1), (1, 5_000), (5_000, 2)] {
            assert_eq!(large(&gradient(width, height), &plain()).len(), 3 * LARGE_SIDE * LARGE_SIDE);
        }
    }

    #[test]
    fn training_resizes_a_part_and_turns_it() {
        let image = gradient(100, 80);
        let tables = Normalisation::IMAGENET.tables();
        let config = AugmentConfig::default();
        let values = |flip, position| {
            large_changed(&image, &tables, &AugmentConfig { flip, ..config.clone() }, &mut random(3, position))
        };
        assert_eq!(values(true, 0), values(true, 0));
        assert_ne!(values(true, 0), values(true, 1));
        let turned: Vec<bool> = (0..64).map(|position| values(true, position) != values(false, position)).collect();
        let count = turned.iter().filter(|turned| **turned).count();
        assert!((12..=52).contains(&count), "{count}");
        let position = turned.iter().position(|turned| *turned).unwrap() as u64;
        let (one, other) = (values(true, position), values(false, position));
        let reversed: Vec<f32> = one.chunks(LARGE_SIDE).flat_map(|line| line.iter().rev().copied()).collect();
        assert_eq!(reversed, other);
    }
}
