//! Files of one JSON object a line, as a run that is still going, or was cut off, leaves them.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// The objects of a file with the numbers of their lines, counted from 1. A last line without its line break that does
/// not parse is still being written, or was torn by a crash: it is left out.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::Content`] for every other line that is not a `T`.
pub fn read_json_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<(usize, T)>> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let mut objects = Vec::new();
    for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(object) => objects.push((index + 1, object)),
            Err(_) if !line.ends_with(b"\n") => break,
            Err(error) => {
                return Err(Error::content(
                    format!("{}:{}", path.display(), index + 1),
                    "one JSON object of a log",
                    format!("{:?} ({error})", shortened(&String::from_utf8_lossy(line))),
                    "check that the file is a log of this program, or delete the line",
                ));
            }
        }
    }
    Ok(objects)
}

fn shortened(line: &str) -> String {
    const LENGTH: usize = 60;
    let line = line.trim();
    if line.chars().count() <= LENGTH {
        return line.to_owned();
    }
    line.chars().take(LENGTH).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<Vec<(usize, serde_json::Value)>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        fs::write(&path, content).unwrap();
        read_json_lines(&path)
    }

    #[test]
    fn a_torn_last_line_is_left_out() {
        assert_eq!(
            read(b"{\"a\":1}\n\n{\"a\":2}\n{\"a\":").unwrap().iter().map(|(line, _)| *line).collect::<Vec<_>>(),
            [1, 3]
        );
        // Torn inside a character of two bytes.
        assert_eq!(read(b"{\"a\":1}\n{\"\xc3").unwrap().len(), 1);
        // Whole, only its line break is missing.
        assert_eq!(read(b"{\"a\":1}\n{\"a\":2}").unwrap().len(), 2);
        assert_eq!(read(b"").unwrap().len(), 0);
    }

    #[test]
    fn a_bad_line_is_named() {
        let message = read(b"{\"a\":1}\nnonsense\n{\"a\":2}\n").unwrap_err().to_string();
        assert!(message.contains("log.jsonl:2: expected one JSON object"), "{message}");
        assert!(message.contains("\"nonsense\""), "{message}");
    }
}
