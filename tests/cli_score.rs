//! `nmt score` from the outside: several systems, in files and in run folders.
mod common;

use common::command::Lab;
use serde_json::Value;

/// A folder with references and three systems of invented sentences.
fn files() -> Lab {
    let lab = Lab::new();
    let write = |name: &str, text: &str| std::fs::write(lab.path(name), text).unwrap();
    write("ref", "A red kite flies over the hill.\nWe met at nine.\nThe bread is still warm.\n");
    write("a", "A red kite is over the hill.\nWe met at nine.\nThe bread is warm.\n");
    write("b", "A red kite flies over the hill.\nWe met at nine.\nThe bread is still warm.\n");
    write("c", "A red dragon flies over a hill.\nWe met at ten.\nThe bread is still warm.\n");
    lab
}

fn object(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn files_are_compared_with_the_first() {
    let lab = files();
    let arguments = ["score", "--references", "ref", "--compare", "a", "b", "c"];
    let text = lab.nmt(&[&arguments[..], &["--metrics", "bleu", "ter"]].concat()).ok();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(text.starts_with("BLEU|nrefs:1|bs:1000|seed:12345|case:mixed|"), "{text}");
    assert_eq!(rows[1], ["system", "score", "mean", "95", "%", "difference", "above", "p"]);
    assert_eq!(rows[2][..2], ["a", "(baseline)"]);
    assert_eq!((rows[3][0], rows[3][1]), ("b", "100.00"));
    assert!(rows[5].is_empty() && text.contains("\nTER|nrefs:1|bs:1000|seed:12345|case:lc|"), "{text}");

    let json = object(
        &lab.nmt(
            &[&arguments[..], &["--json", "--test", "randomization", "--samples", "50", "--sample-seed", "7"]].concat(),
        )
        .ok(),
    );
    assert_eq!(
        (json["test"].as_str(), json["samples"].as_u64(), json["seed"].as_u64()),
        (Some("randomization"), Some(50), Some(7))
    );
    let bleu = &json["metrics"][0];
    assert_eq!(bleu["name"], "BLEU");
    assert!(bleu["systems"][0].get("against_baseline").is_none());
    // Every score is that of the file alone.
    for (i, name) in ["a", "b", "c"].iter().enumerate() {
        let alone = object(&lab.nmt(&["score", "--hypotheses", name, "--references", "ref", "--json"]).ok());
        assert_eq!(bleu["systems"][i]["name"], *name);
        assert_eq!(bleu["systems"][i]["score"], alone["bleu"]["score"]);
    }
}

#[test]
fn seeds_have_a_mean_and_its_standard_error() {
    let lab = files();
    let arguments = ["score", "--references", "ref", "--seeds", "a", "b", "c", "--metrics", "bleu"];
    let json = object(&lab.nmt(&[&arguments[..], &["--json"]].concat()).ok());
    let bleu = &json["metrics"][0];
    let scores: Vec<f64> = (0..3).map(|i| bleu["runs"][i]["score"].as_f64().unwrap()).collect();
    let mean = scores.iter().sum::<f64>() / 3.0;
    let error = (scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / 2.0 / 3.0).sqrt();
    assert!((bleu["mean"].as_f64().unwrap() - mean).abs() < 1e-9);
    assert!((bleu["standard_error"].as_f64().unwrap() - error).abs() < 1e-9);
    let text = lab.nmt(&arguments).ok();
    let last: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(last[..4], ["mean", &format!("{mean:.2}"), "±", &format!("{error:.2}")]);
    assert!(text.ends_with("(standard error over 3 runs)\n"), "{text}");
}

/// Run folders translate the split first; the scores are those of their translations.
#[test]
fn runs_are_compared_on_a_split() {
    let lab = Lab::new();
    lab.preprocess();
    for seed in ["1", "2"] {
        let seed_setting = format!("training.seed={seed}");
        let arguments = ["--max-updates", "60", "--set", "schedule.learning_rate=0.01", "--set", &seed_setting];
        lab.train(&format!("run-{seed}"), &arguments).ok();
        let output = format!("out-{seed}");
        lab.nmt(&["score", "--model", &format!("run-{seed}"), "--data", "data", "--output", &output]).ok();
    }
    for job in ["--compare", "--seeds"] {
        let of_runs = lab.nmt(&["score", job, "run-1", "run-2", "--data", "data", "--json"]).ok();
        let of_files =
            lab.nmt(&["score", job, "out-1", "out-2", "--references", "test.en", "--tokenize", "none", "--json"]).ok();
        assert_eq!(of_runs.replace("run-", "out-"), of_files, "{job}");
        assert!(of_runs.contains("tok:none"), "{of_runs}");
    }
}

#[test]
fn wrong_use_is_refused() {
    let lab = files();
    let refused = |further: &[&str], parts: &[&str]| lab.nmt(&[&["score"], further].concat()).fails(2, parts);
    refused(&["--references", "ref"], &["--compare"]);
    refused(&["--compare", "a", "b"], &["--references", "--data"]);
    refused(&["--compare", "a", "--references", "ref"], &["--compare", "2"]);
    refused(&["--compare", "a", "b", "--seeds", "a", "b", "--references", "ref"], &["cannot be used with"]);
    refused(&["--compare", "a", "b", "--hypotheses", "a", "--references", "ref"], &["cannot be used with"]);
    refused(&["--compare", "a", "b", "--references", "ref", "--data", "data"], &["cannot be used with"]);
    refused(&["--compare", "a", "b", "--references", "ref", "--samples", "0"], &["--samples"]);
    refused(&["--hypotheses", "a", "--references", "ref", "--samples", "10"], &["cannot be used with"]);
    for alone in [["--model", "a", "--references", "ref"], ["--hypotheses", "a", "--data", "data"]] {
        refused(&alone, &["cannot be used with"]);
    }
    for further in [["--detokenize", "--quiet"], ["--output", "out"], ["--split", "valid"]] {
        refused(&[&["--hypotheses", "a", "--references", "ref"], &further[..]].concat(), &["cannot be used with"]);
    }
    std::fs::write(lab.path("short"), "A red kite.\n").unwrap();
    std::fs::write(lab.path("bytes"), b"a\n\xff\nb\n").unwrap();
    lab.nmt(&["score", "--compare", "a", "short", "--references", "ref"]).fails(1, &["short", "3 lines", "found 1"]);
    lab.nmt(&["score", "--compare", "a", "b", "--references", "short"]).fails(1, &["short", "3 lines", "found 1"]);
    lab.nmt(&["score", "--seeds", "a", "bytes", "--references", "ref"]).fails(1, &["bytes:2", "UTF-8"]);
    lab.nmt(&["score", "--seeds", "a", "nowhere", "--references", "ref"]).fails(1, &["nowhere", "check the path"]);
}
