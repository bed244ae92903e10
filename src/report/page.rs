//! The page itself.

use std::fmt::Write;

use serde_json::Value;

use super::run_summary::RunSummary;
use super::samples::Sample;

/// A picture of the page.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What is below it.
    pub caption: String,
    /// `image/svg+xml` or `image/png`.
    pub media_type: &'static str,
    /// The file's bytes.
    pub bytes: Vec<u8>,
}

/// Everything that is on the page.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its title.
    pub title: String,
    /// The runs.
    pub runs: Vec<RunSummary>,
    /// The pictures, in their order.
    pub figures: Vec<Figure>,
    /// Where the translations come from, in a sentence.
    pub samples_of: String,
    /// Translations of the first run.
    pub samples: Vec<Sample>,
}

/// The colours are those of the system's light or dark scheme; pictures are on white in both.
const STYLE: &str = "
:root { color-scheme: light dark; --line: #8886; --ink: #1f77b4; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
table { border-collapse: collapse; font-size: .9rem; } .wide { overflow-x: auto; }
th, td { padding: .2rem .6rem; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
td, th, dd { overflow-wrap: anywhere; } .number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.5rem 0; } figure img { max-width: 100%; background: white; } figcaption { font-size: .9rem; }
table.attention { font-size: .75rem; margin-top: .5rem; } table.attention td { border: 0; padding: 0; width: 1.4rem; height: 1.4rem; }
table.attention th { border: 0; font-weight: normal; } table.attention thead th { writing-mode: vertical-rl; transform: rotate(180deg); padding: .3rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; } dt { opacity: .7; } dd { margin: 0; }
pre { overflow-x: auto; font-size: .8rem; } details { margin: .5rem 0; } summary { cursor: pointer; }
";

impl Page {
    /// The page as HTML.
    pub fn html(&self) -> String {
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n<h1>{0}</h1>\n",
            escape(&self.title)
        );
        self.table_of_runs(&mut html);
        for figure in &self.figures {
            let data = base64(&figure.bytes);
            let _ = writeln!(
                html,
                "<figure><img src=\"data:{};base64,{data}\" alt=\"{caption}\"><figcaption>{caption}</figcaption></figure>",
                figure.media_type,
                caption = escape(&figure.caption)
            );
        }
        self.translations(&mut html);
        self.configurations(&mut html);
        self.environments(&mut html);
        html.push_str("</body>\n</html>\n");
        html
    }

    fn table_of_runs(&self, html: &mut String) {
        html.push_str("<h2>Runs</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>run</th>");
        let names = ["updates", "epoch", "training nll", "best validation", "at update", "hours", "speed (a second)"];
        names.iter().for_each(|name| html.push_str(&format!("<th class=\"number\">{name}</th>")));
        html.push_str("</tr></thead>\n");
        for run in &self.runs {
            let speed = run.training.as_object().into_iter().flatten().find(|(key, _)| key.ends_with("_per_second"));
            let speed = speed.map_or(String::new(), |(key, value)| {
                format!("{:.0} {}", value.as_f64().unwrap_or(0.0), key.trim_end_matches("_per_second"))
            });
            // The newest line knows the time, of training or of a validation after it.
            let seconds = [&run.training, &run.validation]
                .iter()
                .filter_map(|event| event["seconds"].as_f64())
                .fold(0.0, f64::max);
            let cells = [
                count(&run.training["update"]),
                count(&run.training["epoch"]),
                number(if run.training["nll_loss"].is_null() {
                    &run.training["loss"]
                } else {
                    &run.training["nll_loss"]
                }),
                metrics(&run.best),
                count(&run.best["update"]),
                format!("{:.2}", seconds / 3600.0),
                speed,
            ];
            let cells: String =
                cells.iter().map(|cell| format!("<td class=\"number\">{}</td>", escape(cell))).collect();
            let _ = writeln!(html, "<tr><td>{}</td>{cells}</tr>", escape(&run.name));
        }
        html.push_str("</table></div>\n");
        for run in self.runs.iter().filter(|run| !run.incidents.is_empty()) {
            let lines: Vec<String> = run.incidents.iter().map(Value::to_string).collect();
            let _ = writeln!(
                html,
                "<details><summary>{}: {} incidents</summary><pre>{}</pre></details>",
                escape(&run.name),
                lines.len(),
                escape(&lines.join("\n"))
            );
        }
    }

    fn translations(&self, html: &mut String) {
        if self.samples.is_empty() {
            return;
        }
        let _ = writeln!(html, "<h2>Translations</h2>\n<p>{}</p>", escape(&self.samples_of));
        for (number, sample) in self.samples.iter().enumerate() {
            let _ = writeln!(
                html,
                "<dl><dt>source</dt><dd>{}</dd><dt>translation</dt><dd>{}</dd><dt>reference</dt><dd>{}</dd>\
                 <dt>score</dt><dd>{:.3}</dd></dl>",
                escape(&sample.text),
                escape(&sample.translation),
                escape(&sample.reference),
                sample.score
            );
            let open = if number == 0 { " open" } else { "" };
            let _ = write!(html, "<details{open}>");
            html.push_str(
                "<summary>attention of the decoder's last layer over the source, mean of its heads</summary>",
            );
            html.push_str("<div class=\"wide\"><table class=\"attention\"><thead><tr><th></th>");
            sample.source.iter().for_each(|token| html.push_str(&format!("<th>{}</th>", escape(token))));
            html.push_str("</tr></thead>\n");
            for (token, row) in sample.tokens.iter().zip(&sample.attention) {
                let _ = write!(html, "<tr><th>{}</th>", escape(token));
                for (share, source) in row.iter().zip(&sample.source) {
                    let _ = write!(
                        html,
                        "<td style=\"background: rgb(31 119 180 / {share:.3})\" title=\"{} ← {}: {share:.3}\"></td>",
                        escape(token),
                        escape(source)
                    );
                }
                html.push_str("</tr>\n");
            }
            html.push_str("</table></div></details>\n");
        }
    }

    /// What differs between the runs, and everything.
    fn configurations(&self, html: &mut String) {
        html.push_str("<h2>Configuration</h2>\n");
        let settings: Vec<Vec<(String, String)>> = self.runs.iter().map(RunSummary::settings).collect();
        let value = |run: &[(String, String)], key: &str| {
            run.iter().find(|(name, _)| name == key).map_or("–".to_string(), |(_, value)| value.clone())
        };
        let mut keys: Vec<&String> = settings.iter().flatten().map(|(key, _)| key).collect();
        keys.sort();
        keys.dedup();
        keys.retain(|key| settings.windows(2).any(|pair| value(&pair[0], key) != value(&pair[1], key)));
        if !keys.is_empty() {
            html.push_str("<div class=\"wide\"><table><thead><tr><th>what differs</th>");
            self.runs.iter().for_each(|run| html.push_str(&format!("<th>{}</th>", escape(&run.name))));
            html.push_str("</tr></thead>\n");
            for key in keys {
                let cells: String =
                    settings.iter().map(|run| format!("<td>{}</td>", escape(&value(run, key)))).collect();
                let _ = writeln!(html, "<tr><td>{}</td>{cells}</tr>", escape(key));
            }
            html.push_str("</table></div>\n");
        }
        for run in &self.runs {
            if let Some(config) = &run.config {
                let _ = writeln!(
                    html,
                    "<details><summary>{}: every key</summary><pre>{}</pre></details>",
                    escape(&run.name),
                    escape(config)
                );
            }
        }
    }

    fn environments(&self, html: &mut String) {
        let known: Vec<(&str, &serde_json::Map<String, Value>)> = self
            .runs
            .iter()
            .filter_map(|run| Some((run.name.as_str(), run.environment.as_ref()?.as_object()?)))
            .collect();
        if known.is_empty() {
            return;
        }
        html.push_str("<h2>Environment</h2>\n");
        for (name, environment) in known {
            let _ = write!(html, "<h3>{}</h3><dl>", escape(name));
            for (key, value) in environment.iter().filter(|(_, value)| !value.is_null()) {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
                let _ = write!(html, "<dt>{}</dt><dd>{}</dd>", escape(key), escape(&value));
            }
            html.push_str("</dl>\n");
        }
    }
}

