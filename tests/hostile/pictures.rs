//! Damaged pictures, and damaged files of pictures.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};
use nmt::vision::pictures::{AugmentConfig, PictureData, PictureKind, PictureOptions, Pictures, Split};
use tch::Device;

use crate::common::pictures::write_cifar;
use crate::mutate::attack;

/// Every picture of the test split, as evaluation takes them; how many there are.
fn read(root: &Path, kind: PictureKind) -> nmt::Result<usize> {
    let options = PictureOptions { kind, threads: Some(1), ..PictureOptions::default() };
    let pictures = Pictures::open(root, Split::Test, options)?;
    let (count, classes, side) = (pictures.len(), pictures.classes().len() as i64, pictures.side() as i64);
    assert!((0..count).all(|i| (0..classes).contains(&pictures.class_of(i))));
    let augment = AugmentConfig { crop_padding: 0, flip: false, cutout: 0, mixup: 0.0 };
    let data = PictureData::new(pictures, augment, 8, 1, Device::Cpu)?;
    let mut seen = 0;
    for batch in data.evaluation_batches() {
        let size = batch?.pictures.size();
        assert_eq!(size[1..], [3, side, side]);
        seen += size[0] as usize;
    }
    assert_eq!(seen, count);
    Ok(count)
}

/// Damage `file` below `root`, a folder of pictures, and read all of them; `check` is given how many there were, and the bytes.
fn attack_file(root: &Path, file: &str, kind: PictureKind, check: impl Fn(usize, &[u8])) {
    let path = root.join(file);
    let original = fs::read(&path).unwrap();
    attack(file.rsplit('/').next().unwrap(), &original, |bytes| {
        fs::write(&path, bytes).unwrap();
        check(read(root, kind)?, bytes);
        Ok(())
    });
}

fn cifar() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_cifar(folder.path(), 20, 4);
    folder
}

#[test]
fn a_batch_of_cifar() {
    let whole = |pictures, bytes: &[u8]| assert_eq!(pictures, bytes.len() / 3073);
    attack_file(cifar().path(), "test_batch.bin", PictureKind::Small, whole);
}

#[test]
fn the_classes_of_cifar() {
    attack_file(cifar().path(), "batches.meta.txt", PictureKind::Small, |pictures, _| assert_eq!(pictures, 4));
}

fn picture(side: u32, format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(side, side, |x, y| Rgb([(x * 7) as u8, (y * 5) as u8, (x * y) as u8]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A picture of two, of one class each; the other is whole.
fn attack_picture(name: &str, side: u32, kind: PictureKind) {
    let format = ImageFormat::from_path(name).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for class in ["a", "b"] {
        let class = folder.path().join("test").join(class);
        fs::create_dir_all(&class).unwrap();
        fs::write(class.join(name), picture(side, format)).unwrap();
    }
    attack_file(folder.path(), &format!("test/a/{name}"), kind, |pictures, _| assert_eq!(pictures, 2));
}

#[test]
fn a_small_jpeg() {
    attack_picture("small.jpg", 32, PictureKind::Small);
}

#[test]
fn a_large_jpeg() {
    attack_picture("large.jpg", 60, PictureKind::Large);
}

#[test]
fn a_png() {
    attack_picture("small.png", 16, PictureKind::Small);
}

#[test]
fn an_archive_of_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    for class in ["a", "b"] {
        let content = picture(8, ImageFormat::Png);
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("test/{class}/1.png"), content.as_slice()).unwrap();
    }
    fs::write(folder.path().join("test.tar"), archive.into_inner().unwrap()).unwrap();
    attack_file(folder.path(), "test.tar", PictureKind::Small, |_, _| {});
}
