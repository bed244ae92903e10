//! What is wrong or unusual with the pictures of a split: counted, and named once.

use std::collections::BTreeSet;

use super::decode::Converted;
use crate::progress;

/// Corrupt pictures that are named.
const NAMED: usize = 5;

/// Of a split whose pictures are all read at once.
#[derive(Debug, Default)]
pub(super) struct Tally {
    converted: [usize; 4],
    corrupt: Vec<String>,
    skipped: usize,
}

impl Tally {
    /// One more picture was read, and was of this kind before.
    pub(super) fn read(&mut self, converted: Option<Converted>) {
        if let Some(kind) = converted {
            self.converted[kind.index()] += 1;
        }
    }

    /// One more picture is left out.
    pub(super) fn skip(&mut self, name: String, reason: &str) {
        self.skipped += 1;
        if self.corrupt.len() < NAMED {
            self.corrupt.push(format!("{name} ({reason})"));
        }
    }

    /// Pictures that are left out.
    pub(super) fn skipped(&self) -> usize {
        self.skipped
    }

    /// The lines that say it.
    pub(super) fn lines(&self, place: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for (kind, count) in Converted::ALL.into_iter().zip(self.converted) {
            if count > 0 {
                lines.push(format!("{place}: {} {} and became 8-bit RGB", pictures_were(count), kind.what()));
            }
        }
        if self.skipped > 0 {
            let more = if self.skipped > self.corrupt.len() { ", …" } else { "" };
            let named = self.corrupt.join(", ");
            lines.push(format!("{place}: {} corrupt and left out: {named}{more}", pictures_were(self.skipped)));
        }
        lines
    }

    /// Say it on standard error.
    pub(super) fn note(&self, place: &str) {
        self.lines(place).iter().for_each(progress::note);
    }
}

fn pictures_were(count: usize) -> String {
    if count == 1 { "1 picture was".into() } else { format!("{count} pictures were") }
}

/// Of a split whose pictures are read again and again: each fault is said when it is met first.
#[derive(Debug, Default)]
pub(super) struct Met {
    kinds: [bool; 4],
    corrupt: BTreeSet<usize>,
}

impl Met {
    /// A picture was read; what there is to say.
    pub(super) fn read(&mut self, converted: Option<Converted>, name: impl FnOnce() -> String) -> Option<String> {
        let kind = converted?;
        let met = std::mem::replace(&mut self.kinds[kind.index()], true);
        (!met).then(|| format!("{} is {}; such pictures become 8-bit RGB", name(), kind.what()))
    }

    /// Picture `index` is left out; what there is to say.
    pub(super) fn skip(&mut self, index: usize, name: impl FnOnce() -> String, reason: &str) -> Option<String> {
        let new = self.corrupt.insert(index);
        match (new, self.corrupt.len()) {
            (true, ..=NAMED) => Some(format!("{} is corrupt and left out: {reason}", name())),
            (true, count) if count == NAMED + 1 => Some("more pictures are corrupt and left out".into()),
            _ => None,
        }
    }

    /// Pictures that were left out until now.
    pub(super) fn skipped(&self) -> usize {
        self.corrupt.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_counts_and_names_the_first_five() {
        let mut tally = Tally::default();
        assert!(tally.lines("x").is_empty());
        for kind in [Some(Converted::Grey), None, Some(Converted::Grey), Some(Converted::Cmyk)] {
            tally.read(kind);
        }
        assert_eq!(
            tally.lines("x"),
            ["x: 2 pictures were grey and became 8-bit RGB", "x: 1 picture was in CMYK and became 8-bit RGB"]
        );
        (0..7).for_each(|i| tally.skip(format!("p{i}"), "bad"));
        let line = tally.lines("x").pop().unwrap();
        assert!(line.starts_with("x: 7 pictures were corrupt and left out: p0 (bad), "), "{line}");
        assert!(line.ends_with("p4 (bad), …"), "{line}");
        assert_eq!(tally.skipped(), 7);
    }

    #[test]
    fn what_was_met_is_said_once() {
        let mut met = Met::default();
        assert!(met.read(None, || "a".into()).is_none());
        assert_eq!(
            met.read(Some(Converted::Grey), || "a".into()).unwrap(),
            "a is grey; such pictures become 8-bit RGB"
        );
        assert!(met.read(Some(Converted::Grey), || "b".into()).is_none());
        let said = (0..9).filter(|i| met.skip(i % 8, || "c".into(), "bad").is_some()).count();
        assert_eq!((said, met.skipped()), (6, 8));
    }
}
