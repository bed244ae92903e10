//! Pictures of this project's own in CIFAR-10's binary form.
#![allow(dead_code)]

use std::path::Path;

use image::{Rgb, RgbImage};
use rand::{Rng, SeedableRng};

/// Write `count` pictures as CLASS/NUMBER.png of each of these classes: a bright bar at the height of the class on dark
/// noise.
pub fn write_folders(folder: &Path, classes: &[&str], count: usize) {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    for (class, name) in classes.iter().enumerate() {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        for number in 0..count {
            let mut value = |row: u32| random.random_range(0..60) + if row as usize / 3 == class { 180 } else { 0 };
            let picture = RgbImage::from_fn(32, 32, |_, row| Rgb([value(row), value(row), value(row)]));
            picture.save(folder.join(name).join(format!("{number}.png"))).unwrap();
        }
    }
}

/// Write `training` pictures in five batches and `test` more, as many as in a batch, of ten classes: picture i is of the class i mod 10, a bright
/// bar at the height of its class on dark noise.
pub fn write_cifar(folder: &Path, training: usize, test: usize) {
    std::fs::create_dir_all(folder).unwrap();
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let mut records = |count: usize| -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count * 3073);
        for i in 0..count {
            let class = (i % 10) as u8;
            bytes.push(class);
            for _channel in 0..3 {
                for row in 0..32usize {
                    let bright = (row / 3) as u8 == class;
                    bytes.extend((0..32).map(|_| random.random_range(0..60) + if bright { 180 } else { 0 }));
                }
            }
        }
        bytes
    };
    for batch in 1..=5 {
        std::fs::write(folder.join(format!("data_batch_{batch}.bin")), records(training / 5)).unwrap();
    }
    std::fs::write(folder.join("test_batch.bin"), records(test)).unwrap();
    std::fs::write(folder.join("batches.meta.txt"), "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n").unwrap();
}
