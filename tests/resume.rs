//! A run that was stopped and resumed ends with the bits of one that was not.
mod common;

use std::time::Duration;

use common::command::{Lab, TINY};

const UPDATES: &[&str] = &[
    "--max-updates=60",
    "--set=validation.every_updates=15",
    "--set=training.log_every=5",
    "--set=training.checkpoint_every=4",
    "--set=training.update_frequency=2",
];

#[test]
fn resumed_is_never_having_stopped() {
    let lab = Lab::new();
    lab.preprocess().train("whole", UPDATES).ok();
    assert_eq!(lab.events("whole").len(), 16);
    let mut arguments = lab.train_arguments("stopped", UPDATES);
    arguments.push("--resume");
    let codes = ["-INT", "-KILL", "-TERM", "-KILL"].map(|signal| lab.stop(&arguments, "stopped/log.jsonl", signal));
    assert_eq!(codes[0], Some(130), "SIGINT");
    assert_eq!(codes[1], None, "SIGKILL");
    assert!(codes[2] == Some(143) || codes[2] == Some(0), "SIGTERM: {codes:?}");
    lab.nmt(&arguments).ok();
    lab.assert_same_runs("whole", "stopped", &["last.safetensors", "best.safetensors"]);
}

/// Whatever iteration the signals find GradInit in, and whether it had saved anything by then.
#[test]
fn gradinit_resumed_is_never_having_stopped() {
    let lab = Lab::new();
    lab.preprocess();
    let arguments = |output: &'static str, further: &[&'static str]| {
        let settings: [&'static str; 3] =
            ["--iterations=1000", "--set=gradinit.gamma=0.9", "--set=gradinit.gamma_unit=initial-norm"];
        [&["gradinit", "--data=data", "--output", output], &settings[..], TINY, further].concat()
    };
    let whole = lab.nmt(&arguments("whole.safetensors", &[])).ok();
    assert_eq!(whole.lines().count(), 3);
    let (resume, partial) = (arguments("stopped.safetensors", &["--resume"]), lab.path("stopped.partial.json"));
    let iteration = || common::json(&partial)["state"]["iteration"].as_u64().unwrap();
    // The first signal may come before anything was done.
    let mut wait = Duration::from_millis(100);
    while !partial.exists() {
        // Not SIGINT, which is ignored up to the program's own handler where tests run in the background of a shell.
        let code = lab.stop_after(&resume, wait, "-TERM");
        assert!(code == Some(143) || code == Some(0) || code.is_none(), "{code:?}");
        // Or after all was done, where the machine had other things to do before.
        if code == Some(0) {
            for suffix in ["safetensors", "scales.json", "trajectory.jsonl"] {
                std::fs::remove_file(lab.path("stopped.x").with_extension(suffix)).unwrap();
            }
            wait /= 2;
        }
        wait = wait * 5 / 4;
    }
    let before = iteration();
    assert!((1..1000).contains(&before), "{before}");
    lab.nmt(&arguments("stopped.safetensors", &[])).fails(2, &["stopped.partial.json holds a run", "--resume"]);
    let other = arguments("stopped.safetensors", &["--resume", "--seed=2"]);
    lab.nmt(&other).fails(2, &["stopped.partial.json: expected training.seed = 1 as the run began, found 2"]);
    lab.other_data("other", "train");
    let other: Vec<&str> =
        resume.iter().map(|word| if *word == "--data=data" { "--data=other" } else { word }).collect();
    lab.nmt(&other).fails(2, &["stopped.partial.json: expected the data as the run began, found other ones"]);
    lab.stop_after(&resume, wait / 4, "-KILL");
    assert!(!partial.exists() || iteration() >= before, "fewer than before, and not at the end");
    // None: it came before the program listened.
    let code = lab.stop_after(&resume, wait / 4, "-TERM");
    assert!(code.is_none_or(|code| code == 143 || code == 0), "{code:?}");
    let written = lab.nmt(&resume).ok();
    assert_eq!(written.replace("stopped", "whole"), whole);
    assert!(!partial.exists());
    for suffix in ["safetensors", "scales.json", "trajectory.jsonl"] {
        let bytes = |run: &str| std::fs::read(lab.path(run).with_extension(suffix)).unwrap();
        assert!(bytes("stopped.x") == bytes("whole.x"), "{suffix}");
    }
    // What has ended is what was asked for, or not; how long training is has no part in it.
    for further in [&[][..], &["--set=training.max_updates=7", "--set=metainit.tau=9"]] {
        let again = lab.nmt(&arguments("stopped.safetensors", &[&["--resume"], further].concat()));
        assert!(again.stderr.contains("nothing to do") && again.stdout == written, "{}", again.stderr);
    }
    let other_seed = arguments("stopped.safetensors", &["--resume", "--seed=2"]);
    lab.nmt(&other_seed).fails(2, &["stopped.safetensors: expected training.seed = 1 as the run began, found 2"]);
    lab.nmt(&other).fails(2, &["stopped.safetensors: expected the data as the run began, found other ones"]);
    let rescaled = arguments("stopped.safetensors", &["--resume", "--init=whole.safetensors"]);
    lab.nmt(&rescaled).fails(2, &["stopped.safetensors: expected the parameters to rescale as the run began"]);
}

