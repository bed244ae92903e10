//! What makes the command line one of a shell's own: completions, manual pages, looking before doing, watching a run.
mod common;

use common::command::Lab;

#[test]
fn shells_complete_every_command() {
    let lab = Lab::new();
    for (shell, sign) in [
        ("bash", "complete -F _nmt"),
        ("zsh", "#compdef nmt"),
        ("fish", "complete -c nmt"),
        ("elvish", "edit:completion"),
    ] {
        let script = lab.nmt(&["completions", shell]).ok();
        assert!(script.contains(sign) && script.contains("gradinit") && script.contains("no-warmup"), "{shell}");
    }
    lab.nmt(&["completions", "csh"]).fails(2, &["csh", "bash"]);
    // The script is one that bash takes, and it knows options of commands.
    let script = lab.nmt(&["completions", "bash"]).ok();
    std::fs::write(lab.path("nmt.bash"), script).unwrap();
    let asked =
        "source ./nmt.bash; COMP_WORDS=(nmt train --no-w); COMP_CWORD=2; _nmt nmt --no-w train; echo ${COMPREPLY[*]}";
    let bash = std::process::Command::new("bash").args(["-c", asked]).current_dir(lab.path("")).output().unwrap();
    assert_eq!(String::from_utf8(bash.stdout).unwrap().trim(), "--no-warmup");
}

#[test]
fn every_command_has_a_manual_page() {
    let lab = Lab::new();
    let page = lab.nmt(&["man"]).ok();
    assert!(page.contains(".TH nmt 1") && page.contains("warmup") && page.contains("Exit codes"), "{page}");
    assert!(lab.nmt(&["man", "--output", "man1"]).ok().ends_with(" pages in man1\n"));
    for (name, part) in [("nmt-train", "no\\-warmup"), ("nmt-vision-gradinit", "arch"), ("nmt-data-show", "split")] {
        let page = std::fs::read_to_string(lab.path(&format!("man1/{name}.1"))).unwrap();
        assert!(page.contains(&format!(".TH {name} 1")) && page.contains(part), "{page}");
    }
}

#[test]
fn looking_before_doing_writes_nothing() {
    let lab = Lab::new();
    lab.preprocess();
    let printed = lab.train("run", &["--print-config", "--no-warmup"]).ok();
    assert!(printed.contains("\nembed_dim = 32\n") && printed.contains("\nwarmup_updates = 0\n"), "{printed}");
    std::fs::write(lab.path("printed.toml"), &printed).unwrap();
    assert_eq!(lab.nmt(&["config", "--config", "printed.toml"]).ok(), printed);
    let gradinit = ["gradinit", "--data=data", "--output=i.safetensors", "--iterations=7", "--print-config"];
    assert!(lab.nmt(&gradinit).ok().contains("\niterations = 7\n"));

    let steps = ["--dry-run", "--max-updates=1000", "--set=training.update_frequency=2", "--max-epochs=3"];
    let found = lab.train("run", &steps).ok();
    // 400 pairs in batches of at most 400 tokens, two of them an update, three epochs.
    let number = |line: &str, words: usize| {
        let line = found.lines().find(|found| found.contains(line)).unwrap_or_else(|| panic!("no {line}: {found}"));
        line.split_whitespace().nth(words).unwrap().parse::<u64>().unwrap()
    };
    let batches = number("batches ", 1);
    assert!((5..=20).contains(&batches), "{found}");
    assert_eq!(number("updates: about", 0), 3 * batches.div_ceil(2));
    assert!(found.contains("largest batch") && found.contains("GiB"), "{found}");
    assert!(!lab.path("run").exists());
    // What training would refuse is refused.
    lab.train("run", &["--dry-run", "--init=none.safetensors"]).fails(1, &["none.safetensors"]);
    lab.train("run", &["--dry-run", "--set=validation.split=dev"]).fails(2, &["no split \"dev\""]);

    // Of a run that was begun, what is left.
    lab.train("run", &["--max-updates=20", "--stop-after=5"]).ok();
    let files = || {
        let entries = std::fs::read_dir(lab.path("run")).unwrap().map(|entry| entry.unwrap());
        let mut files: Vec<_> =
            entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().modified().unwrap())).collect();
        files.sort();
        files
    };
    lab.nmt(&["train", "--data=data", "--output=run", "--resume", "--dry-run", "--max-updates=3"])
        .fails(2, &["expected 5 or more", "found 3"]);
    lab.other_data("other", "train");
    lab.nmt(&["train", "--data=other", "--output=run", "--resume", "--dry-run"])
        .fails(2, &["expected the data that the run began with"]);
    std::fs::remove_file(lab.path("run/config.toml")).unwrap();
    let before = files();
    assert!(lab.nmt(&["train", "--data=data", "--output=run", "--resume", "--print-config"]).ok().contains("= 32"));
    let left = lab.nmt(&["train", "--data=data", "--output=run", "--resume", "--dry-run"]).ok();
    assert!(left.contains("15 updates that are left after 5: about"), "{left}");
    assert_eq!(files(), before);
}

/// The numbers themselves are tested where the files are written.
#[test]
fn a_run_is_watched_in_tensorboard() {
    let lab = Lab::new();
    lab.preprocess().train("run", &["--max-updates=20", "--stop-after=10", "--tensorboard"]).ok();
    lab.nmt(&["train", "--data=data", "--output=run", "--resume"]).ok();
    let folder = lab.path("run/tensorboard");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 2);
    for file in &files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let bytes = std::fs::read(file).unwrap();
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(name.starts_with("events.out.tfevents.") && has("brain.Event:2") && has("validation/bleu"), "{name}");
    }
    lab.train("without", &["--max-updates=2"]).ok();
    assert!(!lab.path("without/tensorboard").exists());
}
