//! Lines of more subwords than a model takes.

use nmt::data::EOS;
use nmt::progress;

/// What becomes of such a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TooLong {
    /// An error, after the lines before it.
    Fail,
    /// Its beginning is translated.
    Truncate,
    /// It has no translation.
    Skip,
}

/// Lines that are named at the end.
const NAMED: usize = 5;

/// Takes sentences that are too long for what the model takes.
pub struct Fitting {
    choice: TooLong,
    longest: usize,
    count: usize,
    named: Vec<String>,
}

/// A batch of sentences that all fit.
#[derive(Debug, PartialEq, Eq)]
pub struct Fitted {
    /// Those without a translation, as places in the batch; they are empty sentences in it.
    pub skipped: Vec<usize>,
    /// The length of the sentence that ends everything; the batch ends before it.
    pub failed: Option<usize>,
}

impl Fitting {
    /// Of a model that takes `longest` subwords, `</s>` included.
    pub fn new(choice: TooLong, longest: usize) -> Fitting {
        Fitting { choice, longest, count: 0, named: Vec::new() }
    }

    /// Make `sentences`, the first of which is that of line `first_line`, fit.
    pub fn fit(&mut self, sentences: &mut Vec<Vec<i64>>, first_line: usize) -> Fitted {
        let mut fitted = Fitted { skipped: Vec::new(), failed: None };
        for place in 0..sentences.len() {
            let length = sentences[place].len();
            if length <= self.longest {
                continue;
            }
            match self.choice {
                TooLong::Fail => {
                    sentences.truncate(place);
                    fitted.failed = Some(length);
                    return fitted;
                }
                TooLong::Truncate => sentences[place].truncate(self.longest.saturating_sub(1)),
                TooLong::Skip => {
                    sentences[place].clear();
                    fitted.skipped.push(place);
                }
            }
            sentences[place].push(EOS);
            self.count += 1;
            if self.named.len() < NAMED {
                self.named.push((first_line + place).to_string());
            }
        }
        fitted
    }
}

impl Drop for Fitting {
    /// Say on standard error how many did not fit, however it ends.
    fn drop(&mut self) {
        let what = match self.choice {
            _ if self.count == 0 => return,
            TooLong::Truncate => "translated as far as that",
            TooLong::Fail | TooLong::Skip => "not translated",
        };
        let more = if self.count > self.named.len() { ", …" } else { "" };
        progress::note(format!(
            "of more than {1} subwords, and {what}: {0}, line {2}{more}",
            if self.count == 1 { "1 line".to_string() } else { format!("{} lines", self.count) },
            self.longest,
            self.named.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_fit_in_each_way() {
        let batch = || vec![vec![7, EOS], vec![5, 6, 7, 8, EOS], vec![EOS], vec![9, 9, 9, EOS]];
        let fit = |choice, mut sentences| {
            let mut fitting = Fitting::new(choice, 3);
            let fitted = fitting.fit(&mut sentences, 10);
            (sentences, fitted.skipped, fitted.failed, fitting.named.join(" "))
        };
        let cut = vec![vec![7, EOS], vec![5, 6, EOS], vec![EOS], vec![9, 9, EOS]];
        assert_eq!(fit(TooLong::Truncate, batch()), (cut, vec![], None, "11 13".into()));
        let left = vec![vec![7, EOS], vec![EOS], vec![EOS], vec![EOS]];
        assert_eq!(fit(TooLong::Skip, batch()), (left, vec![1, 3], None, "11 13".into()));
        assert_eq!(fit(TooLong::Fail, batch()), (vec![vec![7, EOS]], vec![], Some(5), String::new()));
    }
}
