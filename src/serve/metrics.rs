//! What the service has done, as Prometheus reads it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Counters since the start.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    answers: Mutex<BTreeMap<u16, u64>>,
    /// Requests that wait.
    pub waiting: AtomicU64,
    sentences: AtomicU64,
    batches: AtomicU64,
    microseconds: AtomicU64,
}

impl Metrics {
    /// An answer with this status.
    pub fn answered(&self, status: u16) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_default() += 1;
    }

    /// So many sentences, translated together in this time.
    pub fn translated(&self, sentences: usize, time: Duration) {
        self.sentences.fetch_add(sentences as u64, Relaxed);
        self.batches.fetch_add(1, Relaxed);
        self.microseconds.fetch_add(time.as_micros() as u64, Relaxed);
    }

    /// The text format of Prometheus, version 0.0.4.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, values: Vec<(String, String)>| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in values {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let by_status =
            answers.iter().map(|(status, count)| (format!("{{status=\"{status}\"}}"), count.to_string())).collect();
        drop(answers);
        let one = |counter: &AtomicU64| vec![(String::new(), counter.load(Relaxed).to_string())];
        metric("nmt_answers_total", "counter", "Answers by status.", by_status);
        metric("nmt_requests_waiting", "gauge", "Requests that wait to be translated.", one(&self.waiting));
        metric("nmt_sentences_total", "counter", "Sentences translated.", one(&self.sentences));
        metric("nmt_batches_total", "counter", "Times that sentences were translated together.", one(&self.batches));
        let seconds = self.microseconds.load(Relaxed) as f64 / 1e6;
        let seconds = vec![(String::new(), seconds.to_string())];
        metric("nmt_translation_seconds_total", "counter", "Seconds of translating, added up over threads.", seconds);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let metrics = Metrics::default();
        metrics.answered(200);
        metrics.answered(200);
        metrics.answered(429);
        metrics.translated(3, Duration::from_millis(1500));
        let text = metrics.text();
        for line in [
            "# TYPE nmt_answers_total counter",
            "nmt_answers_total{status=\"200\"} 2",
            "nmt_answers_total{status=\"429\"} 1",
            "nmt_sentences_total 3",
            "nmt_translation_seconds_total 1.5",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in {text}");
        }
    }
}
