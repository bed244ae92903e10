//! Small pictures of one size, all in memory.

use std::path::PathBuf;

use super::decode::{self, Decoded};
use super::faults::Met;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::text::in_order;

/// Height and width that pictures in memory may have.
pub const GREATEST_SMALL_SIDE: u32 = 64;
/// Pictures that a thread gets at a time.
const PIECE: usize = 64;
/// Bytes of encoded pictures after which it gets no more.
const PIECE_BYTES: usize = 1 << 20;

/// Where the encoded picture is.
pub(super) enum Encoded {
    /// Here.
    Bytes(Vec<u8>),
    /// In this file.
    File(PathBuf),
}

/// A picture before it is decoded.
pub(super) struct Picture {
    /// Its class.
    pub(super) class: String,
    /// The name of its file.
    pub(super) name: String,
    /// Its content.
    pub(super) encoded: Encoded,
}

impl Picture {
    fn bytes(&self) -> usize {
        match &self.encoded {
            Encoded::Bytes(bytes) => bytes.len(),
            Encoded::File(_) => 0,
        }
    }
}

/// How pictures are read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    /// What they are in, for messages.
    pub(super) place: &'a str,
    /// Threads that decode.
    pub(super) threads: usize,
    /// Leave corrupt pictures out.
    pub(super) skip_corrupt: bool,
    /// Bring those of another size to this height and width.
    pub(super) resize: Option<u32>,
}

/// Pictures with their classes and names, sorted by both.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Height and width.
    pub(super) side: usize,
    /// Class and name of every picture.
    pub(super) keys: Vec<(String, String)>,
    /// `[N, 3, side, side]`.
    pub(super) pixels: Vec<u8>,
    /// Pictures that were left out.
    pub(super) skipped: usize,
}

/// A picture that is small enough, or the width and height of another, which is not kept: it may be a thousand times as large.
type Sized = Result<Decoded, (u32, u32)>;

/// What is known after a picture was decoded: the error of a file that cannot be read, or what is wrong with the picture.
type Done = (String, String, Result<Result<Sized, String>>);

/// Decode pictures from `next` until it has none, in several threads; the result does not depend on their number.
///
/// # Errors
/// [`Error::Content`] for a picture that is corrupt (unless such are left out), not square, larger than
/// [`GREATEST_SMALL_SIDE`] or of another size than the first one, for one that is there twice, and for none at all.
pub(super) fn load(reading: Reading, mut next: impl FnMut() -> Result<Option<Picture>>) -> Result<Loaded> {
    let mut progress = Progress::new(format!("read {}", reading.place), None);
    let mut gathered = Gathered { reading, first: None, keys: Vec::new(), pixels: Vec::new(), met: Met::default() };
    let pieces = || -> Result<Option<Vec<Picture>>> {
        let (mut piece, mut bytes) = (Vec::with_capacity(PIECE), 0);
        while piece.len() < PIECE && bytes < PIECE_BYTES {
            let Some(picture) = next()? else { break };
            bytes += picture.bytes();
            piece.push(picture);
        }
        Ok((!piece.is_empty()).then_some(piece))
    };
    let decoded = |picture| decoded(picture, reading.resize);
    let work = |piece: Vec<Picture>| piece.into_iter().map(decoded).collect::<Vec<Done>>();
    in_order(reading.threads, pieces, work, |piece| {
        progress.add(piece.len() as u64);
        piece.into_iter().try_for_each(|done| gathered.take(done))
    })?;
    gathered.met.note(reading.place);
    gathered.sorted()
}

fn decoded(picture: Picture, resize: Option<u32>) -> Done {
    let bytes = match picture.encoded {
        Encoded::Bytes(bytes) => Ok(bytes),
        Encoded::File(path) => decode::read_file(&path),
    };
    let sized = |decoded: Decoded| {
        let decoded = decoded.for_network(resize);
        let (width, height) = decoded.image.dimensions();
        let fits = width == height && (1..=GREATEST_SMALL_SIDE).contains(&width);
        if fits { Ok(decoded) } else { Err((width, height)) }
    };
    (picture.class, picture.name, bytes.map(|bytes| decode::decode(&bytes).map(sized)))
}

