//! Scores equal those of sacrebleu 2.6.0 (`golden/bleu/scores.json` and `sentences.jsonl` of the reference data).

use std::path::PathBuf;

use nmt::score::{BleuOptions, ChrfOptions, Metric, Options, Smoothing, TerOptions, Tokenizer, score};
use serde_json::Value;

fn golden() -> Option<PathBuf> {
    let root = std::env::var_os("NMT_REFERENCE_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data")), PathBuf::from);
    let folder = root.join("golden/bleu");
    if folder.join("scores.json").exists() {
        return Some(folder);
    }
    eprintln!("skipped: {} is missing; set NMT_REFERENCE_DATA", folder.join("scores.json").display());
    None
}

fn lines(path: PathBuf) -> Vec<String> {
    let text = std::fs::read_to_string(&path).unwrap();
    text.strip_suffix('\n').unwrap_or(&text).split('\n').map(str::to_string).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// sacrebleu's arguments as ours.
fn options(metric: &str, given: &Value) -> Options {
    let flag = |key: &str| given[key].as_bool().unwrap_or(false);
    let count = |key: &str, default: u64| given[key].as_u64().unwrap_or(default) as usize;
    let known = [
        "tokenize",
        "lowercase",
        "smooth_method",
        "smooth_value",
        "effective_order",
        "max_ngram_order",
        "char_order",
        "word_order",
        "beta",
        "whitespace",
        "eps_smoothing",
        "normalized",
        "no_punct",
        "case_sensitive",
    ];
    for key in given.as_object().unwrap().keys() {
        assert!(known.contains(&key.as_str()), "unknown option {key}");
    }
    let metrics = vec![match metric {
        "bleu" => Metric::Bleu,
        "chrf" => Metric::Chrf,
        "ter" => Metric::Ter,
        _ => panic!("unknown metric {metric}"),
    }];
    let bleu = BleuOptions {
        tokenize: match given["tokenize"].as_str().unwrap_or("13a") {
            "13a" => Tokenizer::V13a,
            "none" => Tokenizer::None,
            "intl" => Tokenizer::Intl,
            "char" => Tokenizer::Char,
            other => panic!("unknown tokenizer {other}"),
        },
        lowercase: flag("lowercase"),
        smooth_method: match given["smooth_method"].as_str().unwrap_or("exp") {
            "none" => Smoothing::None,
            "floor" => Smoothing::Floor,
            "add-k" => Smoothing::AddK,
            "exp" => Smoothing::Exp,
            other => panic!("unknown smoothing {other}"),
        },
        smooth_value: given["smooth_value"].as_f64(),
        effective_order: flag("effective_order"),
        max_ngram_order: count("max_ngram_order", 4),
    };
    let chrf = ChrfOptions {
        char_order: count("char_order", 6),
        word_order: count("word_order", 0),
        beta: count("beta", 2) as u32,
        lowercase: flag("lowercase"),
        whitespace: flag("whitespace"),
        eps_smoothing: flag("eps_smoothing"),
    };
    let ter = TerOptions {
        normalized: flag("normalized"),
        no_punct: flag("no_punct"),
        case_sensitive: flag("case_sensitive"),
    };
    Options { metrics, bleu, chrf, ter }
}

#[test]
fn three_hundred_corpus_scores_and_their_signatures() {
    let Some(folder) = golden() else { return };
    let file: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("scores.json")).unwrap()).unwrap();
    assert_eq!(file["sacrebleu"], "2.6.0");
    let cases = file["corpus"].as_array().unwrap();
    assert_eq!(cases.len(), 300);
    for case in cases {
        let hypotheses = lines(folder.join(case["hyp"].as_str().unwrap()));
        let references: Vec<Vec<String>> =
            case["refs"].as_array().unwrap().iter().map(|name| lines(folder.join(name.as_str().unwrap()))).collect();
        let metric = case["metric"].as_str().unwrap();
        let scores = score(&hypotheses, &references, &options(metric, &case["options"])).unwrap();
        let (found, signature) = match metric {
            "bleu" => {
                let bleu = scores.bleu.unwrap();
                assert_eq!(bleu.details.counts, numbers(&case["counts"]), "{case}");
                assert_eq!(bleu.details.totals, numbers(&case["totals"]), "{case}");
                // Not to the last bit: serde_json rounds when it reads.
                for (found, expected) in bleu.details.precisions.iter().zip(numbers(&case["precisions"])) {
                    assert!((found - expected).abs() < 1e-12, "{found} is not {expected}: {case}");
                }
                assert_eq!(bleu.details.hypothesis_length, case["sys_len"].as_i64().unwrap(), "{case}");
                assert_eq!(bleu.details.reference_length, case["ref_len"].as_i64().unwrap(), "{case}");
                assert!((bleu.details.brevity_penalty - case["bp"].as_f64().unwrap()).abs() < 1e-14, "{case}");
                (bleu.score, bleu.signature)
            }
            "chrf" => {
                let chrf = scores.chrf.unwrap();
                (chrf.score, chrf.signature)
            }
            _ => {
                let ter = scores.ter.unwrap();
                assert_eq!(ter.details.edits, case["num_edits"].as_i64().unwrap(), "{case}");
                assert_eq!(ter.details.reference_length, case["ref_length"].as_f64().unwrap(), "{case}");
                (ter.score, ter.signature)
            }
        };
        let expected = case["score"].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-11, "{found} is not {expected}: {case}");
        assert_eq!(format!("{found:.4}"), format!("{expected:.4}"), "{case}");
        assert_eq!(signature, case["signature"].as_str().unwrap());
    }
}

/// Sentence scores are corpus scores of one line.
#[test]
fn sentence_scores() {
    let Some(folder) = golden() else { return };
    let columns = [
        options("bleu", &serde_json::json!({"effective_order": true})),
        options("bleu", &serde_json::json!({"smooth_method": "add-k", "smooth_value": 1})),
        options("chrf", &serde_json::json!({})),
        options("chrf", &serde_json::json!({"word_order": 2})),
        options("ter", &serde_json::json!({})),
    ];
    let mut rows = lines(folder.join("sentences.jsonl")).into_iter();
    let header: Value = serde_json::from_str(&rows.next().unwrap()).unwrap();
    let names = serde_json::json!(["bleu effective_order exp", "bleu add-k 1", "chrF2", "chrF++", "TER"]);
    assert_eq!(header["columns"], names);
    let mut files = std::collections::HashMap::new();
    let mut checked = 0;
    for row in rows {
        let row: Value = serde_json::from_str(&row).unwrap();
        let line = row["line"].as_u64().unwrap() as usize;
        let mut one = |name: &Value| {
            let name = name.as_str().unwrap();
            let all: &mut Vec<String> = files.entry(name.to_string()).or_insert_with(|| lines(folder.join(name)));
            vec![all[line].clone()]
        };
        let hypothesis = one(&row["hyp"]);
        let references: Vec<Vec<String>> = row["refs"].as_array().unwrap().iter().map(&mut one).collect();
        for (options, expected) in columns.iter().zip(numbers(&row["scores"])) {
            let scores = score(&hypothesis, &references, options).unwrap();
            let found = scores
                .bleu
                .map(|score| score.score)
                .or(scores.chrf.map(|score| score.score))
                .or(scores.ter.map(|score| score.score))
                .unwrap();
            assert!((found - expected).abs() < 1e-11, "{found} is not {expected}: {row}");
            checked += 1;
        }
    }
    assert_eq!(checked, 1565 * 5);
}
