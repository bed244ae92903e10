//! Translation as a [`Task`](crate::task::Task) with its data: what the general parts are put together with.

mod halves;
mod initialise;
mod model_folder;
mod model_text;
mod training_data;
mod validation;

pub use halves::OverlappingHalves;
pub use initialise::initialise;
pub use model_folder::{ModelFolder, copy_data_files, identity, languages_of, model_for};
pub use model_text::ModelText;
pub use training_data::TranslationData;
pub use validation::Validator;
