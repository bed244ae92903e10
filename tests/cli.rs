//! The command line as a user types it.
mod common;

use common::command::{Lab, TINY};

#[test]
fn from_raw_text_to_a_score() {
    let lab = Lab::new();
    let table = lab
        .nmt(&[
            "preprocess",
            "--source-lang",
            "de",
            "--target-lang",
            "en",
            "--train",
            "train",
            "--valid",
            "valid",
            "--test",
            "test",
            "--bpe-merges",
            "10",
            "--joined-dictionary",
            "--output",
            "data",
        ])
        .ok();
    assert!(table.contains("train") && table.contains("400"), "{table}");
    let shown = lab.nmt(&["data", "show", "--data", "data", "--split", "test", "--lang", "de"]).ok();
    assert_eq!(shown, std::fs::read_to_string(lab.path("test.de")).unwrap());
    let ids = lab.nmt(&["data", "show", "--data", "data", "--split", "test", "--lang", "en", "--ids"]).ok();
    assert!(ids.lines().count() == 40 && ids.lines().all(|line| line.ends_with(" 2")), "{ids}");

    let mut arguments = vec!["gradinit", "--data", "data", "--optimizer", "adam", "--output", "init.safetensors"];
    arguments.extend(TINY);
    arguments.extend(["--iterations", "6", "--eta", "0.001", "--tau", "0.01", "--gamma", "1e3", "--seed", "3"]);
    let files = lab.nmt(&arguments).ok();
    assert_eq!(files, "init.safetensors\ninit.scales.json\ninit.trajectory.jsonl\n");
    let scales: serde_json::Value = common::json(&lab.path("init.scales.json"));
    assert!(scales["encoder.layers.0.fc1.weight"].as_f64().unwrap() != 1.0, "{scales}");
    let trajectory = std::fs::read_to_string(lab.path("init.trajectory.jsonl")).unwrap();
    assert_eq!(trajectory.lines().count(), 7);

    let steps =
        ["--init", "init.safetensors", "--no-warmup", "--max-updates", "40", "--set", "validation.every_updates=20"];
    assert_eq!(lab.train("run", &steps).ok(), "run\n");
    for name in ["config.toml", "dict.de.txt", "dict.en.txt", "tokenizer.json", "preprocess.json", "log.jsonl"] {
        assert!(lab.path("run").join(name).exists(), "{name}");
    }
    assert!(lab.path("run/last.safetensors").exists() && lab.path("run/best.safetensors").exists());
    let config = std::fs::read_to_string(lab.path("run/config.toml")).unwrap();
    assert!(config.contains("\nmax_updates = 40\n") && config.contains("\nwarmup_updates = 0\n"), "{config}");

    // The run folder is all that is needed.
    std::fs::remove_dir_all(lab.path("data")).unwrap();
    let input = b"a b c\n\nc b a d\n";
    let text = lab.nmt_with_input(&["translate", "--model", "run"], input).ok();
    assert_eq!(text.lines().count(), 3);
    assert_eq!(text.lines().nth(1), Some(""), "an empty line stays an empty line");
    let tsv = lab.nmt_with_input(&["translate", "--model", "run", "--n-best", "2", "--format", "tsv"], input).ok();
    let columns: Vec<Vec<&str>> = tsv.lines().map(|line| line.split('\t').collect()).collect();
    assert!(columns.iter().all(|row| row.len() == 4), "{tsv}");
    assert_eq!(columns.iter().map(|row| row[0]).collect::<Vec<_>>(), ["1", "1", "2", "3", "3"]);
    assert!(columns[0][2].parse::<f64>().unwrap() >= columns[1][2].parse::<f64>().unwrap());
    assert_eq!(text.lines().next(), Some(columns[0][3]), "the best is the first");
    let objects = lab.nmt_with_input(&["translate", "--model", "run", "--format", "jsonl"], input).ok();
    let last: serde_json::Value = serde_json::from_str(objects.lines().last().unwrap()).unwrap();
    assert_eq!((last["line"].as_u64(), last["source"].as_str()), (Some(3), Some("c b a d")));
    assert!(last["translations"][0]["score"].as_f64().unwrap() < 0.0);
}

#[test]
fn scores_of_a_model_and_of_its_translations_are_equal() {
    let lab = Lab::new();
    lab.preprocess().train("run", &["--max-updates", "60", "--set", "schedule.learning_rate=0.01"]).ok();
    let score = ["score", "--model", "run", "--data", "data", "--output", "out.en", "--json", "--metrics", "bleu,chrf"];
    let of_model: serde_json::Value = serde_json::from_str(&lab.nmt(&score).ok()).unwrap();
    let files = ["score", "--hypotheses", "out.en", "--references", "test.en", "--tokenize", "none", "--json"];
    let of_files: serde_json::Value = serde_json::from_str(&lab.nmt(&files).ok()).unwrap();
    assert_eq!(of_model["bleu"]["score"], of_files["bleu"]["score"]);
    assert!(of_model["bleu"]["signature"].as_str().unwrap().contains("tok:none"));
    assert_eq!(of_model["chrf"]["score"], of_files["chrf"]["score"]);
    // Translations on standard output are those of the score, in input order.
    let input = std::fs::read(lab.path("test.de")).unwrap();
    let translated = lab.nmt_with_input(&["--quiet", "translate", "--model", "run"], &input).ok();
    assert_eq!(translated, std::fs::read_to_string(lab.path("out.en")).unwrap());
}

