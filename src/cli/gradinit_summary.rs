//! What a run of GradInit did, in words.

use nmt::init::gradinit::{Branch, Iteration};
use nmt::progress::readable;
use serde::{Deserialize, Serialize};

/// What a run of GradInit did, for its last note.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Summary {
    first_norm: Option<f64>,
    /// The bound of the norm; none: there is none, which JSON has no number for.
    gamma: Option<f64>,
    last_norm: f64,
    constraint_steps: u64,
    objective_steps: u64,
    /// The loss after the look-ahead's step, of the first and of the last objective step.
    after_step: Option<(f64, f64)>,
}

impl Summary {
    /// Count an iteration.
    pub fn add(&mut self, iteration: &Iteration) {
        self.first_norm.get_or_insert(iteration.gradient_norm);
        (self.gamma, self.last_norm) = (finite(iteration.gamma), iteration.gradient_norm);
        match iteration.branch {
            Branch::Constraint => self.constraint_steps += 1,
            Branch::Objective => self.objective_steps += 1,
        }
        if let Some(loss) = iteration.loss_after_step {
            self.after_step = Some((self.after_step.map_or(loss, |(first, _)| first), loss));
        }
    }

    /// The norms, whether γ was ever reached, and what the objective gained.
    pub fn describe(&self) -> String {
        let Some(first) = self.first_norm else { return "GradInit: no iteration".to_string() };
        let (gamma, last, steps) = (self.gamma.unwrap_or(f64::INFINITY), self.last_norm, self.constraint_steps);
        let all = steps + self.objective_steps;
        let mut text = format!(
            "GradInit: gradient norm {} at first, {} at last, γ {}: {steps} of {all} steps were on the norm",
            readable(first, 1),
            readable(last, 1),
            readable(gamma, 1)
        );
        if let Some((first, last)) = self.after_step {
            text.push_str(&format!(
                "; the other steps: loss after one step of the optimiser {} at first, {} at last (one batch each)",
                readable(first, 3),
                readable(last, 3)
            ));
        }
        if steps == 0 && gamma.is_finite() {
            text.push_str("\nγ never bound: --gamma inf is the same; the norm grows with the number of parameters");
        } else if self.objective_steps == 0 {
            text.push_str(
                "\nno step was on the loss: the norm never came down to γ. Raise --iterations, or --gamma (inf: no bound)",
            );
        }
        text
    }
}

/// JSON has no infinity.
pub fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
