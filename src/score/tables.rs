//! Comparisons and seeds as tables. A precision asks for more digits than one: `{comparison:.2}`.

use std::fmt;

use super::compare::Comparison;
use super::seeds::SeedScores;

/// Below this a difference is marked with `*`, as in sacrebleu's tables.
const SIGNIFICANT: f64 = 0.05;

impl fmt::Display for Comparison {
    /// The signature, a head, and a line a system.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        let name = |i: usize, name: &str| if i == 0 { format!("{name} (baseline)") } else { name.to_string() };
        let names: Vec<String> = self.systems.iter().enumerate().map(|(i, system)| name(i, &system.name)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("system".len());
        let bootstrap = self.systems.iter().any(|system| system.bootstrap.is_some());
        let column = digits + 5;
        writeln!(f, "{}|{}", self.name, self.signature)?;
        write!(f, "{:width$} {:>column$}", "system", "score")?;
        if bootstrap {
            write!(f, " {:>column$} {:>w$}", "mean", "95 %", w = column + 2)?;
        }
        write!(f, " {:>11}", "difference")?;
        if bootstrap {
            write!(f, " {:>8}", "above")?;
        }
        write!(f, " {:>7}", "p")?;
        for (system, name) in self.systems.iter().zip(&names) {
            write!(f, "\n{name:width$} {:>column$.digits$}", system.score)?;
            if let Some(interval) = system.bootstrap {
                let half_width = format!("± {:.digits$}", interval.half_width);
                write!(f, " {:>column$.digits$} {half_width:>w$}", interval.mean, w = column + 2)?;
            }
            let Some(against) = &system.against_baseline else { continue };
            write!(f, " {:>+11.digits$}", against.difference)?;
            if let Some(share) = against.share_above {
                write!(f, " {:>6.1} %", 100.0 * share)?;
            }
            let mark = if against.p_value < SIGNIFICANT { " *" } else { "" };
            write!(f, " {:>7.4}{mark}", against.p_value)?;
        }
        Ok(())
    }
}

impl fmt::Display for SeedScores {
    /// The signature, a line a run, and the mean with its standard error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        let width = self.runs.iter().map(|run| run.name.chars().count()).max().unwrap_or(0).max("mean".len());
        let column = digits + 5;
        writeln!(f, "{}|{}", self.name, self.signature)?;
        for run in &self.runs {
            writeln!(f, "{:width$} {:>column$.digits$}", run.name, run.score)?;
        }
        write!(
            f,
            "{:width$} {:>column$.digits$} ± {:.digits$} (standard error over {} runs)",
            "mean",
            self.mean,
            self.standard_error,
            self.runs.len()
        )
    }
}
