//! What is wrong or unusual with the pictures of a split: counted, and named once.

use std::collections::BTreeSet;

use super::decode::Converted;
use crate::counted::Counted;
use crate::progress;

fn pictures_were(count: usize) -> String {
    if count == 1 { "1 picture was".into() } else { format!("{count} pictures were") }
}

/// What was met while the pictures of a split were read, once or again and again: every fault counts once.
#[derive(Debug, Default)]
pub(super) struct Met {
    converted: [BTreeSet<usize>; 4],
    resized: BTreeSet<usize>,
    corrupt: BTreeSet<usize>,
    /// The first corrupt ones, with what is wrong with them.
    named: Counted,
}

impl Met {
    /// Picture `index` was read; what there is to say where pictures are read while others are trained on.
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

    /// Picture `index` was of another size and brought to that of the network.
    pub(super) fn resize(&mut self, index: usize) {
        self.resized.insert(index);
    }

    /// Picture `index` is left out; what there is to say, as in [`Met::read`].
    pub(super) fn skip(&mut self, index: usize, name: impl FnOnce() -> String, reason: &str) -> Option<String> {
        if !self.corrupt.insert(index) {
            return None;
        }
        match self.named.add(|| format!("{} ({reason})", name())) {
            Some(named) => Some(format!("corrupt and left out: {named}")),
            None => self.named.is_first_unnamed().then(|| "more pictures are corrupt and left out".into()),
        }
    }

    /// Pictures that were left out until now.
    pub(super) fn skipped(&self) -> usize {
        self.corrupt.len()
    }

    /// How many pictures of each kind were met.
    pub(super) fn lines(&self, place: &str) -> Vec<String> {
        let kinds = Converted::ALL.into_iter().zip(&self.converted).filter(|(_, met)| !met.is_empty());
        let line = |(kind, met): (Converted, &BTreeSet<usize>)| {
            format!("{place}: {} {} and became 8-bit RGB", pictures_were(met.len()), kind.what())
        };
        let mut lines: Vec<String> = kinds.map(line).collect();
        if !self.resized.is_empty() {
            let were = pictures_were(self.resized.len());
            lines.push(format!("{place}: {were} of another size than the network's: resized, and the middle taken"));
        }
        if self.skipped() > 0 {
            let named = self.named.names();
            lines.push(format!("{place}: {} corrupt and left out: {named}", pictures_were(self.skipped())));
        }
        lines
    }

    /// Say it on standard error.
    pub(super) fn note(&self, place: &str) {
        self.lines(place).iter().for_each(progress::note);
    }
}

/// Files that are no pictures, or pictures of no class.
#[derive(Debug, Default)]
pub(super) struct Ignored(Counted);

impl Ignored {
    /// One more.
    pub(super) fn add(&mut self, name: impl FnOnce() -> String) {
        self.0.add(name);
    }

    /// Say on standard error how many there are among the classes of a split.
    pub(super) fn note_beside_classes(&self, place: &str) {
        self.line(place, "no .jpg, .jpeg or .png, or of no class").iter().for_each(progress::note);
    }

    /// The same of folders without classes.
    pub(super) fn note(&self, place: &str) {
        self.line(place, "no .jpg, .jpeg or .png").iter().for_each(progress::note);
    }

    fn line(&self, place: &str, why: &str) -> Option<String> {
        let (count, named) = (self.0.count(), self.0.names());
        let files = if count == 1 { "1 file is" } else { &format!("{count} files are") };
        (count > 0).then(|| format!("{place}: {files} left out ({why}): {named}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(met.read(3, Some(Converted::Cmyk), || "d".into()).is_some());
        let said = (0..9).filter(|i| met.skip(i % 8, || format!("p{}", i % 8), "bad").is_some()).count();
        assert_eq!((said, met.skipped()), (6, 8));
        [7, 8, 8].into_iter().for_each(|i| met.resize(i));
        let lines = [
            "x: 2 pictures were grey and became 8-bit RGB",
            "x: 1 picture was in CMYK and became 8-bit RGB",
            "x: 2 pictures were of another size than the network's: resized, and the middle taken",
            "x: 8 pictures were corrupt and left out: p0 (bad), p1 (bad), p2 (bad), p3 (bad), p4 (bad), …",
        ]
        .map(String::from);
        assert_eq!((met.lines("x"), Met::default().lines("x")), (lines.to_vec(), vec![]));
    }

    #[test]
    fn what_is_no_picture_is_counted() {
        let mut ignored = Ignored::default();
        assert_eq!(ignored.line("x", "why"), None);
        ignored.add(|| "a.webp".into());
        assert_eq!(ignored.line("x", "why").unwrap(), "x: 1 file is left out (why): a.webp");
        (0..6).for_each(|i| ignored.add(|| i.to_string()));
        let line = ignored.line("x", "why").unwrap();
        assert_eq!(line, "x: 7 files are left out (why): a.webp, 0, 1, 2, 3, …");
    }
}
