//! Do the files of a folder belong together? Dictionaries and byte-pair encoding against what `preprocess.json` says of them.

use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::dictionary::Dictionary;
use super::folder::dictionary_path;
use crate::error::{Error, Result};
use crate::text::{SETTINGS_FILE, SUBWORD_FILE, read_settings};

/// What is needed of `preprocess.json`.
#[derive(Deserialize)]
struct SettingsFile {
    report: Option<Report>,
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    dictionaries: Vec<DictionaryEntry>,
    bpe_merges: Option<u64>,
    tokenizer_hash: Option<String>,
}

#[derive(Deserialize)]
struct DictionaryEntry {
    language: String,
    hash: String,
}

/// Refuse a data or run folder whose dictionaries or `tokenizer.json` are not those that its `preprocess.json` was written
/// with: ids would mean other words. A folder without `preprocess.json`, such as fairseq's, says nothing.
///
/// # Errors
/// [`Error::Content`] with the file that does not belong to the others.
pub fn check_agreement(dir: &Path, dictionaries: [(&str, &Dictionary); 2]) -> Result<()> {
    let Some(SettingsFile { report: Some(report) }) = read_settings(dir)? else { return Ok(()) };
    let refuse = |path: &Path, expected: &str, found: &str| {
        let next = "put the file of the folder back, or make the data again with `nmt preprocess`";
        Err(Error::content(path.display().to_string(), expected, found, next))
    };
    for (language, dictionary) in dictionaries {
        let mut entries = report.dictionaries.iter().filter(|entry| entry.language == language);
        if entries.any(|entry| entry.hash != dictionary.hash()) {
            let expected = format!("the dictionary that {SETTINGS_FILE} beside it was written with");
            return refuse(&dictionary_path(dir, language), &expected, "other words, or another order of them");
        }
    }
    let path = dir.join(SUBWORD_FILE);
    let kind = if report.bpe_merges.is_some() { "byte-pair encoding" } else { "unigram model" };
    if report.bpe_merges.is_some() || report.tokenizer_hash.is_some() {
        let expected = format!("the {kind} that {SETTINGS_FILE} beside it was written with");
        if !path.exists() {
            return refuse(&path, &expected, "no such file");
        }
        if report.tokenizer_hash.is_some_and(|hash| file_hash(&path).is_ok_and(|found| found != hash)) {
            return refuse(&path, &expected, "another one");
        }
    } else if path.exists() && !report.dictionaries.is_empty() {
        let expected = format!("no byte-pair encoding, since {SETTINGS_FILE} beside it has none");
        return refuse(&path, &expected, "one");
    }
    Ok(())
}

/// SHA-256, in hexadecimal, of a file's bytes: what `sha256sum` prints.
pub(super) fn file_hash(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a folder whose `preprocess.json` has this report.
    fn said(report: &str, tokenizer: Option<&str>) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("dict.de.txt"), "ein 4\nHaus 1\n").unwrap();
        let dictionary = Dictionary::load(&folder.path().join("dict.de.txt")).unwrap();
        let settings = report.replace("HASH", &dictionary.hash());
        std::fs::write(folder.path().join(SETTINGS_FILE), format!("{{\"report\": {settings}}}")).unwrap();
        if let Some(text) = tokenizer {
            std::fs::write(folder.path().join(SUBWORD_FILE), text).unwrap();
        }
        let checked = check_agreement(folder.path(), [("de", &dictionary), ("en", &dictionary)]);
        checked.map_or_else(|error| error.to_string(), |()| "all well".into())
    }

    #[test]
    fn what_does_not_belong_is_named() {
        let own = r#"{"dictionaries": [{"language": "de", "hash": "HASH"}], "bpe_merges": null}"#;
        assert_eq!(said(own, None), "all well");
        assert!(said(own, Some("{}")).contains("tokenizer.json: expected no byte-pair encoding"));
        let other = own.replace("HASH", "0123");
        assert!(said(&other, None).contains("dict.de.txt: expected the dictionary"));
        assert_eq!(said(&other.replace("\"de\"", "\"fr\""), None), "all well");
        // The hash of the two bytes `{}`.
        let hash = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        let with = own.replace("null", &format!("3, \"tokenizer_hash\": \"{hash}\""));
        assert_eq!(said(&with, Some("{}")), "all well");
        assert!(said(&with, Some("{ }")).contains("found another one"));
        assert!(said(&with, None).contains("tokenizer.json: expected the byte-pair encoding"));
        // What older programs wrote.
        assert_eq!(said("null", Some("{}")), "all well");
        assert_eq!(said(&own.replace("null", "3"), Some("{ }")), "all well");
    }
}
