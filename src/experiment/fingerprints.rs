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
        match self {
            Fingerprints::Named(named) => named.is_empty(),
            Fingerprints::Joined(joined) => joined.is_empty(),
        }
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
    /// assert!(trained.may_be(&Fingerprints::Joined("3c1a2b".into())) && trained.may_be(&Fingerprints::Joined("2b".into())));
    /// ```
    pub fn may_be(&self, other: &Fingerprints) -> bool {
        match (self, other) {
            (Fingerprints::Named(ours), Fingerprints::Named(theirs)) => {
                ours.iter().all(|(split, hash)| theirs.get(split).is_none_or(|other| other == hash))
            }
            (Fingerprints::Named(named), Fingerprints::Joined(joined))
            | (Fingerprints::Joined(joined), Fingerprints::Named(named)) => {
                let has_all = named.values().all(|hash| joined.contains(hash.as_str()));
                let without = named.values().fold(joined.clone(), |rest, hash| rest.replacen(hash.as_str(), "", 1));
                joined.is_empty() || has_all || without.is_empty()
            }
            (Fingerprints::Joined(ours), Fingerprints::Joined(theirs)) => {
                ours.is_empty() || theirs.is_empty() || ours == theirs
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let of = |text: &str| serde_json::from_str::<Fingerprints>(text).unwrap();
        assert_eq!(of("\"1a2b\""), Fingerprints::Joined("1a2b".into()));
        let named = Fingerprints::Named(BTreeMap::from([("train".into(), "1a".into())]));
        assert_eq!(of("{\"train\": \"1a\"}"), named);
        assert_eq!(of(&serde_json::to_string(&named).unwrap()), named);
        assert!(of("{}").is_unknown() && of("\"\"").is_unknown() && !named.is_unknown());
    }
}
