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
    for (folder, command, least) in
        [(folder.clone(), &["config"][..], 7), (folder.join("vision"), &["vision", "config"][..], 2)]
    {
        let mut recipes = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                lab.nmt(&[command, &["--config", path.to_str().unwrap()]].concat()).ok();
                recipes += 1;
            }
        }
        assert!(recipes >= least, "{recipes}");
    }
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
    for part in ["0 of 3 steps were on the norm", "γ never bound", "loss after one step of the optimiser "] {
        assert!(loose.stderr.contains(part), "{}", loose.stderr);
    }
    gradinit("init.safetensors", &[]).fails(2, &["init.safetensors exists already", "--overwrite"]);
    let tight = gradinit("init.safetensors", &["--overwrite", "--gamma", "1e-9"]);
    assert!(tight.stderr.contains("3 of 3 steps were on the norm\nno step was on the loss"), "{}", tight.stderr);
    // --optimizer brings the paper's η and γ for it, where they are not given; --set changes what it says. Both are one too many.
    let changes: [(&[&str], &str); 3] = [
        (&["--optimizer", "sgd"], "γ 1, η 0.15"),
        (&["--optimizer", "sgd", "--eta", "0.2"], "γ 1, η 0.2"),
        (&["--set=gradinit.optimizer=sgd"], "γ 1000, η 0.0005"),
    ];
    for (change, expected) in changes {
        let sgd = gradinit("sgd.safetensors", &[change, &["--overwrite"]].concat());
        assert!(sgd.stderr.contains(expected), "{}", sgd.stderr);
        assert_eq!(sgd.stderr.contains("the paper's η 0.15"), expected.ends_with("0.15"), "{}", sgd.stderr);
    }
    gradinit("both.safetensors", &["--set=gradinit.optimizer=sgd", "--optimizer", "adam"])
        .fails(2, &["--optimizer", "gradinit.optimizer"]);
    // It is a start, no model.
    lab.nmt(&["translate", "--model", "init.safetensors"]).fails(1, &["init.safetensors: expected a checkpoint"]);
    // Other sizes: the message names both ends.
    let mut other = lab.train_arguments("run", &["--init", "init.safetensors"]);
    other.extend(["--set", "model.embed_dim=16"]);
    lab.nmt(&other).fails(1, &["init.safetensors: expected", "same --data, --config and --set"]);
}