#[test]
fn stop_after_is_a_pause_of_the_same_schedule() {
    let lab = Lab::new();
    lab.preprocess().train("whole", UPDATES).ok();
    lab.train("paused", &[UPDATES, &["--stop-after=30"]].concat()).ok();
    let paused = lab.events("paused");
    assert_eq!(paused, lab.events("whole")[..paused.len()]);
    assert_eq!((&paused[paused.len() - 1]["update"], paused.len()), (&30.into(), 8));
    let mut arguments = lab.train_arguments("paused", UPDATES);
    arguments.push("--resume");
    lab.nmt(&arguments).ok();
    lab.assert_same_runs("whole", "paused", &["last.safetensors"]);
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_does_not() {
    let lab = Lab::new();
    lab.preprocess();
    for (run, seed) in [("a", "--seed=5"), ("b", "--seed=5"), ("c", "--seed=6")] {
        lab.train(run, &["--max-updates=10", seed]).ok();
    }
    let bytes = |run: &str| std::fs::read(lab.path(run).join("best.safetensors")).unwrap();
    assert_eq!(
        common::tensors(&lab.path("a/best.safetensors")).len(),
        common::tensors(&lab.path("c/best.safetensors")).len()
    );
    assert!(bytes("a") == bytes("b"));
    assert!(bytes("a") != bytes("c"));
}

/// A run killed before its first checkpoint used to become another: the model of the defaults, over the old configuration.
#[test]
fn a_run_killed_at_its_beginning_goes_on_as_it_was_meant() {
    let lab = Lab::new();
    lab.preprocess();
    lab.nmt(&["train", "--data", "data", "--output", "rnu", "--resume"]).fails(2, &["rnu holds no last", "--output"]);
    assert!(!lab.path("rnu").exists());
    let whole = ["--max-updates=4", "--set=training.log_every=1"];
    lab.train("whole", &whole).ok();
    let mut child =
        lab.command(&lab.train_arguments("run", &whole)).stderr(std::process::Stdio::null()).spawn().unwrap();
    while !lab.path("run/last.safetensors").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended without a checkpoint");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lab.nmt(&["--threads=1", "train", "--data", "data", "--output", "run", "--resume"]).ok();
    let best = |run: &str| std::fs::read(lab.path(run).join("best.safetensors")).unwrap();
    assert!(best("run") == best("whole"));
}

#[test]
fn a_run_is_not_overwritten_or_changed_by_accident() {
    let lab = Lab::new();
    lab.preprocess().train("run", &["--max-updates=3"]).ok();
    lab.train("run", &["--max-updates=3"]).fails(2, &["holds a run already", "--resume"]);
    let more = ["train", "--data", "data", "--output", "run", "--resume"];
    lab.nmt(&[&more[..], &["--seed", "9"]].concat()).fails(2, &["training.seed = 1", "found 9"]);
    let again = lab.nmt(&more);
    assert!(again.code == 0 && again.stderr.contains("nothing to do: trained 3 updates"), "{}", again.stderr);
    // Going on for longer is what --resume is for.
    let longer = lab.nmt(&[&more[..], &["--max-updates", "5", "--init", "none.safetensors"]].concat());
    for part in ["was 3 and is 5", "--init none.safetensors is not read"] {
        assert!(longer.code == 0 && longer.stderr.contains(part), "{}", longer.stderr);
    }
    assert!(lab.events("run").iter().any(|event| event["update"] == 5));
    // Less than is done is a mistake, and leaves the configuration alone.
    let config = std::fs::read(lab.path("run/config.toml")).unwrap();
    lab.nmt(&[&more[..], &["--max-updates", "4"]].concat()).fails(2, &["expected 5 or more", "found 4"]);
    assert!(std::fs::read(lab.path("run/config.toml")).unwrap() == config);
    // BLEU and a loss cannot be compared: what is best begins anew.
    let by_loss = lab.nmt(&[&more[..], &["--max-updates", "6", "--set=validation.bleu=false"]].concat());
    assert!(by_loss.stderr.contains("the metric of validation is another one"), "{}", by_loss.stderr);
    assert!(by_loss.stderr.contains("(best so far)"), "{}", by_loss.stderr);
    by_loss.ok();
}

/// Two processes in one run folder would take turns at its files.
#[test]
fn one_process_at_a_time_trains_in_a_run_folder() {
    let lab = Lab::new();
    lab.preprocess();
    let arguments = lab.train_arguments("run", &["--max-updates=100000", "--resume"]);
    let mut first = lab.command(&arguments).stderr(std::process::Stdio::null()).spawn().unwrap();
    while !lab.path("run/last.safetensors").exists() {
        assert!(first.try_wait().unwrap().is_none(), "it ended without a checkpoint");
        std::thread::sleep(Duration::from_millis(2));
    }
    lab.nmt(&arguments).fails(1, &["another nmt is training in", "--output"]);
    first.kill().unwrap();
    first.wait().unwrap();
    let again = lab.train_arguments("run", &["--max-updates=100000", "--stop-after=1", "--resume"]);
    lab.nmt(&again).ok();
}

/// The configuration and the data that a run began with are in `last`: what lies beside it can be edited or lost.
#[test]
fn what_a_run_began_with_decides() {
    let lab = Lab::new();
    lab.preprocess().train("run", &["--max-updates=20", "--stop-after=10", "--set=training.log_every=5"]).ok();
    let (config, resume) =
        (lab.path("run/config.toml"), |data| vec!["train", "--data", data, "--output", "run", "--resume"]);
    let written = std::fs::read_to_string(&config).unwrap();

    std::fs::write(&config, written.replace("dropout = 0.1", "dropout = 0.2")).unwrap();
    lab.nmt(&resume("data")).fails(2, &["run/config.toml: expected model.dropout = 0.1 as the run began, found 0.2"]);
    // Half a file, at the end of a line.
    let half = written[..written.len() / 2].rsplit_once('\n').unwrap().0;
    std::fs::write(&config, half).unwrap();
    lab.nmt(&resume("data")).fails(2, &["run/config.toml: expected ", " as the run began, found "]);
    std::fs::write(&config, &written).unwrap();

    // What is refused changes nothing.
    lab.other_data("other", "train").other_data("validated", "valid");
    for (data, message) in [("other", "expected the data that the run began with"), ("validated", "of the split valid")]
    {
        let mut longer = resume(data);
        longer.push("--max-updates=40");
        lab.nmt(&longer).fails(2, &[message]);
        assert_eq!(std::fs::read_to_string(&config).unwrap(), written);
    }
    let log = lab.path("run/log.jsonl");
    let events = std::fs::read(&log).unwrap();
    std::fs::write(&log, "").unwrap();
    lab.nmt(&resume("data")).fails(1, &["run/log.jsonl: expected at least", "--init"]);
    std::fs::write(&log, events).unwrap();

    std::fs::remove_file(&config).unwrap();
    lab.nmt(&resume("data")).ok();
    assert_eq!(std::fs::read_to_string(&config).unwrap(), written);
    lab.train("whole", &["--max-updates=20", "--set=training.log_every=5"]).ok();
    common::assert_same_tensors(&lab.path("whole/last.safetensors"), &lab.path("run/last.safetensors"));
}

#[test]
fn a_folder_of_other_files_is_no_place_for_a_run() {
    let lab = Lab::new();
    lab.preprocess();
    std::fs::create_dir(lab.path("my")).unwrap();
    std::fs::write(lab.path("my/config.toml"), "# mine\n").unwrap();
    lab.train("my", &[]).fails(2, &["my: expected a folder without a run, found config.toml"]);
    assert_eq!(std::fs::read_to_string(lab.path("my/config.toml")).unwrap(), "# mine\n");
    lab.train("data", &[]).fails(2, &["data: expected a folder without a run, found dict.de.txt"]);
    // Without `last` there is nothing to go on with, and what is there stays.
    lab.train("run", &["--max-updates=4"]).ok();
    std::fs::remove_file(lab.path("run/last.safetensors")).unwrap();
    let best = std::fs::read(lab.path("run/best.safetensors")).unwrap();
    for resume in [&[][..], &["--resume"]] {
        lab.train("run", &[&["--max-updates=3"], resume].concat()).fails(2, &["found best.safetensors", "--output"]);
    }
    assert_eq!(std::fs::read(lab.path("run/best.safetensors")).unwrap(), best);
}

/// Weights are read under the configuration that they were trained with, whatever lies beside them.
#[test]
fn a_checkpoint_has_its_configuration() {
    let lab = Lab::new();
    lab.preprocess().train("run", &["--max-updates=6"]).ok();
    let score = || lab.nmt(&["score", "--model", "run", "--data", "data", "--json"]);
    let before = score().ok();
    assert!(before.contains("\"system\": \"run\"") && before.contains("\"beam\": 5"), "{before}");
    let config = lab.path("run/config.toml");
    let written = std::fs::read_to_string(&config).unwrap();
    let edited = written.replace("\nembed_dim = 32", "\nembed_dim = 64").replace("\nbeam = 5", "\nbeam = 1");
    for (text, said) in [
        (edited.as_str(), &["run/config.toml says model.embed_dim = 64", "counts: 32", "search.beam = 1"][..]),
        ("[model", &["run/config.toml:1: ", "what the checkpoint was trained with counts"]),
    ] {
        std::fs::write(&config, text).unwrap();
        let ran = score();
        assert!(said.iter().all(|part| ran.stderr.contains(part)), "{}", ran.stderr);
        assert_eq!(ran.ok(), before);
    }
    std::fs::remove_file(&config).unwrap();
    assert_eq!(score().ok(), before);
    std::fs::remove_file(lab.path("run/best.safetensors")).unwrap();
    let ran = score();
    assert!(ran.stderr.contains("run has no best.safetensors"), "{}", ran.stderr);
    ran.ok();
}

/// A terminal that closes is no reason to lose work, unless it was said that it means nothing.
#[test]
#[cfg(target_os = "linux")]
fn sighup_saves_where_it_is_not_ignored() {
    let lab = Lab::new();
    lab.preprocess();
    let run_under = |trap: &str, run: &str, signals: &[&str]| {
        let arguments = lab.train_arguments(run, &["--max-updates=100000", "--set=training.checkpoint_every=1"]);
        let mut command = std::process::Command::new("bash");
        command.args(["-c", &format!("{trap} exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_nmt")]).args(arguments);
        let mut child = command.current_dir(lab.path("")).stderr(std::process::Stdio::null()).spawn().unwrap();
        while !lab.path(run).join("last.safetensors").exists() {
            assert!(child.try_wait().unwrap().is_none(), "it ended without a checkpoint");
            std::thread::sleep(Duration::from_millis(2));
        }
        for signal in signals {
            std::process::Command::new("kill").args([*signal, &child.id().to_string()]).status().unwrap();
            std::thread::sleep(Duration::from_millis(400));
        }
        child.wait().unwrap().code()
    };
    assert_eq!(run_under("trap '' HUP;", "ignored", &["-HUP", "-TERM"]), Some(143));
    // A shell cannot give back a signal that was ignored when it began.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    if u64::from_str_radix(ignored, 16).unwrap() & 1 == 0 {
        assert_eq!(run_under("", "heard", &["-HUP"]), Some(129));
    } else {
        eprintln!("skipped: SIGHUP is ignored where the tests run");
    }
}

