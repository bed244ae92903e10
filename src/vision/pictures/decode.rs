//! The bytes of a JPEG or PNG file as RGB pixels, within limits.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::{ColorType, DynamicImage, ImageReader, Limits, RgbImage};

use super::resize::middle_of_resized;
use crate::error::{Error, Result};

/// Bytes that the file of a picture may have. ImageNet's largest has 15 MB.
pub(super) const FILE_BYTES: u64 = 64 << 20;
/// Width and height that a picture may have. ImageNet's largest is 9,331 pixels wide.
const GREATEST_SIDE: u32 = 16_384;
/// Bytes that its pixels may need: a small file can claim any size.
const GREATEST_ALLOCATION: u64 = 256 << 20;

/// A picture that was not stored as 8-bit RGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Converted {
    /// One channel; all three get it.
    Grey,
    /// Four inks.
    Cmyk,
    /// 16 bits a channel; the upper 8 stay.
    SixteenBit,
    /// With transparency, which is dropped.
    Transparent,
}

impl Converted {
    /// Every kind, in the order of [`Converted::index`].
    pub(super) const ALL: [Converted; 4] =
        [Converted::Grey, Converted::Cmyk, Converted::SixteenBit, Converted::Transparent];

    /// The place in [`Converted::ALL`].
    pub(super) fn index(self) -> usize {
        self as usize
    }

    /// "N pictures were …": the rest of that sentence.
    pub(super) fn what(self) -> &'static str {
        match self {
            Converted::Grey => "grey",
            Converted::Cmyk => "in CMYK",
            Converted::SixteenBit => "of 16 bits a channel",
            Converted::Transparent => "stored with transparency, which is dropped",
        }
    }
}

/// A picture, and what it was before.
#[derive(Debug)]
pub(super) struct Decoded {
    /// 8-bit RGB, row by row.
    pub(super) image: RgbImage,
    /// None where the file was that, too.
    pub(super) converted: Option<Converted>,
    /// Whether the file had another size.
    pub(super) resized: bool,
}

impl Decoded {
    /// The picture of `resize` × `resize` pixels; of another size, its middle: the shorter side is brought to `resize`. None
    /// leaves all as they are.
    pub(super) fn for_network(self, resize: Option<u32>) -> Decoded {
        match resize {
            Some(side) if self.image.dimensions() != (side, side) => {
                Decoded { image: middle_of_resized(&self.image, side, side), resized: true, ..self }
            }
            _ => self,
        }
    }
}

/// The pixels. The error says what is wrong with the file. What Exif says of turning it is ignored, as torchvision does.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    guarded(|| {
        let reader = reader(bytes)?;
        let jpeg = reader.format() == Some(image::ImageFormat::Jpeg);
        if jpeg && !has_end(bytes) {
            return Err("a JPEG file that is cut off".into());
        }
        let image = reader.decode().map_err(|error| error.to_string())?;
        // The decoder hands CMYK out as RGB.
        let cmyk = jpeg && components(bytes) == Some(4);
        let converted = if cmyk { Some(Converted::Cmyk) } else { conversion(&image) };
        Ok(Decoded { image: image.into_rgb8(), converted, resized: false })
    })
}

/// The bytes of the file of a picture.
///
/// # Errors
/// [`Error::Io`]; [`Error::Content`] for a file above [`FILE_BYTES`].
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::io("read", path))?;
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(too_many_bytes(path.display().to_string()));
    }
    Ok(bytes)
}

/// The error of a file above [`FILE_BYTES`].
pub(super) fn too_many_bytes(place: String) -> Error {
    let expected = format!("a picture of at most {} MiB", FILE_BYTES >> 20);
    Error::content(place, expected, "a larger file", "store it smaller, or leave it out")
}

/// The error of a file that is no picture, for `reason`.
pub(super) fn corrupt(place: String, reason: &str) -> Error {
    let next = "replace it, remove it, or leave such pictures out with --skip-corrupt";
    Error::content(place, "a whole JPEG or PNG file", reason, next)
}

/// Decoders are large and read what anyone made: that one panics is a fault of the picture and no reason to end.
fn guarded<T>(decode: impl FnOnce() -> Result<T, String> + std::panic::UnwindSafe) -> Result<T, String> {
    std::panic::catch_unwind(decode).unwrap_or_else(|_| Err("bytes that the decoder gives up on".into()))
}

/// A reader within the limits, of the format that the first bytes say: one of ImageNet's `.JPEG` files is a PNG.
fn reader(bytes: &[u8]) -> Result<ImageReader<Cursor<&[u8]>>, String> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    if reader.format().is_none() {
        return Err(format!("{} bytes that are neither JPEG nor PNG", bytes.len()));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(GREATEST_SIDE);
    limits.max_image_height = Some(GREATEST_SIDE);
    limits.max_alloc = Some(GREATEST_ALLOCATION);
    reader.limits(limits);
    Ok(reader)
}

