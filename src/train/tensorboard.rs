//! TensorBoard's event files: the numbers of the log, for who watches runs there.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message;
use serde_json::Value;

use crate::error::{Error, Result};

/// The folder of the event files in a run folder.
const FOLDER: &str = "tensorboard";
/// What the first record of a file says, so that steps which come twice are read as those of a run that was resumed.
const VERSION: &str = "brain.Event:2";
/// TensorBoard's `SessionLog.START`: what was written before for this step and later ones counts no more.
const START: i32 = 1;

/// An open event file of a run.
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Begin a file `RUN/tensorboard/events.out.tfevents.…` for what comes after `update`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(run: &Path, update: u64) -> Result<EventFile> {
        let folder = run.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(Error::io("create the folder", &folder))?;
        let since = now();
        // Sorted by name they are in the order of their beginnings, which is that in which they are read.
        let name = format!("events.out.tfevents.{:010}.{:09}.nmt", since.as_secs(), since.subsec_nanos());
        let path = folder.join(name);
        let file = File::create_new(&path).map_err(Error::io("write", &path))?;
        let mut events = EventFile { path, file };
        events.write(Event { file_version: Some(VERSION.into()), ..Event::default() })?;
        let session_log = Some(SessionLog { status: START });
        events.write(Event { step: update as i64 + 1, session_log, ..Event::default() })?;
        Ok(events)
    }

    /// Add every number of a line of the log as a scalar at its update: `train/loss`, `validation/bleu` …
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn add(&mut self, line: &Value) -> Result<()> {
        let (Some(event), Some(update), Some(object)) =
            (line["event"].as_str(), line["update"].as_u64(), line.as_object())
        else {
            return Ok(());
        };
        let group = if event == "update" { "train" } else { event };
        let numbers = object.iter().filter(|(key, _)| *key != "update").filter_map(|(key, value)| {
            let simple_value = value.as_f64()? as f32;
            Some(Scalar { tag: format!("{group}/{key}"), simple_value })
        });
        let value: Vec<Scalar> = numbers.collect();
        if value.is_empty() {
            return Ok(());
        }
        self.write(Event { step: update as i64, summary: Some(Summary { value }), ..Event::default() })
    }

    fn write(&mut self, event: Event) -> Result<()> {
        let record = record(&Event { wall_time: now().as_secs_f64(), ..event }.encode_to_vec());
        self.file.write_all(&record).map_err(Error::io("write", &self.path))
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// TFRecord: the length, its checksum, the data, their checksum, all little-endian.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_checksum(&length).to_le_bytes());
    record.extend(data);
    record.extend(masked_checksum(data).to_le_bytes());
    record
}

/// TFRecord's checksum: CRC-32C, turned by 15 bits, and a constant added.
fn masked_checksum(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The parts of TensorFlow's `event.proto` and `summary.proto` that scalars need.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, tag = "2")]
    simple_value: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every event of a file, its checksums checked.
    fn events(bytes: &[u8]) -> Vec<Event> {
        let (mut rest, mut events) = (bytes, Vec::new());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let data = &rest[12..12 + length];
            assert_eq!(rest[8..12], masked_checksum(&rest[..8]).to_le_bytes());
            assert_eq!(rest[12 + length..16 + length], masked_checksum(data).to_le_bytes());
            events.push(Event::decode(data).unwrap());
            rest = &rest[16 + length..];
        }
        events
    }

    /// Oracle: a record that TensorFlow's documentation of the format implies, CRC-32C of the RFC's own test vector.
    #[test]
    fn checksums_are_those_of_tfrecord() {
        // RFC 3720, B.4: 32 bytes of zeros have the CRC-32C 8a9136aa.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(masked_checksum(&[0; 32]), 0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8));
        assert_eq!(record(&[7]).len(), 17);
    }

    #[test]
    fn lines_become_scalars_and_a_resumed_run_says_from_where() {
        let run = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(run.path(), 0).unwrap();
        let update =
            serde_json::json!({"event": "update", "update": 5, "epoch": 1, "loss": 2.5, "learning_rate": 0.125});
        file.add(&update).unwrap();
        file.add(&serde_json::json!({"event": "validation", "update": 5, "bleu": 31.5, "best": true})).unwrap();
        file.add(&serde_json::json!({"event": "data", "update": 5, "what": "a file was replaced"})).unwrap();
        let mut resumed = EventFile::create(run.path(), 5).unwrap();
        resumed.add(&serde_json::json!({"event": "update", "update": 6, "loss": 2.0})).unwrap();
        let mut files: Vec<_> =
            std::fs::read_dir(run.path().join(FOLDER)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let [first, second] = [&files[0], &files[1]].map(|path| events(&std::fs::read(path).unwrap()));
        assert_eq!((first.len(), first[0].file_version.as_deref()), (4, Some(VERSION)));
        let scalars = |event: &Event| -> Vec<(String, f32)> {
            let summary = event.summary.clone().unwrap();
            summary.value.into_iter().map(|scalar| (scalar.tag, scalar.simple_value)).collect()
        };
        let expected = [("train/epoch", 1.0), ("train/learning_rate", 0.125), ("train/loss", 2.5)];
        let mut found = scalars(&first[2]);
        found.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(found, expected.map(|(tag, value)| (tag.to_string(), value)));
        assert_eq!((first[2].step, scalars(&first[3])), (5, vec![("validation/bleu".to_string(), 31.5)]));
        assert_eq!((second[1].step, &second[1].session_log), (6, &Some(SessionLog { status: START })));
        assert_eq!((second.len(), second[2].step), (3, 6));
    }
}
