//! Whether a run was of the same data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Fingerprints of what runs read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fingerprints {
    /// By the name of the split.
    Named(BTreeMap<String, String>),
    /// Of an earlier version: those of all splits one after the other, in the order of their names; empty: not known.
    Joined(String),
}

impl Default for Fingerprints {
    fn default() -> Fingerprints {
        Fingerprints::Joined(String::new())
    }
}

impl Fingerprints {
    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        self.joined().is_empty()
    }

    /// Whether nothing that is known of both speaks against it that they are of the same data: a run that is scored on a further
    /// split is still of the same.
    ///
    /// ```
    /// use nmt::experiment::Fingerprints;
    /// let of = |pairs: &[(&str, &str)]| {
    ///     Fingerprints::Named(pairs.iter().map(|(split, hash)| (split.to_string(), hash.to_string())).collect())
    /// };
    /// let trained = of(&[("train", "1a"), ("valid", "2b")]);
    /// assert!(trained.may_be(&of(&[("test", "3c"), ("train", "1a"), ("valid", "2b")])));
    /// assert!(!trained.may_be(&of(&[("train", "1a"), ("valid", "2c")])));
    /// assert!(trained.may_be(&Fingerprints::Joined("1a2b".into())) && trained.may_be(&Fingerprints::default()));
    /// assert!(!trained.may_be(&Fingerprints::Joined("1a2c".into())));
    /// ```
    pub fn may_be(&self, other: &Fingerprints) -> bool {
        match (self, other) {
            (Fingerprints::Named(ours), Fingerprints::Named(theirs)) => {
                ours.iter().all(|(split, hash)| theirs.get(split).is_none_or(|other| other == hash))
            }
            _ => self.is_unknown() || other.is_unknown() || self.joined() == other.joined(),
        }
    }

    fn joined(&self) -> String {
        match self {
            Fingerprints::Named(named) => named.values().map(String::as_str).collect(),
            Fingerprints::Joined(joined) => joined.clone(),
        }
    }
}
