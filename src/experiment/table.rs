//! The outcomes of an experiment as Markdown and CSV.

use std::fmt::Write;

use super::outcome::Outcome;
use super::plan::{Plan, short};
use super::run_config::Trained;
use crate::error::{Error, Result};
use crate::score::spread;

/// The outcomes of one method at one point, over the seeds that have run.
pub(super) struct Cell<'a> {
    pub(super) method: &'a str,
    pub(super) point: Vec<(String, String)>,
    outcomes: Vec<&'a Outcome>,
}

pub(super) fn cells<'a>(plan: &'a Plan, outcomes: &'a [Outcome]) -> Vec<Cell<'a>> {
    let mut cells = Vec::new();
    for method in &plan.methods {
        for point in plan.points() {
            let here = |outcome: &&Outcome| outcome.method == method.name && outcome.point == point;
            let outcomes = outcomes.iter().filter(here).collect();
            cells.push(Cell { method: &method.name, point, outcomes });
        }
    }
    cells
}

/// What the runs of a plan are compared by.
pub(super) struct Score {
    /// Its name in tables and pictures.
    pub(super) name: &'static str,
    of: fn(&Outcome) -> Option<f64>,
    /// What a run that ended with an error counts as.
    failed: Option<f64>,
}

impl Score {
    /// Of image networks the best accuracy; of translation test BLEU, or where nothing is scored the last validation's BLEU, or
    /// where training does not measure that its loss.
    pub(super) fn of(plan: &Plan, outcomes: &[Outcome]) -> Score {
        let better = |name, of| Score { name, of, failed: Some(0.0) };
        match (plan.task, plan.score) {
            (Trained::Vision, _) => better("best accuracy (%)", |outcome| outcome.best_accuracy),
            (_, true) => better("BLEU, test", |outcome| outcome.test_bleu),
            _ if outcomes.iter().any(|outcome| outcome.last_bleu.is_some()) => {
                better("BLEU, last validation", |outcome| outcome.last_bleu)
            }
            _ => Score { name: "validation nll (bits)", of: |outcome| outcome.validation_nll, failed: None },
        }
    }

    /// The scores of a cell's runs.
    pub(super) fn values(&self, cell: &Cell) -> Vec<f64> {
        cell.values(self.of, self.failed)
    }
}

impl Cell<'_> {
    /// The values that are known of a quantity; `instead` is that of runs that ended with an error.
    pub(super) fn values(&self, quantity: fn(&Outcome) -> Option<f64>, instead: Option<f64>) -> Vec<f64> {
        let value = |outcome: &&Outcome| if outcome.failure.is_some() { instead } else { quantity(outcome) };
        self.outcomes.iter().filter_map(value).collect()
    }
}

/// Mean ± standard error; the mean alone of one run; `-` of none.
fn mean(values: &[f64], digits: usize) -> String {
    match values {
        [] => "-".into(),
        [one] => format!("{one:.digits$}"),
        values => {
            let (mean, _, error) = spread(values);
            format!("{mean:.digits$} ± {error:.digits$}")
        }
    }
}

/// A report: the plan, and one row for every method and point. `command` and `facts` say how and where it was made.
pub fn markdown(plan: &Plan, outcomes: &[Outcome], command: &str, facts: &str) -> String {
    let mut text = format!("# {}\n\n", plan.title);
    if !plan.about.is_empty() {
        let _ = writeln!(text, "{}\n", plan.about.trim());
    }
    let _ = writeln!(text, "    {command}\n\n{facts}\n");
    let planned = plan.runs().len();
    let _ = writeln!(text, "{} of {planned} runs have ended; means ± standard errors over seeds.\n", outcomes.len());
    if plan.task == Trained::Translation {
        let _ = writeln!(text, "Losses are bits a target token; label smoothing is part of the training loss.\n");
    }
    let axes: String = plan.axes.iter().map(|axis| format!(" {} |", short(&axis.key))).collect();
    let score = Score::of(plan, outcomes);
    let columns = match plan.task {
        Trained::Vision => " ‖g‖₂, last iteration | Acc₀ | Acc_best | Acc₀, by seed |".to_string(),
        Trained::Translation if plan.score => {
            " validation nll | BLEU, validation | BLEU, test | test, by seed |".to_string()
        }
        Trained::Translation if score.failed.is_none() => " validation nll |".to_string(),
        Trained::Translation => format!(" validation nll | {} | by seed |", score.name),
    };
    let header = format!("| method |{axes} runs | training loss |{columns}");
    let _ = writeln!(text, "{header}\n|{}", "---|".repeat(header.matches('|').count() - 1));
    for cell in cells(plan, outcomes) {
        let point: String = cell.point.iter().map(|(_, value)| format!(" {value} |")).collect();
        let losses = mean(&cell.values(|outcome| outcome.training_loss, None), 3);
        let _ = write!(text, "| {} |{point} {} | {losses} |", cell.method, cell.outcomes.len());
        if plan.task == Trained::Vision {
            let first = cell.values(|outcome| outcome.first_accuracy, Some(0.0));
            let best = mean(&cell.values(|outcome| outcome.best_accuracy, Some(0.0)), 2);
            let each: Vec<String> = first.iter().map(|accuracy| format!("{accuracy:.2}")).collect();
            let norm = mean(&cell.values(|outcome| outcome.gradient_norm, None), 2);
            let _ = writeln!(text, " {norm} | {} | {best} | {} |", mean(&first, 2), each.join(", "));
            continue;
        }
        let nll = mean(&cell.values(|outcome| outcome.validation_nll, None), 3);
        let _ = write!(text, " {nll} |");
        if plan.score {
            let valid = mean(&cell.values(|outcome| outcome.validation_bleu, Some(0.0)), 2);
            let _ = write!(text, " {valid} |");
        }
        if score.failed.is_some() {
            let scores = score.values(&cell);
            let each: Vec<String> = scores.iter().map(|bleu| format!("{bleu:.2}")).collect();
            let _ = write!(text, " {} | {} |", mean(&scores, 2), each.join(", "));
        }
        text.push('\n');
    }
    let failures: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.failure.is_some()).collect();
    if !failures.is_empty() {
        text.push_str("\nRuns that ended with an error:\n\n");
    }
    for outcome in failures {
        let Some(failure) = &outcome.failure else { continue };
        let point: String = outcome.point.iter().map(|(key, value)| format!(", {} {value}", short(key))).collect();
        let _ = writeln!(
            text,
            "- {}{point}, seed {}, after {} updates ({}): {}",
            outcome.method, outcome.seed, outcome.updates, failure.command, failure.message
        );
    }
    text
}

