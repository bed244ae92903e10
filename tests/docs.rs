//! What the documentation names is there.
mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::command::Lab;

/// README and everything in docs/, with their names.
fn documents() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.extend([root.join("README.md"), root.join("configs/README.md"), root.join("results/README.md")]);
    paths.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// The keys of a configuration that `nmt config` or `nmt vision config` prints.
fn keys(printed: &str) -> BTreeSet<String> {
    let (mut section, mut keys) = (String::new(), BTreeSet::new());
    for line in printed.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_string();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.insert(format!("{section}.{key}"));
        }
    }
    keys
}

#[test]
fn keys_that_are_named_exist() {
    let lab = Lab::new();
    let mut known = keys(&lab.nmt(&["config"]).ok());
    known.extend(keys(&lab.nmt(&["vision", "config"]).ok()));
    let sections: BTreeSet<&str> = known.iter().filter_map(|key| key.split('.').next()).collect();
    let mut checked = 0;
    for (path, text) in documents() {
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_')) {
            let Some((section, key)) = word.split_once('.') else { continue };
            // Files (`config.toml`), code and keys of other files (`model.merges`) have other second halves.
            let is_key = key.len() > 2 && key.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit());
            if sections.contains(section)
                && is_key
                && !["toml", "json", "safetensors", "trajectory", "svg", "csv", "bin", "layout", "merges"]
                    .contains(&key)
            {
                assert!(known.contains(word), "{} names {word}, which is no key", path.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 60, "{checked}");
}

#[test]
fn options_of_nmt_in_the_fairseq_table_exist() {
    let lab = Lab::new();
    let help: String = ["preprocess", "train", "translate", "score", "gradinit", "average"]
        .iter()
        .map(|command| lab.nmt(&[command, "--help"]).ok())
        .collect();
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/from_fairseq.md")).unwrap();
    let mut checked = 0;
    // The second column.
    for cell in text.lines().filter_map(|line| line.strip_prefix('|')?.split('|').nth(1)) {
        for option in
            cell.split(|c: char| c.is_whitespace() || "`,;()".contains(c)).filter(|word| word.starts_with("--"))
        {
            if option.len() > 2 && !option.starts_with("---") {
                assert!(help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n")), "{option}");
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "{checked}");
}

#[test]
fn links_lead_somewhere() {
    let mut checked = 0;
    for (path, text) in documents() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.starts_with('#') || target.contains(' ') {
                continue;
            }
            let file = path.parent().unwrap().join(target.split('#').next().unwrap());
            assert!(file.exists(), "{} links to {target}, which is not there", path.display());
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}
