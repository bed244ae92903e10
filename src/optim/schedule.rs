//! Learning-rate schedules: the rate as a function of the updates already done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Where the linear decay ends.
    pub minimum: f64,
}

impl Default for ScheduleConfig {
    fn default() -> ScheduleConfig {
        ScheduleConfig {
            kind: ScheduleKind::Linear,
            learning_rate: 5e-4,
            warmup_updates: 0,
            warmup_initial: 0.0,
            minimum: 0.0,
        }
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
            ScheduleKind::Linear if done >= self.max_updates => config.minimum,
            ScheduleKind::Linear => {
                let span = self.max_updates - config.warmup_updates;
                let left = (self.max_updates - done) as f64 / span.max(1) as f64;
                config.minimum + (maximum - config.minimum) * left
            }
        }
    }
}
