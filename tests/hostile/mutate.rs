//! A file with one thing wrong, and what becomes of many such files.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::memory::largest_request;

/// Numbers at which lengths and offsets overflow.
const EXTREMES: [u64; 8] = [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff];
/// The same for numbers in letters.
const NUMBERS: [&str; 8] =
    ["0", "-1", "1e999", "nan", "2147483648", "9223372036854775807", "18446744073709551616", "77777777777"];
/// Characters that formats are made of.
const STRUCTURE: &[u8] = b"\n\r\t \0\"'\\{}[]<>/,:;=#@.0\xff\x80";

/// Damage `original` in one way; what was done goes with it.
pub fn mutate(original: &[u8], random: &mut ChaCha8Rng) -> (Vec<u8>, String) {
    let mut bytes = original.to_vec();
    let n = bytes.len();
    // Half of the time near the front, where most formats have their header.
    let front = if random.random() { n.min(256) } else { n };
    let at = random.random_range(0..front.max(1)).min(n.saturating_sub(1));
    let length = random.random_range(1..=32).min(n - at);
    let chunk = bytes[at..at + length].to_vec();
    let what = match random.random_range(0..9) {
        0 => {
            let bit = random.random_range(0..8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        1 => {
            bytes.truncate(at);
            format!("cut to {at} bytes")
        }
        2 => {
            let new: Vec<u8> = (0..length).map(|_| random.random()).collect();
            bytes.splice(at..at, new);
            format!("{length} bytes inserted at {at}")
        }
        3 => {
            let times = random.random_range(1..100);
            bytes.splice(at..at, chunk.repeat(times));
            format!("{length} bytes at {at} repeated {times} times")
        }
        4 => {
            bytes.drain(at..at + length);
            format!("{length} bytes at {at} removed")
        }
        5 => {
            let number = EXTREMES[random.random_range(0..EXTREMES.len())];
            let width = [1, 2, 4, 8][random.random_range(0..4)].min(n - at);
            bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
            format!("the number {number:#x} in {width} bytes at {at}")
        }
        6 => {
            let other = random.random_range(0..=n - length);
            let there = bytes[other..other + length].to_vec();
            bytes[at..at + length].copy_from_slice(&there);
            if other.abs_diff(at) >= length {
                bytes[other..other + length].copy_from_slice(&chunk);
            }
            format!("{length} bytes at {at} and {other} exchanged")
        }
        7 => {
            let digits = |bytes: &[u8], at: usize| bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let at = (at..n).find(|&at| digits(&bytes, at) > 0).unwrap_or(at);
            let number = NUMBERS[random.random_range(0..NUMBERS.len())];
            let end = at + digits(&bytes, at);
            bytes.splice(at..end, number.bytes());
            format!("the number at {at} is {number}")
        }
        _ => {
            bytes[at] = STRUCTURE[random.random_range(0..STRUCTURE.len())];
            format!("byte {at} is {:?}", char::from(bytes[at]))
        }
    };
    (bytes, what)
}

/// How many times a format is damaged.
fn mutations() -> u64 {
    std::env::var("NMT_MUTATIONS").map_or(300, |number| number.parse().expect("NMT_MUTATIONS is a number"))
}

/// Read `original`, which has to work, and then many damaged copies of it. `read` gives the program's verdict and fails
/// the test by a panic when an accepted file gave a wrong answer.
pub fn attack(format: &str, original: &[u8], mut read: impl FnMut(&[u8]) -> nmt::Result<()>) {
    nmt::progress::set_quiet(true);
    read(original).unwrap_or_else(|error| panic!("{format}, undamaged: {error}"));
    let (mut refused, mut accepted) = (0, 0);
    let mut random = ChaCha8Rng::seed_from_u64(20_221_113);
    for number in 0..mutations() {
        let (bytes, what) = mutate(original, &mut random);
        let case = format!("{format}, mutation {number} ({what})");
        let (verdict, largest) = largest_request(|| catch_unwind(AssertUnwindSafe(|| read(&bytes))));
        let limit = (32 << 20) + 16 * bytes.len();
        assert!(largest < limit, "{case}: {largest} bytes of memory at once for a file of {}", bytes.len());
        match verdict {
            Ok(Ok(())) => accepted += 1,
            Ok(Err(error)) => {
                refused += 1;
                let message = error.to_string();
                assert!(
                    message.contains("expected") || message.contains("cannot") || error.exit_code() == 2,
                    "{case}: {message}"
                );
            }
            Err(_) => panic!("{case}: panicked, or a wrong answer"),
        }
    }
    println!("| {format} | {} | {refused} | {accepted} |", original.len());
}