/// Oracles: Xavier's multipliers of normalisation are 1, and those of GradInit's file its scales; the order is that of
/// the paper's Figure 7.
#[test]
fn initialisations_are_inspected_block_by_block() {
    let lab = Lab::new();
    lab.preprocess();
    let with_model = |arguments: &[&str]| lab.nmt(&[arguments, TINY].concat());
    with_model(&[
        "gradinit",
        "--data=data",
        "--iterations=4",
        "--tau=0.05",
        "--gamma=1e9",
        "--output=init.safetensors",
    ])
    .ok();
    let inspect = |further: &[&str]| {
        let all = ["inspect", "--data=data", "--batches=3", "--max-tokens=200", "--csv=i.csv"];
        lab.nmt(&[&all[..], TINY, further].concat())
    };
    let ran = inspect(&["--init=init.safetensors", "--output=i.svg"]);
    assert!(ran.stderr.contains("init against xavier: of 22 weights "), "{}", ran.stderr);
    assert_eq!(ran.ok(), "i.svg\ni.csv\n");
    assert!(std::fs::read_to_string(lab.path("i.svg")).unwrap().contains("normalisation weights"));
    let csv = std::fs::read_to_string(lab.path("i.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["initialisation", "group", "block", "magnitude", "gradient_std"]);
    let scales = common::json(&lab.path("init.scales.json"));
    let blocks = scales.as_object().unwrap().len();
    assert_eq!(rows.len(), 1 + 2 * blocks);
    let (before, after) = rows[1..].split_at(blocks);
    let mut groups: Vec<&str> = before.iter().map(|row| row[1]).collect();
    groups.dedup();
    let order = ["layer_norm", "query", "key", "value", "out_projection", "ffn1", "ffn2", "embedding", "bias"];
    assert_eq!(groups, order);
    for (before, after) in before.iter().zip(after) {
        let number = |row: &[&str], column: usize| row[column].parse::<f64>().unwrap();
        assert_eq!((before[0], after[0], before[2]), ("xavier", "init", after[2]));
        let scale = scales[before[2]].as_f64().unwrap();
        assert!((number(after, 3) - number(before, 3) * scale).abs() < 1e-6, "{before:?} {after:?}");
        assert!(before[1] == "bias" || number(after, 4) > 0.0, "{after:?}");
    }
    assert_eq!(before[0][2..4], ["encoder.layers.0.self_attn_layer_norm.weight", "1.0"]);

    // A run's checkpoint, and names; the same minibatches give the same figures.
    lab.train("run", &["--max-updates=2"]).ok();
    let files = ["--init=init.safetensors", "--init=run/best.safetensors", "--files-only", "--quiet", "--output=i.png"];
    assert!(inspect(&files).stderr.is_empty());
    let again = std::fs::read_to_string(lab.path("i.csv")).unwrap();
    assert!(again.contains("\nrun/best,layer_norm,") && !again.contains("xavier"), "{again}");
    let of_file = |csv: &str| csv.lines().filter(|line| line.starts_with("init,")).collect::<Vec<_>>().join("\n");
    assert_eq!(of_file(&again), of_file(&csv));
    inspect(&[&files[..], &["--name=GradInit", "--name=trained"]].concat()).ok();
    assert!(std::fs::read_to_string(lab.path("i.csv")).unwrap().contains("\ntrained,bias,"));

    inspect(&["--init=nowhere.safetensors", "--output=j.svg"]).fails(1, &["nowhere.safetensors", "check the path"]);
    inspect(&["--init=init.safetensors", "--output=j.svg", "--set=model.ffn_dim=32"])
        .fails(1, &["init.safetensors: expected", "shape", "same --data, --config and --set"]);
    inspect(&["--init=init.safetensors", "--output=j.pdf"]).fails(2, &["has to end in .svg or .png, found j.pdf"]);
    inspect(&["--init=init.safetensors", "--name=a", "--name=b", "--output=j.svg"]).fails(2, &["1 --init, found 2"]);
    inspect(&["--files-only", "--output=j.svg"]).fails(2, &["--init"]);
    inspect(&["--batches=1", "--output=j.svg"]).fails(2, &["--batches"]);
    assert!(!lab.path("j.svg").exists() && !lab.path("j.pdf").exists(), "nothing is left behind");
}

#[test]
fn a_table_of_scores_is_drawn_as_maps() {
    let lab = Lab::new();
    let head = "method,learning_rate,beta2,value,runs\n";
    std::fs::write(lab.path("m.csv"), format!("{head}Admin,5e-4,0.98,36.1,4\nGradInit,5e-4,0.98,36.0,4\n")).unwrap();
    assert_eq!(lab.nmt(&["plot", "--map", "m.csv", "--output", "m.svg"]).ok(), "m.svg\n");
    let svg = std::fs::read_to_string(lab.path("m.svg")).unwrap();
    assert!(svg.contains("\nGradInit (mean of 4 runs)\n") && svg.contains("\n36.1\n"), "{svg}");
    std::fs::write(lab.path("m.csv"), format!("{head}Admin,5e-4,0.98,good,4\n")).unwrap();
    let plot = |output: &str| lab.nmt(&["plot", "--map", "m.csv", "--output", output]);
    plot("n.svg").fails(1, &["m.csv:2: expected a number as value, found \"good\""]);
    std::fs::write(lab.path("m.csv"), "method,schedule.learning_rate,optimizer.beta2,seed,updates,failed\n").unwrap();
    plot("n.svg").fails(1, &["m.csv:1", "the table of `nmt experiment`", ".svg"]);
    plot("n.pdf").fails(2, &["has to end in .svg or .png, found n.pdf"]);
    lab.nmt(&["plot", "--map", "nowhere.csv", "--output", "n.svg"]).fails(1, &["nowhere.csv", "check the path"]);
    lab.nmt(&["plot", "--map", "m.csv", "--run", "run", "--output", "n.svg"]).fails(2, &["--run"]);
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
    for command in
        ["preprocess", "gradinit", "inspect", "train", "translate", "score", "config", "data", "doctor", "plot"]
    {
        assert!(help.contains(command), "{command}");
        assert!(lab.nmt(&[command, "--help"]).ok().contains("Usage: nmt"), "{command}");
    }
    let found = lab.nmt(&["doctor"]).ok();
    assert!(found.contains("libtorch   2.11") && found.contains("MPI "), "{found}");
    lab.nmt(&["trian"]).fails(2, &["similar subcommand", "'train'"]);
    lab.nmt(&["train", "--data", "x"]).fails(2, &["--output"]);
    lab.nmt(&["score"]).fails(2, &["--hypotheses"]);
    lab.nmt(&["score", "--model", "run"]).fails(2, &["--data"]);
    let files = ["score", "--hypotheses", "h.txt", "--references", "r.txt"];
    lab.nmt(&[&files[..], &["--beam", "3"]].concat()).fails(2, &["--beam is for translating", "--model"]);
    for (run, found) in [("pictures", r#""accuracy":10.0"#), ("text", r#""nll_loss":9.0"#)] {
        std::fs::create_dir(lab.path(run)).unwrap();
        let log = format!(r#"{{"event":"validation","update":1,"epoch":1,"loss":2.3,{found}}}"#);
        std::fs::write(lab.path(run).join("log.jsonl"), log).unwrap();
    }
    let both = ["plot", "--run", "text", "pictures", "--output", "a.svg"];
    lab.nmt(&both).fails(2, &["runs of one kind", "pictures of an image network and text of a Transformer"]);
    lab.nmt(&["plot", "--run", "init.trajectory.jsonl", "--output", "a.svg"]).fails(1, &["init.trajectory.jsonl"]);
    std::fs::write(lab.path("init.trajectory.jsonl"), "{}\n").unwrap();
    lab.nmt(&["plot", "--run", "init.trajectory.jsonl", "--output", "a.svg"]).fails(2, &["--gradinit"]);
    lab.nmt(&["gradinit", "--data", "d", "--output", "i.safetensors", "--gamma", "-4"])
        .fails(2, &["gradinit.gamma", "-4"]);
    let warmup = ["--no-warmup", "--set", "schedule.warmup_updates=20", "--output", "run"];
    lab.nmt(&[&["train", "--data", "d"], &warmup[..]].concat()).fails(2, &["--no-warmup", "warmup_updates=20"]);
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

/// As launchers of MPI start it, by a program without MPI: each would train the same, and write into one folder.
#[test]
#[cfg(not(feature = "mpi"))]
fn several_processes_want_mpi() {
    let lab = Lab::new();
    lab.preprocess();
    let launched = |arguments: &[&str]| {
        let mut command = lab.command(arguments);
        command.env("OMPI_COMM_WORLD_SIZE", "2").env("OMPI_COMM_WORLD_RANK", "0");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, message) = launched(&lab.train_arguments("run", &[]));
    assert!(
        code == Some(2)
            && message.contains("one of 2 processes, by a program that was built without MPI")
            && message.contains("env -u OMPI_COMM_WORLD_RANK"),
        "{message}"
    );
    assert!(!lab.path("run").exists());
    let (code, message) = launched(&["translate", "--model", "run"]);
    assert!(code == Some(2) && message.contains("expected one process of this command, found 2"), "{message}");
    assert_eq!(launched(&["doctor"]).0, Some(0));
}

#[test]
fn data_for_a_trained_model_are_made_as_its_own() {
    let lab = Lab::new();
    let languages = ["--source-lang=de", "--target-lang=en", "--lowercase", "--bpe-merges=20", "--joined-dictionary"];
    let texts = ["preprocess", "--train=train", "--valid=valid", "--test=test", "--output=data"];
    lab.nmt(&[&texts[..], &languages].concat()).ok();
    lab.train("run", &["--max-updates=1", "--set=validation.bleu=false"]).ok();
    let preprocess = |further: &[&str]| {
        let texts = ["preprocess", "--model=run", "--train=train", "--valid=valid", "--test=test", "--output=again"];
        lab.nmt(&[&texts[..], further].concat())
    };
    preprocess(&["--source-lang=de"]).fails(2, &["--source-lang", "--model"]);
    preprocess(&[]).ok();
    let mut compared = 0;
    for entry in std::fs::read_dir(lab.path("data")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name != "preprocess.json" {
            let of = |folder: &str| std::fs::read(lab.path(folder).join(&name)).unwrap();
            assert!(of("data") == of("again"), "{name}");
            compared += 1;
        }
    }
    assert!(compared > 12, "{compared}");
    let text = |folder: &str| common::json(&lab.path(folder).join("preprocess.json"))["text"].clone();
    assert_eq!(text("data"), text("again"));
    lab.nmt(&["preprocess", "--model=nowhere", "--train=train", "--output=x"]).fails(1, &["nowhere", "no such folder"]);
    let tokenizer = lab.path("run/tokenizer.json");
    std::fs::remove_file(&tokenizer).unwrap();
    preprocess(&["--overwrite"]).fails(1, &["run/tokenizer.json: expected the byte-pair encoding", "no such file"]);
    // Words of one treatment looked up in a dictionary of another: the table says so, and a warning.
    let dictionaries = ["--source-dictionary=data/dict.de.txt", "--target-dictionary=data/dict.en.txt"];
    std::fs::write(lab.path("x.de"), "quiet words\n").unwrap();
    std::fs::write(lab.path("x.en"), "QUIET WORDS\n").unwrap();
    let texts = ["preprocess", "--source-lang=de", "--target-lang=en", "--test=x", "--output=x"];
    let found = lab.nmt(&[&texts[..], &dictionaries].concat());
    assert!(
        found.code == 0 && found.stderr.contains("67 % of the tokens of test.de are not in its dictionary"),
        "{}",
        found.stderr
    );
}