/// One line a run.
///
/// # Errors
/// [`Error::Content`] for what is no text.
pub fn csv(plan: &Plan, outcomes: &[Outcome]) -> Result<String> {
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let numbers = match plan.task {
        Trained::Translation => ["validation_nll", "last_bleu", "validation_bleu", "test_bleu"].as_slice(),
        Trained::Vision => ["gradient_norm", "first_accuracy", "best_accuracy"].as_slice(),
    };
    let of = |outcome: &Outcome| match plan.task {
        Trained::Translation => {
            vec![outcome.validation_nll, outcome.last_bleu, outcome.validation_bleu, outcome.test_bleu]
        }
        Trained::Vision => vec![outcome.gradient_norm, outcome.first_accuracy, outcome.best_accuracy],
    };
    let keys = plan.axes.iter().map(|axis| axis.key.clone());
    let mut lines = vec![["method".to_string()].into_iter().chain(keys).chain(["seed".into()]).collect::<Vec<_>>()];
    lines[0].extend(["updates", "training_loss"].iter().chain(numbers).chain(&["failed"]).map(|name| name.to_string()));
    for outcome in outcomes {
        let values = outcome.point.iter().map(|(_, value)| value.clone());
        let mut line: Vec<String> = [outcome.method.clone()].into_iter().chain(values).collect();
        line.extend([outcome.seed.to_string(), outcome.updates.to_string()]);
        line.push(number(outcome.training_loss));
        line.extend(of(outcome).into_iter().map(number));
        line.push(outcome.failure.is_some().to_string());
        lines.push(line);
    }
    let failed = |error: String| Error::content("the table", "text", error, "");
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        writer.write_record(line).map_err(|error| failed(error.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
}

/// The outcomes from the lowest validation loss to the highest; those without one come last.
pub fn ranking(outcomes: &[Outcome]) -> Vec<&Outcome> {
    let mut ranked: Vec<&Outcome> = outcomes.iter().collect();
    let loss = |outcome: &Outcome| match (&outcome.failure, outcome.validation_nll) {
        (None, Some(loss)) if loss.is_finite() => loss,
        _ => f64::INFINITY,
    };
    ranked.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
    ranked
}

#[cfg(test)]
mod tests {
    use super::super::outcome::Failure;
    use super::*;

    fn outcome(method: &str, rate: &str, seed: u64, test: Option<f64>, nll: Option<f64>) -> Outcome {
        Outcome {
            method: method.into(),
            point: vec![("schedule.learning_rate".into(), rate.into()), ("optimizer.beta2".into(), "0.9".into())],
            seed,
            data: Default::default(),
            stop_after: None,
            config: None,
            updates: 10,
            epochs: 1,
            training_loss: Some(4.0),
            validation_nll: nll,
            last_bleu: None,
            validation_bleu: test,
            test_bleu: test,
            first_accuracy: None,
            best_accuracy: None,
            gradient_norm: None,
            failure: test.is_none().then(|| Failure { command: "train".into(), message: "the loss is NaN".into() }),
        }
    }

    #[test]
    fn rows_have_means_and_failures_count_as_nothing() {
        let text = "title = \"T\"\nrecipe = \"r\"\nseeds = [1, 2]\n[[axis]]\nkey = \"schedule.learning_rate\"\nvalues = [0.1, 0.2]\n\
                    [[axis]]\nkey = \"optimizer.beta2\"\nvalues = [0.9]\n[[method]]\nname = \"A\"\n";
        let plan = Plan::parse(text, "p").unwrap();
        let outcomes = [
            outcome("A", "0.1", 1, Some(30.0), Some(3.0)),
            outcome("A", "0.1", 2, Some(34.0), Some(2.0)),
            outcome("A", "0.2", 1, None, None),
        ];
        let report = markdown(&plan, &outcomes, "nmt experiment", "2 cores");
        // The standard error of 30 and 34 is √8/√2 = 2.
        assert!(
            report.contains("| A | 0.1 | 0.9 | 2 | 4.000 ± 0.000 | 2.500 ± 0.500 | 32.00 ± 2.00 | 32.00 ± 2.00 |"),
            "{report}"
        );
        assert!(report.contains("| A | 0.2 | 0.9 | 1 | - | - | 0.00 | 0.00 | 0.00 |"), "{report}");
        assert!(
            report.contains("3 of 4 runs") && report.contains("after 10 updates (train): the loss is NaN"),
            "{report}"
        );
        assert_eq!(csv(&plan, &outcomes).unwrap().lines().nth(1), Some("A,0.1,0.9,1,10,4,3,,30,30,false"));
        let ranked: Vec<u64> = ranking(&outcomes).iter().map(|outcome| outcome.seed).collect();
        assert_eq!(ranked, [2, 1, 1]);
        assert!(ranking(&outcomes)[2].failure.is_some());
    }
}
