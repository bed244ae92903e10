//! Updates whose numbers have gone wrong.

use super::update::Sums;
use crate::error::Error;
use crate::params::Layout;
use tch::{Kind, Tensor};

/// After so many of them in a row a run is given up.
pub(super) const IN_A_ROW: u64 = 3;

/// What is wrong with an update.
pub(super) struct Anomaly {
    /// Such as `the loss is NaN`.
    pub what: String,
    /// The first block that is not finite, of θ, or else of the gradient.
    pub block: String,
}

impl Anomaly {
    /// What a gradient of the ℓ2 norm `norm` is worth: nothing, where it or the loss is not finite.
    pub fn of_update(layout: &Layout, theta: &Tensor, sums: &Sums, norm: f64) -> Option<Anomaly> {
        let what = match (sums.loss.is_finite(), norm.is_finite()) {
            (true, true) => return None,
            (true, false) => format!("the gradient's norm is {norm}"),
            (false, _) => format!("the loss is {}", sums.loss),
        };
        let of = |whose: &str, vector: &Tensor| {
            layout.first_non_finite(vector).map(|block| format!("{whose} of {}", block.name))
        };
        let bad = of("weights", theta).or_else(|| of("the gradient", &sums.gradient));
        Some(Anomaly { what, block: bad.unwrap_or("none".into()) })
    }

    /// What a step has left: the first block that is not finite, of θ and of what the optimiser remembers.
    pub fn of_step(layout: &Layout, theta: &Tensor, memory: &[(&str, &Tensor)]) -> Option<Anomaly> {
        let vectors = std::iter::once(("", theta)).chain(memory.iter().copied());
        vectors.into_iter().find_map(|(prefix, vector)| {
            let block = layout.first_non_finite(vector)?;
            let what = "the step has left what is not finite".to_string();
            Some(Anomaly { what, block: format!("{prefix}{}", block.name) })
        })
    }

    /// The end of a run at `update` (from 1), on these dataset indices; `saved` says what there is to inspect.
    pub fn into_error(self, update: u64, indices: &[Vec<usize>], compute: Kind, saved: &str) -> Error {
        let examples: Vec<String> = indices.iter().flatten().take(8).map(usize::to_string).collect();
        let precise = if compute == Kind::Float { "" } else { ", or train with training.compute=fp32" };
        let next = format!(
            "in a new run, which may begin with --init from a checkpoint of this one: lower schedule.learning_rate, set \
             optimizer.clip_norm{precise}"
        );
        Error::NonFinite {
            what: self.what,
            update,
            block: self.block,
            examples: format!("{} …", examples.join(", ")),
            next: format!("{next}; {saved}"),
        }
    }
}