/// The numbers of a validation that people ask for.
fn metrics(event: &Value) -> String {
    let units = [("bleu", "BLEU "), ("accuracy", "accuracy "), ("nll_loss", "nll "), ("loss", "loss ")];
    let found = units.iter().filter_map(|(key, name)| Some(format!("{name}{:.2}", event[key].as_f64()?)));
    found.take(2).collect::<Vec<_>>().join(", ")
}

fn count(value: &Value) -> String {
    value.as_u64().map_or("–".into(), |count| count.to_string())
}

fn number(value: &Value) -> String {
    value.as_f64().map_or("–".into(), |number| format!("{number:.3}"))
}

/// Text as it may stand in HTML, in attributes, too.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_on_the_page_is_taken_for_html() {
        let run = RunSummary {
            name: "<script>alert(1)</script>".into(),
            training: serde_json::json!({"update": 7, "epoch": 1, "loss": 2.5, "tokens_per_second": 1234.5, "seconds": 7200.0}),
            best: serde_json::json!({"update": 5, "bleu": 31.456, "nll_loss": 1.5}),
            validation: Value::Null,
            incidents: vec![serde_json::json!({"event": "skipped", "what": "</pre>"})],
            config: Some("[training]\nseed = 1\n".into()),
            environment: Some(serde_json::json!({"processor": "A & B"})),
        };
        let other = RunSummary { name: "b".into(), config: Some("[training]\nseed = 2\n".into()), ..run.clone() };
        let sample = Sample {
            source: vec!["<b>".into(), "</s>".into()],
            tokens: vec!["\"x\"".into()],
            reference: "r".into(),
            text: "t".into(),
            translation: "<i>".into(),
            score: -0.25,
            attention: vec![vec![0.75, 0.25]],
        };
        let figure = Figure { caption: "a & b".into(), media_type: "image/svg+xml", bytes: b"<svg/>".to_vec() };
        let page = Page {
            title: "T <1>".into(),
            runs: vec![run, other],
            figures: vec![figure],
            samples_of: "of a & b".into(),
            samples: vec![sample],
        };
        let html = page.html();
        for part in ["<script>alert", "<b>", "<i>", "</pre>\"", "T <1>"] {
            assert!(!html.contains(part), "{part}");
        }
        for part in [
            "<title>T &lt;1&gt;</title>",
            "BLEU 31.46, nll 1.50",
            "<td class=\"number\">2.00</td><td class=\"number\">1234 tokens</td>",
            "<tr><td>training.seed</td><td>1</td><td>2</td></tr>",
            "data:image/svg+xml;base64,PHN2Zy8+",
            "rgb(31 119 180 / 0.750)",
            "<dt>processor</dt><dd>A &amp; B</dd>",
        ] {
            assert!(html.contains(part), "no {part} in {html}");
        }
        // Nothing is fetched.
        assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("src=\"/"));
    }
}