/// Text would become other ids than the model learnt.
#[test]
fn files_that_do_not_belong_together_are_refused() {
    let lab = Lab::new();
    let files = ["--train=train", "--valid=valid", "--test=test", "--tokenizer=none", "--output=data"];
    lab.nmt(&[&["preprocess", "--source-lang=de", "--target-lang=en", "--bpe-merges=30"], &files[..]].concat()).ok();
    lab.train("run", &["--max-updates=3", "--set=model.share_all_embeddings=false"]).ok();
    let translate = || lab.nmt_with_input(&["translate", "--model", "run"], b"a b c\n");
    translate().ok();
    let tokenizer = lab.path("run/tokenizer.json");
    let written = std::fs::read_to_string(&tokenizer).unwrap();
    std::fs::write(&tokenizer, written.replace("\"a\"", "\"q\"")).unwrap();
    translate().fails(1, &["run/tokenizer.json: expected the byte-pair encoding that preprocess.json", "another one"]);
    std::fs::remove_file(&tokenizer).unwrap();
    translate().fails(1, &["run/tokenizer.json: expected the byte-pair encoding", "no such file"]);

    let dictionary = lab.path("data/dict.en.txt");
    let words = std::fs::read_to_string(&dictionary).unwrap();
    let turned: Vec<&str> = words.lines().rev().collect();
    std::fs::write(&dictionary, turned.join("\n")).unwrap();
    let train = || lab.train("other", &["--set=model.share_all_embeddings=false", "--max-updates=1"]);
    train().fails(1, &["data/dict.en.txt: expected the dictionary that preprocess.json beside it was written with"]);
    std::fs::write(&dictionary, words).unwrap();
    train().ok();
}
