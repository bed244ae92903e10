//! Pictures, folders and archives that tests make.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

/// A picture as a file.
pub fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A PNG of these pixels, by column and row.
pub fn png(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
    encode(&RgbImage::from_fn(width, height, |x, y| Rgb(pixel(x, y))).into(), ImageFormat::Png)
}

/// A PNG of one colour.
pub fn plain(side: u32, value: u8) -> Vec<u8> {
    png(side, side, |_, _| [value; 3])
}

/// A JPEG with something in it.
pub fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| Rgb([(x * 7) as u8, (y * 5) as u8, (x * y) as u8]));
    encode(&image.into(), ImageFormat::Jpeg)
}

/// A baseline JPEG of 8 × 8 pixels and four components, put together by hand: all coefficients are 0.
pub fn cmyk() -> Vec<u8> {
    let mut bytes = vec![0xff, 0xd8];
    let mut segment = |marker: u8, content: &[u8]| {
        bytes.extend([0xff, marker]);
        bytes.extend((content.len() as u16 + 2).to_be_bytes());
        bytes.extend(content);
    };
    // Adobe: version, flags, no transform.
    segment(0xee, b"Adobe\x00\x64\x00\x00\x00\x00\x00");
    let mut quantisation = vec![0];
    quantisation.extend([1; 64]);
    segment(0xdb, &quantisation);
    // 8 bits, height, width, then identifier, sampling and table of every component.
    segment(0xc0, &[8, 0, 8, 0, 8, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0]);
    // Two codes of two bits in each table, so that none is all ones: 00 is the value 0 (no difference; end of block).
    for class in [0x00, 0x10] {
        segment(0xc4, &[class, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }
    segment(0xda, &[4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0]);
    // Four times 00 00.
    bytes.extend([0, 0, 0xff, 0xd9]);
    bytes
}

/// Write files below a folder, with the folders that they need.
pub fn write(root: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// A tar of files; a name that ends in `/` is a folder.
pub fn tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        if name.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Compressed.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// CIFAR-10's binary files with `records` pictures each: picture i of batch b has the label i % 10, red b, green i, and in
/// blue the number of the pixel % 256. The test batch is batch 6.
pub fn batches(records: usize) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![("batches.meta.txt".to_string(), meta().into_bytes())];
    for batch in 1..=6u8 {
        let mut bytes = Vec::new();
        for i in 0..records {
            bytes.push((i % 10) as u8);
            bytes.extend([batch; 1024]);
            bytes.extend([i as u8; 1024]);
            bytes.extend((0..1024).map(|pixel| pixel as u8));
        }
        let name = if batch == 6 { "test_batch.bin".into() } else { format!("data_batch_{batch}.bin") };
        files.push((name, bytes));
    }
    files
}

/// The names of CIFAR-10's classes, with the empty line that the official file ends with.
pub fn meta() -> String {
    "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n".into()
}

/// The folder `part` of the reference data (`NMT_REFERENCE_DATA`, by default `../shared/data`); none, with a message,
/// where it is absent.
pub fn reference(part: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("NMT_REFERENCE_DATA") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
    };
    let path = root.join(part);
    if !path.exists() {
        eprintln!("skipped: {} is missing (set NMT_REFERENCE_DATA)", path.display());
        return None;
    }
    Some(path)
}
