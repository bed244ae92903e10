//! Lines of more subwords than a model takes.

use nmt::counted::Counted;
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

/// Takes sentences that are too long for what the model takes.
pub struct Fitting {
    choice: TooLong,
    longest: usize,
    /// The lines that did not fit.
    lines: Counted,
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
        Fitting { choice, longest, lines: Counted::default() }
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
            self.lines.add(|| (first_line + place).to_string());
        }
        fitted
    }
}

impl Drop for Fitting {
    /// Say on standard error how many did not fit, however it ends.
    fn drop(&mut self) {
        let what = match self.choice {
            _ if self.lines.count() == 0 => return,
            TooLong::Truncate => "translated as far as that",
            TooLong::Fail | TooLong::Skip => "not translated",
        };
        let lines = if self.lines.count() == 1 { "line of" } else { "lines of" };
        progress::note(format!(
            "{} {lines} more than {} subwords, {what}: line {}",
            self.lines.count(),
            self.longest,
            self.lines.names()
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
            (sentences, fitted.skipped, fitted.failed, fitting.lines.names())
        };
        let cut = vec![vec![7, EOS], vec![5, 6, EOS], vec![EOS], vec![9, 9, EOS]];
        assert_eq!(fit(TooLong::Truncate, batch()), (cut, vec![], None, "11, 13".into()));
        let left = vec![vec![7, EOS], vec![EOS], vec![EOS], vec![EOS]];
        assert_eq!(fit(TooLong::Skip, batch()), (left, vec![1, 3], None, "11, 13".into()));
        assert_eq!(fit(TooLong::Fail, batch()), (vec![vec![7, EOS]], vec![], Some(5), String::new()));
    }
}