#[test]
fn the_configuration_is_printed_with_its_documentation() {
    let lab = Lab::new();
    std::fs::write(lab.path("my.toml"), "[model]\nembed_dim = 256\n").unwrap();
    let text = lab.nmt(&["config", "--config", "my.toml", "--set", "training.seed=7"]).ok();
    assert!(text.contains("embed_dim = 256\n") && text.contains("seed = 7\n"), "{text}");
    let keys = text.lines().filter(|line| !line.starts_with('#') && line.contains(" = ")).count();
    let documented = text
        .lines()
        .zip(text.lines().skip(1))
        .filter(|(above, line)| above.starts_with("# ") && !line.starts_with('#') && line.contains(" = "))
        .count();
    assert_eq!(keys, documented, "every key has its documentation");
    // What is printed reads back to the same.
    std::fs::write(lab.path("printed.toml"), &text).unwrap();
    assert_eq!(lab.nmt(&["config", "--config", "printed.toml"]).ok(), text);
}

#[test]
fn every_recipe_is_a_configuration() {
    let lab = Lab::new();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut recipes = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            lab.nmt(&["config", "--config", path.to_str().unwrap()]).ok();
            recipes += 1;
        }
    }
    assert!(recipes >= 7, "{recipes}");
}

#[test]
fn gradinit_says_whether_its_bound_mattered_and_replaces_nothing() {
    let lab = Lab::new();
    let gradinit = |output: &str, further: &[&str]| {
        let mut arguments = vec!["gradinit", "--data", "data", "--iterations", "3", "--output", output];
        arguments.extend(TINY);
        arguments.extend(further);
        lab.nmt(&arguments)
    };
    lab.preprocess();
    gradinit("init", &[]).fails(2, &["--output", "init.safetensors"]);
    let loose = gradinit("init.safetensors", &["--gamma", "1e9"]);
    for part in ["0 of 3 steps lowered it", "γ never bound", "loss after one step of the optimiser from"] {
        assert!(loose.stderr.contains(part), "{}", loose.stderr);
    }
    gradinit("init.safetensors", &[]).fails(2, &["init.safetensors exists already", "--overwrite"]);
    let tight = gradinit("init.safetensors", &["--overwrite", "--gamma", "1e-9"]);
    assert!(tight.stderr.contains("3 of 3 steps lowered it\nno step lowered the loss"), "{}", tight.stderr);
    // It is a start, no model.
    lab.nmt(&["translate", "--model", "init.safetensors"]).fails(1, &["init.safetensors: expected a checkpoint"]);
    // Other sizes: the message names both ends.
    let mut other = lab.train_arguments("run", &["--init", "init.safetensors"]);
    other.extend(["--set", "model.embed_dim=16"]);
    lab.nmt(&other).fails(1, &["init.safetensors: expected", "same --data, --config and --set"]);
}

#[test]
fn a_program_that_waits_for_each_translation_gets_it() {
    use std::io::{BufRead, BufReader, Write};
    let lab = Lab::new();
    lab.preprocess().train("run", &["--max-updates", "2"]).ok();
    let mut child = lab
        .command(&["translate", "--model", "run", "--buffer-size", "1", "--quiet"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let (mut to, mut from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for source in ["a b c\n", "d e f\n"] {
        to.write_all(source.as_bytes()).unwrap();
        let mut line = String::new();
        assert!(from.read_line(&mut line).unwrap() > 0);
    }
    drop(to);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_data_folder_says_what_it_holds() {
    let lab = Lab::new();
    let table = lab.preprocess().nmt(&["data", "show", "--data", "data"]).ok();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split('\t').collect()).collect();
    let named: Vec<_> = rows.iter().map(|row| row[..3].join(" ")).collect();
    let expected = ["test de 40", "test en 40", "train de 400", "train en 400", "valid de 40", "valid en 40"];
    assert_eq!((named[0].as_str(), &named[1..]), ("split lang sentences", &expected.map(String::from)[..]));
    let ids = lab.nmt(&["data", "show", "--data", "data", "--split", "test", "--lang", "en", "--ids"]).ok();
    assert_eq!(rows[2][3].parse::<usize>().unwrap(), ids.split_whitespace().count());
    lab.nmt(&["data", "show", "--data", "data", "--split", "test"]).fails(2, &["--lang"]);
}

/// Loading it takes a quarter of a second, and the program that loads it is another.
#[test]
#[cfg(nmt_without_libtorch)] // See build.rs.
fn work_on_text_does_not_load_libtorch() {
    let libraries = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_BIN_EXE_nmt")).with_file_name(name);
        let ran =
            std::process::Command::new(path).arg("--version").env("LD_TRACE_LOADED_OBJECTS", "1").output().unwrap();
        String::from_utf8(ran.stdout).unwrap()
    };
    assert!(libraries("nmt").contains("libc.so") && !libraries("nmt").contains("torch"), "{}", libraries("nmt"));
    assert!(libraries("nmt-torch").contains("libtorch_cpu.so"));
}

#[test]
fn help_and_wrong_use() {
    let lab = Lab::new();
    let help = lab.nmt(&["--help"]).ok();
    for command in ["preprocess", "gradinit", "train", "translate", "score", "config", "data", "doctor", "plot"] {
        assert!(help.contains(command), "{command}");
        assert!(lab.nmt(&[command, "--help"]).ok().contains("Usage: nmt"), "{command}");
    }
    assert!(lab.nmt(&["doctor"]).ok().contains("libtorch   2.11"));
    lab.nmt(&["trian"]).fails(2, &["similar subcommand", "'train'"]);
    lab.nmt(&["train", "--data", "x"]).fails(2, &["--output"]);
    lab.nmt(&["score"]).fails(2, &["--hypotheses"]);
    lab.nmt(&["score", "--model", "run"]).fails(2, &["--data"]);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let lab = Lab::new();
    let mut command = lab.command(&["config"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
}
