//! The lines of a run's log.

use serde_json::{Map, Value, json};

use super::anomaly::Anomaly;
use super::checkpoint::{State, Window};
use super::data::Units;

pub(super) fn update_event(state: &State, units: Units, rate: f64, window: &Window) -> Value {
    let count = window.tokens.max(1) as f64;
    let mut event = json!({
        "event": "update",
        "update": state.update,
        "epoch": state.epoch,
        "loss": window.loss / count / units.loss,
        "nll_loss": window.nll / count / units.loss,
        "learning_rate": rate,
        "gradient_norm": window.gradient_norm / window.updates.max(1) as f64,
        "seconds": state.seconds,
    });
    if let Some(object) = event.as_object_mut() {
        object.insert(units.key.into(), json!(window.tokens));
        let speed = window.tokens as f64 / window.seconds.max(1e-9);
        object.insert(format!("{}_per_second", units.plural), json!(speed));
    }
    event
}

pub(super) fn skipped_event(state: &State, anomaly: &Anomaly, group: &[Vec<usize>]) -> Value {
    json!({
        "event": "skipped",
        "update": state.update + 1,
        "epoch": state.epoch,
        "what": anomaly.what,
        "block": anomaly.block,
        "indices": group.iter().flatten().collect::<Vec<_>>(),
        "skipped": state.skipped,
    })
}

pub(super) fn validation_event(state: &State, found: Map<String, Value>, best: bool) -> Value {
    let mut event = json!({
        "event": "validation",
        "update": state.update,
        "epoch": state.epoch,
        "best": best,
        "seconds": state.seconds,
    });
    if let Some(object) = event.as_object_mut() {
        object.extend(found);
    }
    event
}