fn conversion(image: &DynamicImage) -> Option<Converted> {
    match image.color() {
        ColorType::Rgb8 => None,
        ColorType::L8 | ColorType::La8 => Some(Converted::Grey),
        ColorType::Rgba8 => Some(Converted::Transparent),
        _ => Some(Converted::SixteenBit),
    }
}

/// Whether a JPEG has an end behind its last scan. Of a file that is cut off the decoder makes the rest up, and does not
/// say so.
fn has_end(bytes: &[u8]) -> bool {
    let last = |marker| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xd9) > last(0xda)
}

/// The number of components that the frame header of a JPEG names.
fn components(bytes: &[u8]) -> Option<u8> {
    // Behind the start of the image, segments follow each other: 0xff, a marker, their length without these two.
    let mut at = 2;
    loop {
        let (0xff, marker) = (*bytes.get(at)?, *bytes.get(at + 1)?) else { return None };
        match marker {
            // A fill byte.
            0xff => at += 1,
            // Frame headers: all of 0xc0 to 0xcf but tables of Huffman and arithmetic codes.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => return bytes.get(at + 9).copied(),
            _ => at += 2 + usize::from(u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn a_png_keeps_its_pixels() {
        let decoded = decode(&testing::png(3, 2, |x, y| [x as u8 * 10, y as u8 * 20, 7])).unwrap();
        assert_eq!(decoded.image.dimensions(), (3, 2));
        assert_eq!(decoded.image.get_pixel(2, 1).0, [20, 20, 7]);
        assert_eq!(decoded.converted, None);
    }

    #[test]
    fn other_kinds_become_rgb() {
        let of = |image: DynamicImage| {
            let decoded = decode(&testing::encode(&image, image::ImageFormat::Png)).unwrap();
            (decoded.image.get_pixel(0, 0).0, decoded.converted)
        };
        let grey = image::GrayImage::from_pixel(2, 2, image::Luma([9]));
        assert_eq!(of(grey.into()), ([9; 3], Some(Converted::Grey)));
        let deep = image::ImageBuffer::from_pixel(2, 2, image::Rgb([257u16 * 5, 257 * 6, 257 * 7]));
        assert_eq!(of(deep.into()), ([5, 6, 7], Some(Converted::SixteenBit)));
        let clear = image::RgbaImage::from_pixel(2, 2, image::Rgba([1, 2, 3, 0]));
        assert_eq!(of(clear.into()), ([1, 2, 3], Some(Converted::Transparent)));
        for (index, kind) in Converted::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), index);
        }
    }

    #[test]
    fn a_jpeg_is_known_by_its_components() {
        let grey = image::GrayImage::from_pixel(8, 8, image::Luma([100]));
        let bytes = testing::encode(&grey.into(), image::ImageFormat::Jpeg);
        assert_eq!((components(&bytes), decode(&bytes).unwrap().converted), (Some(1), Some(Converted::Grey)));
        let bytes = testing::jpeg(8, 8);
        assert_eq!((components(&bytes), decode(&bytes).unwrap().converted), (Some(3), None));
        assert_eq!(components(&bytes[..10]), None);
        assert_eq!(components(&[]), None);
    }

    /// Oracle: `cmyk` has four components that are all zeros, so that every pixel is the same; the picture has 8 × 8.
    #[test]
    fn a_cmyk_jpeg_becomes_rgb() {
        let decoded = decode(&testing::cmyk()).unwrap();
        assert_eq!((decoded.image.dimensions(), decoded.converted), ((8, 8), Some(Converted::Cmyk)));
        assert!(decoded.image.pixels().all(|pixel| pixel == decoded.image.get_pixel(0, 0)));
    }

    #[test]
    fn what_is_cut_off_is_no_picture() {
        let (jpeg, png) = (testing::jpeg(32, 32), testing::png(8, 8, |x, y| [x as u8, y as u8, 0]));
        for length in [0, 1, 3, 20, jpeg.len() / 2, jpeg.len() - 2] {
            assert!(decode(&jpeg[..length]).is_err(), "{length}");
        }
        for length in [0, 7, 30, png.len() / 2] {
            assert!(decode(&png[..length]).is_err(), "{length}");
        }
        assert!(decode(b"no picture").unwrap_err().contains("10 bytes"));
    }

    #[test]
    fn a_claim_of_a_huge_size_is_refused() {
        let mut png = testing::png(2, 2, |_, _| [0; 3]);
        // Width and height are the first fields of the first chunk, which a checksum follows.
        png[16..20].copy_from_slice(&100_000u32.to_be_bytes());
        assert!(decode(&png).is_err());
        let mut jpeg = testing::jpeg(8, 8);
        let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0x3f, 0xff, 0x3f, 0xff]);
        assert!(decode(&jpeg).unwrap_err().to_lowercase().contains("limit"));
    }
}
