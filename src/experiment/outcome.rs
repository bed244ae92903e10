//! What a run of an experiment came to.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::fingerprints::Fingerprints;
use super::plan::PlannedRun;
use crate::error::{Error, Result};
use crate::files;
use crate::plot::RunLog;
use crate::train::LOG;

/// A run whose loss or gradient stopped being a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// `gradinit` or `train`.
    pub command: String,
    /// Its message.
    pub message: String,
}

/// A run's result, in the run folder as `outcome.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The method's name.
    pub method: String,
    /// The keys of the axes and their values.
    pub point: Vec<(String, String)>,
    /// The seed.
    pub seed: u64,
    /// The fingerprints of the data that it was trained and scored on; of earlier versions one after the other without names, or
    /// none.
    #[serde(default, skip_serializing_if = "Fingerprints::is_unknown")]
    pub data: Fingerprints,
    /// Where the plan stopped it: an update, or of image networks an epoch; none: at the end of its configuration, or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<u64>,
    /// The configuration, TOML, of a run that failed before there was a run folder to say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Updates done.
    pub updates: u64,
    /// Epochs begun.
    #[serde(default)]
    pub epochs: u64,
    /// The last training loss in the log, bits a target token or of pictures the natural logarithm; none where no update was logged.
    pub training_loss: Option<f64>,
    /// The last validation's negative log-likelihood, bits a target token.
    pub validation_nll: Option<f64>,
    /// BLEU of the last validation, as training measures it: `validation.beam`, tokenised as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_bleu: Option<f64>,
    /// BLEU of the best checkpoint on the validation split, detokenised, lower-cased.
    pub validation_bleu: Option<f64>,
    /// The same on the test split.
    pub test_bleu: Option<f64>,
    /// Accuracy on the validation split, which of CIFAR-10 is the test, after the first epoch, in per cent (the paper's Acc₀).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_accuracy: Option<f64>,
    /// The best accuracy on the validation split, in per cent (the paper's Acc_best).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_accuracy: Option<f64>,
    /// The gradient's norm in the last iteration of GradInit (the paper's ‖g‖₂ in Table 4), from its trajectory; none without
    /// GradInit.
    #[serde(skip)]
    pub gradient_norm: Option<f64>,
    /// What was not finite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// ‖g‖ of the last line of GradInit's trajectory, which lies beside what it wrote.
pub fn last_gradient_norm(init: &Path) -> Option<f64> {
    let text = files::read_text(&init.with_extension("trajectory.jsonl")).ok()?;
    serde_json::from_str::<serde_json::Value>(text.lines().last()?).ok()?.get("gradient_norm")?.as_f64()
}

impl Outcome {
    /// The file's name.
    pub const FILE: &'static str = "outcome.json";

    /// Of a run whose log is in `folder` without scores.
    pub fn of(run: &PlannedRun, folder: &Path, failure: Option<Failure>) -> Outcome {
        let log = RunLog::read(&run.method, &folder.join(LOG)).ok();
        let training = log.as_ref().and_then(|log| log.training.last());
        let validation = log.as_ref().and_then(|log| log.validation.last());
        let accuracies = || log.iter().flat_map(|log| &log.validation).filter_map(|point| point.accuracy);
        Outcome {
            method: run.method.clone(),
            point: run.point.clone(),
            seed: run.seed,
            data: Fingerprints::default(),
            stop_after: None,
            config: None,
            updates: training.map_or(0, |point| point.update),
            epochs: training.and_then(|point| point.epoch).unwrap_or(0),
            training_loss: training.and_then(|point| point.loss),
            validation_nll: validation.and_then(|point| point.nll_loss),
            last_bleu: validation.and_then(|point| point.bleu),
            validation_bleu: None,
            test_bleu: None,
            first_accuracy: accuracies().next(),
            best_accuracy: accuracies().reduce(f64::max),
            gradient_norm: None,
            failure,
        }
    }

    /// Read what [`Outcome::save`] wrote in `folder`; none where the run has not ended.
    ///
    /// # Errors
    /// [`Error::Content`] for a file that is none.
    pub fn load(folder: &Path) -> Result<Option<Outcome>> {
        let path = folder.join(Outcome::FILE);
        if !path.exists() {
            return Ok(None);
        }
        serde_json::from_str(&files::read_text(&path)?).map(Some).map_err(|error| {
            let place = path.display().to_string();
            Error::content(place, "the outcome of a run", error.to_string(), "delete it to score the run again")
        })
    }

    /// Write it into `folder`.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(Outcome::FILE);
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::content(path.display().to_string(), "numbers", error.to_string(), ""))?;
        files::write_whole(&path, (text + "\n").as_bytes())
    }
}
