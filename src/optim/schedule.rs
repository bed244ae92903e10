//! Learning-rate schedules: the rate as a function of the updates already done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Which schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// From the maximum to `minimum` in a straight line until the last update.
    Linear,
    /// The inverse square root of the update number.
    InverseSqrt,
    /// The maximum throughout.
    Constant,
    /// From the maximum to `minimum` along half a cosine until the last update (Loshchilov and Hutter, 2016, without
    /// restarts).
    Cosine,
    /// The maximum, times `step_factor` after each of `steps`.
    Step,
}

/// The schedule's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Which schedule.
    pub kind: ScheduleKind,
    /// The maximum learning rate η_max.
    pub learning_rate: f64,
    /// Updates over which the rate rises from `warmup_initial` to the maximum; 0: no warmup.
    pub warmup_updates: u64,
    /// The rate before the first update of the warmup.
    pub warmup_initial: f64,
    /// Where the linear decay and the cosine end.
    pub minimum: f64,
    /// When the rate of `step` falls: parts of the training, each from 0 to 1.
    pub steps: Vec<f64>,
    /// What the rate of `step` is multiplied by each time.
    pub step_factor: f64,
}

impl Default for ScheduleConfig {
    fn default() -> ScheduleConfig {
        ScheduleConfig {
            kind: ScheduleKind::Linear,
            learning_rate: 5e-4,
            warmup_updates: 0,
            warmup_initial: 0.0,
            minimum: 0.0,
            steps: vec![1.0 / 3.0, 2.0 / 3.0],
            step_factor: 0.1,
        }
    }
}

impl ScheduleConfig {
    /// Refuse values that make no schedule.
    ///
    /// ```
    /// use nmt::optim::ScheduleConfig;
    /// let refused = |config: ScheduleConfig| config.check().unwrap_err().to_string();
    /// let negative = ScheduleConfig { learning_rate: -1.0, ..Default::default() };
    /// assert!(refused(negative).contains("schedule.learning_rate has to be above 0 and finite, found -1"));
    /// let percent = ScheduleConfig { steps: vec![33.0], ..Default::default() };
    /// assert!(refused(percent).contains("schedule.steps have to be between 0 and 1, found 33"));
    /// ```
    pub fn check(&self) -> Result<()> {
        let refuse = |found: &str| Err(Error::usage(format!("schedule.{found}"), ""));
        if !self.learning_rate.is_finite() || self.learning_rate <= 0.0 {
            return refuse(&format!("learning_rate has to be above 0 and finite, found {}", self.learning_rate));
        }
        for (key, value) in [("warmup_initial", self.warmup_initial), ("minimum", self.minimum)] {
            if !(0.0..=self.learning_rate).contains(&value) {
                return refuse(&format!("{key} has to be from 0 to schedule.learning_rate, found {value}"));
            }
        }
        if let Some(step) = self.steps.iter().find(|step| !(0.0..=1.0).contains(*step)) {
            return refuse(&format!("steps have to be between 0 and 1, found {step}"));
        }
        if !(0.0..=1.0).contains(&self.step_factor) {
            return refuse(&format!("step_factor has to be from 0 to 1, found {}", self.step_factor));
        }
        Ok(())
    }
}

/// A schedule over a known number of updates.
#[derive(Debug, Clone)]
pub struct Schedule {
    config: ScheduleConfig,
    max_updates: u64,
}

impl Schedule {
    /// The schedule of a run of `max_updates`.
    pub fn new(config: &ScheduleConfig, max_updates: u64) -> Schedule {
        Schedule { config: config.clone(), max_updates }
    }

    /// The rate of the update that follows `done` updates.
    ///
    /// ```
    /// use nmt::optim::{Schedule, ScheduleConfig};
    /// let schedule = Schedule::new(&ScheduleConfig { learning_rate: 0.01, ..Default::default() }, 10);
    /// assert_eq!(schedule.rate(0), 0.01);
    /// assert!((schedule.rate(9) - 0.001).abs() < 1e-12);
    /// assert_eq!(schedule.rate(10), 0.0);
    ///
    /// use nmt::optim::ScheduleKind;
    /// let cosine = ScheduleConfig { kind: ScheduleKind::Cosine, learning_rate: 0.1, ..Default::default() };
    /// let rates = [0, 50, 100].map(|done| Schedule::new(&cosine, 100).rate(done));
    /// assert_eq!(rates[0], 0.1);
    /// assert!((rates[1] - 0.05).abs() < 1e-12 && rates[2].abs() < 1e-12);
    /// let step = ScheduleConfig { kind: ScheduleKind::Step, ..cosine };
    /// let rates = [29, 30, 60].map(|done| Schedule::new(&step, 90).rate(done));
    /// assert!((rates[0] - 0.1).abs() < 1e-12 && (rates[1] - 0.01).abs() < 1e-12 && (rates[2] - 0.001).abs() < 1e-12);
    /// ```
    pub fn rate(&self, done: u64) -> f64 {
        let config = &self.config;
        let maximum = config.learning_rate;
        if done < config.warmup_updates {
            let part = done as f64 / config.warmup_updates as f64;
            return config.warmup_initial + (maximum - config.warmup_initial) * part;
        }
        match config.kind {
            ScheduleKind::Constant => maximum,
            ScheduleKind::InverseSqrt => {
                let start = config.warmup_updates.max(1) as f64;
                maximum * start.sqrt() / (done as f64).max(start).sqrt()
            }
            ScheduleKind::Cosine => {
                let span = self.max_updates.saturating_sub(config.warmup_updates).max(1) as f64;
                let part = ((done - config.warmup_updates) as f64 / span).min(1.0);
                config.minimum + (maximum - config.minimum) * (1.0 + (std::f64::consts::PI * part).cos()) / 2.0
            }
            ScheduleKind::Step => {
                let part = done as f64 / self.max_updates.max(1) as f64;
                // Steps are given as fractions such as 1/3, of which binary numbers fall short.
                let fallen = config.steps.iter().filter(|&&step| part + 1e-9 >= step).count();
                maximum * config.step_factor.powi(fallen as i32)
            }
            ScheduleKind::Linear if done >= self.max_updates => config.minimum,
            ScheduleKind::Linear => {
                let span = self.max_updates - config.warmup_updates;
                let left = (self.max_updates - done) as f64 / span.max(1) as f64;
                config.minimum + (maximum - config.minimum) * left
            }
        }
    }
}
