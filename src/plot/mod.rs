//! Pictures made from logs and tables: learning curves, the trajectory of GradInit's scales, what initialisations look
//! like, and maps of scores.

mod axis;
mod heat_map;
mod inspection;
mod json_lines;
mod learning_curve;
mod map_table;
mod panel;
mod picture;
mod run_log;
mod scale_trajectory;
mod score_curve;
mod trajectory;

pub use heat_map::{HeatMap, heat_maps};
pub use inspection::{inspection, inspection_csv};
pub(crate) use json_lines::read_json_lines;
pub use learning_curve::{learning_curve, learning_curve_csv};
pub use map_table::read_maps;
pub use picture::Format;
pub use run_log::{Point, Run as RunLog};
pub use scale_trajectory::scale_trajectory;
pub use score_curve::{ScoreCurve, score_curves};
