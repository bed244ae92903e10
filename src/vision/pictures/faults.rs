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
        let mut lines = converted_lines(place, self.converted);
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

fn converted_lines(place: &str, counts: [usize; 4]) -> Vec<String> {
    let kinds = Converted::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0);
    let line = |(kind, count): (Converted, usize)| {
        format!("{place}: {} {} and became 8-bit RGB", pictures_were(count), kind.what())
    };
    kinds.map(line).collect()
}

fn pictures_were(count: usize) -> String {
    if count == 1 { "1 picture was".into() } else { format!("{count} pictures were") }
}

/// Of a split whose pictures are read again and again: each fault is said when it is met first, and all are counted.
#[derive(Debug, Default)]
pub(super) struct Met {
    converted: [BTreeSet<usize>; 4],
    corrupt: BTreeSet<usize>,
}

impl Met {
    /// Picture `index` was read; what there is to say.
    pub(super) fn read(
        &mut self,
        index: usize,
        converted: Option<Converted>,
        name: impl FnOnce() -> String,
    ) -> Option<String> {
        let kind = converted?;
        let met = &mut self.converted[kind.index()];
        (met.insert(index) && met.len() == 1)
            .then(|| format!("{} is {}; such pictures become 8-bit RGB", name(), kind.what()))
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

    /// How many pictures of each kind were met.
    pub(super) fn lines(&self, place: &str) -> Vec<String> {
        let mut lines = converted_lines(place, self.converted.each_ref().map(BTreeSet::len));
        if self.skipped() > 0 {
            lines.push(format!("{place}: {} corrupt and left out", pictures_were(self.skipped())));
        }
        lines
    }
}

/// Files of a split that are no pictures.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    named: Vec<String>,
    count: usize,
}

impl Ignored {
    /// One more.
    pub(super) fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(name());
        }
    }

    /// Say how many on standard error.
    pub(super) fn note(&self, place: &str) {
        self.line(place).iter().for_each(progress::note);
    }

    fn line(&self, place: &str) -> Option<String> {
        let what = if self.count == 1 { "1 is no picture".into() } else { format!("{} are no pictures", self.count) };
        let more = if self.count > self.named.len() { ", …" } else { "" };
        let named = self.named.join(", ");
        (self.count > 0).then(|| format!("{place}: {what} (.jpg, .jpeg, .png) and left out: {named}{more}"))
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
        assert!(met.read(0, None, || "a".into()).is_none());
        assert_eq!(
            met.read(1, Some(Converted::Grey), || "a".into()).unwrap(),
            "a is grey; such pictures become 8-bit RGB"
        );
        assert!(met.read(1, Some(Converted::Grey), || "a".into()).is_none());
        assert!(met.read(2, Some(Converted::Grey), || "b".into()).is_none());
        let said = (0..9).filter(|i| met.skip(i % 8, || "c".into(), "bad").is_some()).count();
        assert_eq!((said, met.skipped()), (6, 8));
        let lines = ["x: 2 pictures were grey and became 8-bit RGB", "x: 8 pictures were corrupt and left out"]
            .map(String::from);
        assert_eq!((met.lines("x"), Met::default().lines("x")), (lines.to_vec(), vec![]));
    }

    #[test]
    fn what_is_no_picture_is_counted() {
        let mut ignored = Ignored::default();
        assert_eq!(ignored.line("x"), None);
        ignored.add(|| "a.webp".into());
        assert_eq!(ignored.line("x").unwrap(), "x: 1 is no picture (.jpg, .jpeg, .png) and left out: a.webp");
        (0..6).for_each(|i| ignored.add(|| i.to_string()));
        let line = ignored.line("x").unwrap();
        assert!(line.contains("7 are no pictures") && line.ends_with("a.webp, 0, 1, 2, 3, …"), "{line}");
    }
}
