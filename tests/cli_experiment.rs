//! `nmt experiment` and `nmt gradinit --grid` as a user types them.
mod common;

use std::path::Path;

use common::command::{Lab, TINY};

/// The recipe of the tiny model.
fn recipe(lab: &Lab) {
    let mut arguments = vec!["config"];
    arguments.extend(TINY.iter().filter(|option| option.starts_with("--set")));
    arguments.extend(["--set=gradinit.iterations=4", "--set=gradinit.gamma=300", "--set=training.max_updates=12"]);
    arguments.extend(["--set=validation.every_updates=6", "--set=training.log_every=3"]);
    let text = lab.nmt(&arguments).ok();
    std::fs::write(lab.path("recipe.toml"), text).unwrap();
}

#[test]
fn an_experiment_writes_its_table_and_goes_on() {
    let lab = Lab::new();
    lab.preprocess();
    recipe(&lab);
    std::fs::write(
        lab.path("plan.toml"),
        r#"
title = "Two ways"
recipe = "recipe.toml"
seeds = [1, 2]
[[axis]]
key = "schedule.learning_rate"
values = [0.001, 0.01]
[[axis]]
key = "optimizer.beta2"
values = [0.98]
[[method]]
name = "Vanilla"
[[method]]
name = "GradInit"
gradinit = true
[[method]]
name = "SGD"
set = ["optimizer.kind=sgd"]
"#,
    )
    .unwrap();
    let command = ["--threads=1", "experiment", "plan.toml", "--data", "data", "--output", "runs"];
    let with = |further: &[&'static str]| [&command[..], further].concat();
    let listed = lab.nmt(&with(&["--dry-run"])).ok();
    assert_eq!(listed.lines().count(), 12);
    assert_eq!(listed.lines().next(), Some("runs/vanilla/learning_rate=0.001/beta2=0.98/seed-1"));
    let of_folder = lab.nmt(&with(&["--dry-run", "--only", "runs/vanilla/learning_rate=0.01", "--only", "sgd"])).ok();
    assert_eq!(of_folder.lines().filter(|line| line.contains("/vanilla/learning_rate=0.01/")).count(), 2);
    assert_eq!(of_folder.lines().count(), 2 + 4, "{of_folder}");
    lab.nmt(&with(&["--dry-run", "--only", "van"])).fails(2, &["\"Vanilla\", \"GradInit\", \"SGD\""]);
    assert!(!lab.path("runs").exists());

    lab.nmt(&with(&["--only", "GradInit", "--seeds", "2", "--report", "table.md"])).ok();
    let table = std::fs::read_to_string(lab.path("table.md")).unwrap();
    assert!(
        table.contains("2 of 12 runs have ended") && table.contains("| Vanilla | 0.001 | 0.98 | 0 | - |"),
        "{table}"
    );
    assert!(lab.path("runs/gradinit/init-seed-2.safetensors").exists());
    let csv = std::fs::read_to_string(lab.path("table.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(csv.lines().nth(1).unwrap().starts_with("GradInit,0.001,0.98,2,12,"), "{csv}");
    assert!(lab.path("table.svg").exists());

    // What has ended stays as it is; what has not is run.
    let outcome = lab.path("runs/gradinit/learning_rate=0.001/beta2=0.98/seed-2/outcome.json");
    let before = std::fs::metadata(&outcome).unwrap().modified().unwrap();
    let ran = lab.nmt(&with(&["--seeds", "2", "--report", "table.md"]));
    let notes = ran.stderr.clone();
    ran.ok();
    assert!(notes.contains("run 4 of 4") && notes.contains("$ nmt train --data data --config recipe.toml"), "{notes}");
    assert_eq!(std::fs::metadata(&outcome).unwrap().modified().unwrap(), before);
    assert!(std::fs::read_to_string(lab.path("table.md")).unwrap().contains("6 of 12 runs have ended"));

    // Other sentences to translate make another table.
    lab.other_data("other", "test");
    let other: Vec<&str> = command.iter().map(|word| if *word == "data" { "other" } else { word }).collect();
    lab.nmt(&other).fails(2, &["beta2=0.98/seed-2: expected a run of this plan", "one with other data than other"]);
}

/// Oracle: the last validation in each run's log.
#[test]
fn runs_that_are_not_scored_are_compared_by_their_last_validation() {
    let lab = Lab::new();
    lab.preprocess();
    recipe(&lab);
    let plan = |set: &str| {
        let text = format!(
            "title = \"T\"\nrecipe = \"recipe.toml\"\nseeds = [1]\nscore = false\nstop_after = 9\nset = [{set}]\n\
             [[axis]]\nkey = \"schedule.learning_rate\"\nvalues = [0.01, 0.001]\n[[method]]\nname = \"A\"\n"
        );
        std::fs::write(lab.path("plan.toml"), text).unwrap();
    };
    plan("");
    lab.nmt(&["--threads=1", "experiment", "plan.toml", "--data", "data", "--output", "runs"]).ok();
    let table = std::fs::read_to_string(lab.path("runs/report.md")).unwrap();
    for rate in ["0.01", "0.001"] {
        let events = lab.events(&format!("runs/a/learning_rate={rate}/seed-1"));
        let last = events.iter().rfind(|event| event["event"] == "validation").unwrap();
        assert_eq!(last["update"], 9);
        let bleu = format!("{:.2}", last["bleu"].as_f64().unwrap());
        let row = table.lines().find(|line| line.starts_with(&format!("| A | {rate} |"))).unwrap();
        assert!(row.ends_with(&format!("| {bleu} | {bleu} |")), "{row} for {bleu}");
    }
    assert!(table.contains("| BLEU, last validation | by seed |"), "{table}");
    let svg = std::fs::read_to_string(lab.path("runs/report.svg")).unwrap();
    assert!(svg.contains("BLEU, last validation") && svg.contains("learning_rate"), "{svg}");

    // Where training does not measure BLEU there is none, of failures either.
    plan("\"validation.bleu=false\", \"validation.metric=nll\"");
    let others = ["--threads=1", "experiment", "plan.toml", "--data", "data", "--output", "others"];
    lab.nmt(&others).ok();
    let table = std::fs::read_to_string(lab.path("others/report.md")).unwrap();
    assert!(!table.contains("BLEU") && table.contains("| training loss | validation nll |\n"), "{table}");
    assert!(std::fs::read_to_string(lab.path("others/report.svg")).unwrap().contains("validation nll (bits)"));

    // To score them, too, they need not be trained again.
    let text = std::fs::read_to_string(lab.path("plan.toml")).unwrap().replace("score = false\n", "");
    std::fs::write(lab.path("plan.toml"), &text).unwrap();
    let scored = lab.nmt(&others);
    assert!(scored.stderr.matches("nothing to do: trained 9 updates").count() == 2, "{}", scored.stderr);
    scored.ok();
    let table = std::fs::read_to_string(lab.path("others/report.md")).unwrap();
    assert!(table.contains("2 of 2 runs have ended") && table.contains("BLEU"), "{table}");
    // Where patience may end a run, one that was stopped before is still shorter.
    let patient = |stop: &str| {
        let patient =
            text.replace("stop_after = 9", stop).replace("bleu=false\"", "bleu=false\", \"validation.patience=9\"");
        std::fs::write(lab.path("plan.toml"), patient).unwrap();
        lab.nmt(&["--threads=1", "experiment", "plan.toml", "--data", "data", "--output", "patient"])
    };
    patient("stop_after = 3").ok();
    patient("stop_after = 6").fails(2, &["3 updates for 6"]);
    patient("stop_after = 0").fails(2, &["stop_after: expected 1 or more, found 0"]);
}

#[test]
fn a_run_that_fails_is_an_outcome_and_wrong_use_is_not() {
    let lab = Lab::new();
    lab.preprocess();
    recipe(&lab);
    let plan = "title = \"T\"\nrecipe = \"recipe.toml\"\nseeds = [1]\n[[method]]\nname = \"Too fast\"\n\
                set = [\"optimizer.kind=sgd\", \"schedule.learning_rate=1e30\"]\n";
    std::fs::write(lab.path("plan.toml"), plan).unwrap();
    let command = ["--quiet", "experiment", "plan.toml", "--data", "data", "--output", "runs"];
    lab.nmt(&command).ok();
    let table = std::fs::read_to_string(lab.path("runs/report.md")).unwrap();
    assert!(table.contains("Runs that ended with an error") && table.contains("Too fast, seed 1"), "{table}");
    assert!(table.contains("| 0.00 | 0.00 | 0.00 |"), "{table}");

    lab.nmt(&[&command[..], &["--only", "Slow"]].concat()).fails(2, &["--only Slow", "Too fast"]);
    lab.nmt(&[&command[..], &["--resize"]].concat()).fails(2, &["--resize: expected a plan of image networks"]);
    lab.nmt(&[&command[..], &["--seeds", "7"]].concat()).fails(2, &["--seeds 7", "[1]"]);
    lab.nmt(&[&command[..], &["--report", "t.csv"]].concat()).fails(2, &["--report", ".md", "t.csv"]);
    // What is no outcome of training ends the experiment, and leaves nothing behind that would count as one.
    for further in [&[][..], &["--dry-run"]] {
        let command = [&["experiment", "plan.toml", "--data", "nowhere", "--output", "other"], further].concat();
        lab.nmt(&command).fails(1, &["nowhere"]);
    }
    assert!(!lab.path("other/too-fast").exists());
    // Nor is a run of other settings mixed in.
    std::fs::write(lab.path("plan.toml"), plan.replace("1e30", "1e29")).unwrap();
    lab.nmt(&command).fails(2, &["runs/too-fast/seed-1", "one with schedule.learning_rate = "]);
    // What has no part in it may change.
    std::fs::write(
        lab.path("plan.toml"),
        plan.replace("1e30\"", "1e30\", \"gradinit.eta=1e-7\", \"metainit.tau=0.5\""),
    )
    .unwrap();
    lab.nmt(&command).ok();
    // A GradInit that fails leaves no run folder; with other settings it is another one, too.
    let gradinit = |eta: &str| {
        let method = format!("[[method]]\nname = \"G\"\ngradinit = true\nset = [\"gradinit.eta={eta}\"]\n");
        std::fs::write(lab.path("plan.toml"), plan.split("[[method]]").next().unwrap().to_string() + &method).unwrap();
        lab.nmt(&command)
    };
    gradinit("1e30").ok();
    let outcome = std::fs::read_to_string(lab.path("runs/g/seed-1/outcome.json")).unwrap();
    assert!(outcome.contains("\"command\": \"gradinit\""), "{outcome}");
    gradinit("1e30").ok();
    gradinit("0.001").fails(2, &["runs/g/seed-1: expected a run of this plan", "gradinit.eta = "]);
    std::fs::write(lab.path("plan.toml"), plan.replace("1e30", "none")).unwrap();
    lab.nmt(&command).fails(2, &["plan.toml:6: ", "schedule.learning_rate=none"]);
    let axis = format!("{plan}[[axis]]\nkey = \"optimizer.beta3\"\nvalues = [0.9]\n");
    std::fs::write(lab.path("plan.toml"), axis).unwrap();
    lab.nmt(&command).fails(2, &["plan.toml:8: ", "the nearest is `optimizer.beta"]);
    std::fs::write(lab.path("plan.toml"), plan.replace("seeds", "stop_after = 13\nseeds")).unwrap();
    lab.nmt(&command).fails(2, &["stop_after = 13", "12 at most"]);
    std::fs::write(lab.path("plan.toml"), plan.replace("recipe.toml", "other.toml")).unwrap();
    lab.nmt(&command).fails(1, &["other.toml"]);
    lab.nmt(&["experiment", "none.toml", "--data", "data", "--output", "runs"]).fails(1, &["none.toml"]);
}

#[test]
fn a_grid_ranks_gradinits_settings_and_keeps_the_best() {
    let lab = Lab::new();
    lab.preprocess();
    recipe(&lab);
    let command =
        ["--threads=1", "gradinit", "--data", "data", "--config", "recipe.toml", "--output", "best.safetensors"];
    let with = |further: &[&'static str]| [&command[..], further].concat();
    let grid = ["--grid", "gradinit.gamma=100,inf", "--grid", "gradinit.tau=0.01", "--grid-updates=6"];
    let text = lab.nmt(&with(&grid)).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let (first, point) = lines[1].split_once('\t').unwrap();
    let (second, _) = lines[2].split_once('\t').unwrap();
    assert!(first.parse::<f64>().unwrap() <= second.parse::<f64>().unwrap(), "{text}");
    let folder = point.replace("gradinit.gamma=", "gamma=").replace(" gradinit.tau=", "/tau=");
    let learnt = lab.path(&format!("best.grid/gradinit/{folder}/init-seed-1.safetensors"));
    assert_eq!(std::fs::read(learnt).unwrap(), std::fs::read(lab.path("best.safetensors")).unwrap());
    assert!(lab.path("best.scales.json").exists() && lab.path("best.trajectory.jsonl").exists());

    // Half as many updates are another grid.
    let longer = ["--grid", "gradinit.gamma=100,inf", "--grid", "gradinit.tau=0.01", "--grid-updates=3", "--overwrite"];
    lab.nmt(&with(&longer)).fails(2, &["6 updates for 3"]);

    for (wrong, parts) in [
        ("gradinit.tau=0.01,abc", "gradinit.tau=abc"),
        ("gamma=1,2", "gradinit.gamma"),
        ("gradinit.gamma", "KEY=VALUE"),
        ("gradinit.gamma=1,,2", "commas"),
        ("gradinit.gama=1", "the nearest is `gradinit.gamma`"),
    ] {
        lab.nmt(&with(&["--overwrite", "--grid", wrong])).fails(2, &[parts]);
    }
}

/// Admin and MetaInit look at data before the first update.
#[test]
fn initialisations_that_look_at_data_train() {
    let lab = Lab::new();
    lab.preprocess();
    let short = ["--max-updates=3", "--set=validation.bleu=false"];
    for (run, settings) in [
        ("admin", ["--set=init.method=admin", "--set=model.w_skip=true"]),
        ("metainit", ["--set=init.method=metainit", "--set=metainit.iterations=3"]),
    ] {
        let ran = lab.train(run, &[&short[..], &settings].concat());
        let notes = ran.stderr.clone();
        ran.ok();
        assert_eq!(notes.contains("MetaInit: gradient quotient"), run == "metainit", "{notes}");
    }
    lab.train("refused", &["--set=init.method=admin"]).fails(2, &["admin", "model.w_skip=true"]);
}

/// An experiment of one run that would take minutes, in the middle of it.
#[cfg(unix)]
fn experiment_under_way(lab: &Lab) -> std::process::Child {
    lab.preprocess();
    recipe(lab);
    let plan = "title = \"T\"\nrecipe = \"recipe.toml\"\nseeds = [1]\nscore = false\nset = [\"training.max_updates=100000\"]\n\
                [[method]]\nname = \"Long\"\n";
    std::fs::write(lab.path("plan.toml"), plan).unwrap();
    let command = ["--threads=1", "experiment", "plan.toml", "--data", "data", "--output", "runs"];
    let child = lab.command(&command).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let log = lab.path("runs/long/seed-1/log.jsonl");
    let begun = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("validation"));
    for _ in 0..600 {
        if begun() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(begun(), "no validation within half a minute");
    child
}

#[cfg(unix)]
#[test]
fn a_signal_reaches_the_run_and_the_same_command_goes_on() {
    let lab = Lab::new();
    let child = experiment_under_way(&lab);
    let id = child.id().to_string();
    // Twice, as `timeout` does: one wish.
    std::process::Command::new("sh")
        .args(["-c", &format!("kill -TERM {id}; sleep 0.02; kill -TERM {id}")])
        .status()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(143), "{message}");
    assert!(message.contains("saved runs/long/seed-1/last.safetensors at update"), "{message}");
    assert_eq!(message.matches("stopping after this step").count(), 1, "{message}");
    assert!(!lab.path("runs/long/seed-1/outcome.json").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn an_experiment_that_is_killed_leaves_no_run_behind() {
    let lab = Lab::new();
    let mut child = experiment_under_way(&lab);
    let id = child.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let run = format!("/proc/{}/stat", children.trim());
    assert!(std::path::Path::new(&run).exists(), "no run of {id}: {children}");
    child.kill().unwrap();
    child.wait().unwrap();
    // A zombie, where nobody waits for it, has ended, too.
    let ended = || std::fs::read_to_string(&run).map_or(true, |stat| stat.contains(") Z "));
    for _ in 0..600 {
        if ended() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(ended(), "the run goes on half a minute after");
    assert!(lab.path("runs/long/seed-1/last.safetensors").exists());
}

#[test]
fn every_plan_is_one() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/experiments");
    let mut plans = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let plan = nmt::experiment::Plan::load(&path).unwrap();
        assert!(plan.runs().len() >= 12, "{}", path.display());
        plans += 1;
    }
    assert_eq!(plans, 14);
}

/// Copy a folder of kept runs, without what says which data they are of: those are not at hand here. The number of runs.
fn copy_runs(from: &Path, to: &Path) -> usize {
    std::fs::create_dir_all(to).unwrap();
    let mut runs = 0;
    for entry in std::fs::read_dir(from).unwrap() {
        let (file, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if file.is_dir() {
            runs += copy_runs(&file, &to.join(name));
        } else if name == "outcome.json" {
            let mut outcome = common::json(&file);
            outcome.as_object_mut().unwrap().remove("data");
            std::fs::write(to.join(name), outcome.to_string()).unwrap();
            runs += 1;
        } else {
            std::fs::copy(&file, to.join(name)).unwrap();
        }
    }
    runs
}

/// The runs that are kept in results/ are those of their plans, so that whoever copies them goes on from there.
#[test]
fn kept_runs_belong_to_their_plans() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lab = Lab::new();
    lab.preprocess();
    for name in ["table2", "long", "boundary"] {
        let kept = copy_runs(&here.join("results").join(name).join("runs"), &lab.path(name));
        let plan = here.join(format!("configs/experiments/multi30k_{name}.toml"));
        let planned = nmt::experiment::Plan::load(&plan).unwrap().runs().len();
        let plan = plan.to_str().unwrap();
        let left = lab.nmt(&["experiment", plan, "--data", "data", "--output", name, "--dry-run"]).ok();
        assert!(kept > 0 && left.lines().count() == planned - kept, "{kept} of {planned}, left: {left}");
    }
}
