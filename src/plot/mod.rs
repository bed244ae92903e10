//! Pictures made from logs: learning curves and the trajectory of GradInit's scales.

mod axis;
mod json_lines;
mod learning_curve;
mod panel;
mod picture;
mod run_log;
mod scale_trajectory;
mod trajectory;

pub use learning_curve::{learning_curve, learning_curve_csv};
pub use run_log::{Point, Run as RunLog};
pub use scale_trajectory::scale_trajectory;