/// What was decoded until now.
struct Gathered<'a> {
    reading: Reading<'a>,
    /// The side of the first picture and where it is.
    first: Option<(u32, String)>,
    keys: Vec<(String, String)>,
    pixels: Vec<u8>,
    met: Met,
}

impl Gathered<'_> {
    fn take(&mut self, (class, name, done): Done) -> Result<()> {
        let place = format!("{}: {class}/{name}", self.reading.place);
        let (index, name_of) = (self.keys.len() + self.met.skipped(), || format!("{class}/{name}"));
        let sized = match done? {
            Ok(sized) => sized,
            Err(reason) if self.reading.skip_corrupt => {
                self.met.skip(index, name_of, &reason);
                return Ok(());
            }
            Err(reason) => return Err(decode::corrupt(place, &reason)),
        };
        let (width, height) = sized.as_ref().map_or_else(|size| *size, |decoded| decoded.image.dimensions());
        let found = format!("{width} × {height} pixels");
        if let Some((side, first)) = &self.first
            && (width, height) != (*side, *side)
        {
            let expected = format!("{side} × {side} pixels, as {first} has");
            let next = "small pictures are of one size: bring all to the network's by --resize, or remove this one";
            return Err(Error::content(place, expected, found, next));
        }
        let Ok(Decoded { image, converted, resized }) = sized else {
            let expected = format!("a square picture of at most {GREATEST_SMALL_SIDE} × {GREATEST_SMALL_SIDE} pixels");
            let next = "networks for small pictures take square ones of one size: bring them to it by --resize, or choose \
                        resnet50, with a folder";
            return Err(Error::content(place, expected, found, next));
        };
        self.first.get_or_insert_with(|| (width, name_of()));
        self.met.read(index, converted, name_of);
        if resized {
            self.met.resize(index);
        }
        // Pixel by pixel to plane by plane.
        let bytes = image.as_raw();
        (0..3).for_each(|channel| self.pixels.extend(bytes.iter().skip(channel).step_by(3)));
        self.keys.push((class, name));
        Ok(())
    }

    fn sorted(self) -> Result<Loaded> {
        let Gathered { reading, first, mut keys, pixels, met } = self;
        let Some((side, _)) = first else {
            let found = format!("none, {} corrupt ones left out", met.skipped());
            return Err(Error::content(reading.place, "pictures, .jpg or .png", found, "check what the path is of"));
        };
        let side = side as usize;
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by(|&a, &b| keys[a].cmp(&keys[b]));
        if let Some(pair) = order.windows(2).find(|pair| keys[pair[0]] == keys[pair[1]]) {
            let (class, name) = &keys[pair[0]];
            return Err(Error::content(
                reading.place,
                "every picture once",
                format!("{class}/{name} twice"),
                "make the archive again",
            ));
        }
        // An archive that is in order already, as most are, needs no second copy in memory.
        if order.is_sorted() {
            return Ok(Loaded { side, keys, pixels, skipped: met.skipped() });
        }
        let size = 3 * side * side;
        let of = |&i: &usize| &pixels[i * size..(i + 1) * size];
        let pixels = order.iter().flat_map(of).copied().collect();
        keys.sort();
        Ok(Loaded { side, keys, pixels, skipped: met.skipped() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn loaded(threads: usize, skip_corrupt: bool, pictures: &[(&str, &str, Vec<u8>)]) -> Result<Loaded> {
        read(Reading { place: "p", threads, skip_corrupt, resize: None }, pictures)
    }

    fn read(reading: Reading, pictures: &[(&str, &str, Vec<u8>)]) -> Result<Loaded> {
        let mut pictures = pictures.iter();
        load(reading, || {
            Ok(pictures.next().map(|(class, name, bytes)| Picture {
                class: class.to_string(),
                name: name.to_string(),
                encoded: Encoded::Bytes(bytes.clone()),
            }))
        })
    }

    #[test]
    fn pictures_are_sorted_planes_whatever_the_threads() {
        let small = |value: u8| testing::png(2, 2, move |x, y| [value, x as u8, y as u8]);
        let names: Vec<String> = (0..200).map(|i| format!("{i:03}.png")).collect();
        let mut pictures: Vec<(&str, &str, Vec<u8>)> =
            names.iter().enumerate().map(|(i, name)| ("cat", name.as_str(), small(i as u8))).collect();
        pictures.push(("bee", "z.png", small(250)));
        for threads in [1, 3] {
            let all = loaded(threads, false, &pictures).unwrap();
            assert_eq!((all.side, all.keys.len(), all.pixels.len()), (2, 201, 201 * 12));
            assert_eq!(all.keys[0], ("bee".into(), "z.png".into()));
            assert_eq!(all.pixels[..12], [250, 250, 250, 250, 0, 1, 0, 1, 0, 0, 1, 1]);
            assert_eq!(all.keys[200], ("cat".into(), "199.png".into()));
            assert_eq!(all.pixels[200 * 12], 199);
        }
    }

    #[test]
    fn a_picture_of_another_size_is_named() {
        let message = |pictures: &[(&str, &str, Vec<u8>)]| loaded(2, true, pictures).unwrap_err().to_string();
        let other = message(&[("cat", "a", testing::plain(4, 1)), ("cat", "b", testing::plain(5, 1))]);
        assert!(other.contains("cat/b") && other.contains("4 × 4 pixels, as cat/a") && other.contains("found 5 × 5"));
        let large = message(&[("cat", "a", testing::plain(65, 1))]);
        assert!(large.contains("at most 64 × 64") && large.contains("--resize"), "{large}");
        let oblong = message(&[("cat", "a", testing::jpeg(4, 5))]);
        assert!(oblong.contains("square") && oblong.contains("4 × 5"), "{oblong}");
        assert!(message(&[]).contains("found none"));
    }

    /// Oracle: a picture of one value has it in any size, and of two halves the middle is half of each.
    #[test]
    fn pictures_of_any_size_are_brought_to_one() {
        let halves = testing::png(90, 30, |x, _| if x < 45 { [10; 3] } else { [200; 3] });
        let pictures = [("cat", "a", testing::plain(5, 9)), ("cat", "b", halves), ("dog", "c", testing::plain(4, 3))];
        let of = |threads| read(Reading { place: "p", threads, skip_corrupt: false, resize: Some(4) }, &pictures);
        let (one, three) = (of(1).unwrap(), of(3).unwrap());
        assert_eq!((one.side, one.pixels.len(), &one.pixels), (4, 3 * 48, &three.pixels));
        assert_eq!((&one.pixels[..48], &one.pixels[96..]), (&[9; 48][..], &[3; 48][..]));
        // Each side is the other one's mirror image, and the outer columns lie in one half.
        let [a, b, c, d] = [0, 1, 2, 3].map(|x| u32::from(one.pixels[48 + x]));
        assert!((a, d) == (10, 200) && b < c && (209..=211).contains(&(b + c)), "{a} {b} {c} {d}");
    }

    #[test]
    fn a_corrupt_picture_is_an_error_or_left_out() {
        let pictures =
            [("cat", "a", testing::plain(4, 1)), ("cat", "b", vec![1, 2, 3]), ("dog", "c", testing::plain(4, 2))];
        let message = loaded(1, false, &pictures).unwrap_err().to_string();
        assert!(message.contains("p: cat/b") && message.contains("--skip-corrupt"), "{message}");
        let all = loaded(2, true, &pictures).unwrap();
        assert_eq!((all.keys.len(), all.skipped), (2, 1));
        let message = loaded(2, true, &pictures[1..2]).unwrap_err().to_string();
        assert!(message.contains("1 corrupt"), "{message}");
    }

    #[test]
    fn a_picture_that_is_there_twice_is_named() {
        let twice = [("cat", "a", testing::plain(4, 1)), ("cat", "a", testing::plain(4, 1))];
        assert!(loaded(1, false, &twice).unwrap_err().to_string().contains("cat/a twice"));
    }
}
