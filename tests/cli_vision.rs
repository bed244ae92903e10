//! `nmt vision` as a user types it, on small generated pictures.
mod common;

use common::command::Lab;
use common::pictures::write_cifar;
use common::{json, tensors};
use nmt::config::Compute;
use nmt::optim::{OptimizerConfig, OptimizerKind, ScheduleConfig, ScheduleKind};
use nmt::task::Task;
use nmt::train::{Checkpoint, LoopConfig, Run, train};
use nmt::vision::pictures::{AugmentConfig, PictureData, PictureOptions, Pictures, Split};
use nmt::vision::{Architecture, Builder, Classifier, Geometry, Plain, evaluate, kaiming};
use tch::Device;

const SMALL: [&str; 6] = [
    "--threads=1",
    "--data=cifar",
    "--arch=densenet100",
    "--batch-size=10",
    "--set=training.max_epochs=2",
    "--set=training.log_every=1",
];

fn lab() -> Lab {
    let lab = Lab::new();
    write_cifar(&lab.path("cifar"), 50, 10);
    lab
}

fn vision<'a>(command: &'a str, further: &[&'a str]) -> Vec<&'a str> {
    [&["vision", command], &SMALL[..], further].concat()
}

#[test]
fn gradinit_training_and_evaluation_follow_each_other() {
    let lab = lab();
    let written = lab.nmt(&vision("gradinit", &["--iterations=2", "--output=init.safetensors"])).ok();
    assert_eq!(written.lines().count(), 3, "{written}");
    let scales = json(&lab.path("init.scales.json"));
    assert!(scales["features.conv0.weight"].as_f64().unwrap() != 1.0, "{scales}");

    let unused = ["--set=init.method=metainit", "--stop-after-epoch=3"];
    let run = lab.nmt(&vision("train", &[&["--init=init.safetensors", "--output=run"], &unused[..]].concat()));
    let notes = run.stderr.clone();
    run.ok();
    assert!(
        notes.contains("init.method=metainit has no part in training: init.safetensors has the parameters"),
        "{notes}"
    );
    assert!(
        notes.contains("training ends after 2 epochs at the latest: to stop after 3 makes no difference"),
        "{notes}"
    );
    assert!(
        notes.contains("50 pictures of 10 classes, 10 of `test` to validate on; densenet100, 769162 parameters"),
        "{notes}"
    );
    let log = std::fs::read_to_string(lab.path("run/log.jsonl")).unwrap();
    let events: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 10 + 2, "{log}");
    assert!(events[0]["pictures"] == 10 && events[0]["pictures_per_second"].as_f64().unwrap() > 0.0, "{}", events[0]);
    assert!((events[0]["learning_rate"].as_f64().unwrap() - 0.1).abs() < 1e-12);
    let best = events.iter().filter_map(|event| event["accuracy"].as_f64()).fold(0.0, f64::max);
    let found: serde_json::Value = serde_json::from_str(
        &lab.nmt(&["--threads=1", "vision", "evaluate", "--model=run", "--data=cifar", "--json"]).ok(),
    )
    .unwrap();
    assert_eq!((found["accuracy"].as_f64(), found["pictures"].as_i64()), (Some(best), Some(10)), "{found}");
    lab.nmt(&["plot", "--run=run", "--output=curve.svg"]).ok();
    assert!(std::fs::read_to_string(lab.path("curve.svg")).unwrap().contains("validation accuracy"));

    let inspected = ["--init=init.safetensors", "--batches=2", "--output=init.svg", "--csv=init.csv"];
    lab.nmt(&vision("inspect", &inspected)).ok();
    let csv = std::fs::read_to_string(lab.path("init.csv")).unwrap();
    assert!(csv.contains("kaiming,linear,features.conv0.weight,"), "{csv}");
}

/// θ, momentum, running statistics and the log of a run that paused are those of one that did not.
#[test]
fn a_pause_changes_nothing() {
    let lab = lab();
    lab.nmt(&vision("train", &["--output=whole"])).ok();
    lab.nmt(&vision("train", &["--output=paused", "--stop-after-epoch=1"])).ok();
    lab.nmt(&["--threads=1", "vision", "train", "--data=cifar", "--output=paused", "--resume"]).ok();
    lab.assert_same_runs("whole", "paused", &["last.safetensors"]);
    let last = tensors(&lab.path("whole/last.safetensors"));
    for name in ["features.norm_final.running_var", "optimizer.momentum.classifier.bias"] {
        assert!(last.contains_key(name), "{name}");
    }
    lab.nmt(&vision("train", &["--output=whole"])).fails(2, &["holds a run already", "--resume"]);
    lab.nmt(&vision("train", &["--output=whole", "--resume", "--seed=2"])).fails(2, &["training.seed"]);
}

#[test]
fn wrong_use_and_wrong_pictures_are_named() {
    let lab = lab();
    for (arguments, parts) in [
        (vec!["--no-bn", "--set=init.method=fixup"], vec!["fixup-resnet110"]),
        (vec!["--set=gradinit.max_tokens=4"], vec!["gradinit.max_tokens has no part in image networks", "batch_size"]),
        (vec!["--set=gradinit.longer_first=true"], vec!["gradinit.longer_first has no part in image networks"]),
        (vec!["--set=network.architecture=vgg16"], vec!["vgg16"]),
        (vec!["--set=optimizer.kind=adam"], vec!["decay_normalisation"]),
        (vec!["--set=training.max_tokens=4"], vec!["training.max_tokens", "nearest"]),
    ] {
        lab.nmt(&vision("train", &[&arguments[..], &["--output=no"]].concat())).fails(2, &parts);
    }
    // The batches of GradInit are this command's own, whatever the recipe says.
    let recipe = format!("--config={}/configs/vision/imagenet_resnet50.toml", env!("CARGO_MANIFEST_DIR"));
    let printed = ["vision", "gradinit", &recipe, "--data=cifar", "--batch-size=7", "--print-config", "--output=no"];
    let printed = lab.nmt(&printed).ok();
    assert_eq!(printed.matches("\nbatch_size = 7\n").count(), 2);
    assert!(!printed.contains("\nmax_tokens = ") && !printed.contains("\nlonger_first = "), "{printed}");
    lab.nmt(&["vision", "train", "--data=cifar", "--batch-size=0", "--output=no"]).fails(2, &["training.batch_size"]);
    for (file, next) in [("cifar/data_batch_1.bin", "the folder that it is in"), ("a.png", "has train/ and test/")] {
        std::fs::write(lab.path("a.png"), "\u{7}").unwrap();
        lab.nmt(&["vision", "train", "--data", file, "--output=no"]).fails(1, &[next]);
    }
    let fixup = ["--threads=1", "vision", "train", "--data=cifar", "--arch=fixup-resnet110", "--output=no"];
    lab.nmt(&[&fixup[..], &["--set=network.batch_norm=true"]].concat()).fails(2, &["--no-bn"]);
    lab.nmt(
        &vision("train", &["--arch=resnet50", "--output=no"])
            .iter()
            .filter(|a| **a != "--arch=densenet100")
            .copied()
            .collect::<Vec<_>>(),
    )
    .fails(1, &["train/CLASS/*.jpg", "found CIFAR-10's binary files"]);
    lab.nmt(&["vision", "train", "--data=none", "--arch=vgg19", "--output=no"]).fails(1, &["none"]);
    let bytes = std::fs::read(lab.path("cifar/data_batch_2.bin")).unwrap();
    std::fs::write(lab.path("cifar/data_batch_2.bin"), &bytes[..bytes.len() - 1]).unwrap();
    lab.nmt(&vision("train", &["--output=no"])).fails(1, &["data_batch_2.bin"]);
    assert!(!lab.path("no").exists());
}

/// Translation's commands say what a run of pictures is, and the other way round; so do files of other classes.
#[test]
fn what_is_of_something_else_is_named() {
    let lab = lab();
    lab.nmt(&vision("train", &["--output=run", "--stop-after-epoch=1"])).ok();
    // Training goes on from all that a checkpoint has.
    let slow = ["--init=run/last.safetensors", "--set=schedule.learning_rate=1e-9", "--output=on"];
    let ended = lab.nmt(&vision("train", &[&slow[..], &["--stop-after-epoch=1"]].concat()));
    assert!(ended.stderr.contains("running statistics, too, are those of run/last.safetensors"), "{}", ended.stderr);
    ended.ok();
    // From 1 on the same five updates would bring them as far as before, not further.
    let distance = |run: &str| {
        let variance = &tensors(&lab.path(run).join("last.safetensors"))["features.norm_final.running_var"];
        (variance - 1.0).abs().mean(tch::Kind::Float).double_value(&[])
    };
    let (once, twice) = (distance("run"), distance("on"));
    assert!(twice > 1.3 * once, "{once} became {twice}");

    lab.nmt(&vision("train", &["--no-bn", "--init=run/best.safetensors", "--output=no"]))
        .fails(1, &["parameters of densenet100 without normalisation", "those of densenet100 with batch", "--no-bn"]);
    lab.nmt(&["vision", "evaluate", "--data=cifar", "--model=run/best.safetensors", "--last"]).fails(2, &["--last"]);
    lab.nmt(&["translate", "--model=run"]).fails(2, &["expected sections of Transformers", "`nmt vision`"]);
    let recipe = format!("--config={}/configs/multi30k_gradinit_adam.toml", env!("CARGO_MANIFEST_DIR"));
    lab.nmt(&vision("train", &[&recipe, "--output=no"])).fails(2, &["expected sections of image networks"]);
    for (names, parts) in [
        (&["bee", "cat"][..], ["classes are \"bee cat\"", "classes are \"a b c d e\" …"]),
        (
            &["a", "b", "c", "d", "e", "f", "g", "h", "ii", "j"],
            ["classes go on after \"h\" with \"ii j\"", "classes go on after \"h\" with \"i j\""],
        ),
    ] {
        let _ = std::fs::remove_dir_all(lab.path("others"));
        for name in names {
            for split in ["train", "test"] {
                let folder = lab.path("others").join(split).join(name);
                std::fs::create_dir_all(&folder).unwrap();
                image::RgbImage::new(32, 32).save(folder.join("1.png")).unwrap();
            }
        }
        let arguments = ["vision", "train", "--data=others", "--arch=densenet100", "--init=run/best.safetensors"];
        lab.nmt(&[&arguments[..], &["--output=no"]].concat()).fails(1, &[&parts[..], &["--new-head"]].concat());
        let unknown = format!("a, b, c, d, e, …, found {}, which it lacks", names[names.len() - 2]);
        let unknown = if names.len() == 2 { "found bee, cat, which it lacks" } else { &unknown };
        lab.nmt(&["vision", "evaluate", "--model=run", "--data=others"]).fails(1, &[unknown]);
    }
}

/// A plan of image networks: other pictures make another table, and what is missing is said before anything runs.
#[test]
fn an_experiment_compares_its_pictures() {
    let lab = lab();
    write_cifar(&lab.path("other"), 100, 20);
    let text = r#"
title = "One"
task = "vision"
recipe = "recipe.toml"
seeds = [1, 2]
stop_after = 1
[[method]]
name = "Kaiming"
"#;
    std::fs::write(lab.path("plan.toml"), text).unwrap();
    let recipe = "[network]\narchitecture = \"densenet100\"\n[training]\nbatch_size = 25\n";
    std::fs::write(lab.path("recipe.toml"), recipe).unwrap();
    let run = |data: &'static str, further: &[&'static str]| {
        let command = ["--threads=1", "experiment", "plan.toml", "--output=runs", "--data", data];
        lab.nmt(&[&command[..], further].concat())
    };
    run("nowhere", &["--dry-run"]).fails(1, &["cannot read the folder nowhere"]);
    run("cifar", &["--seeds=1"]).ok();
    let outcome = json(&lab.path("runs/kaiming/seed-1/outcome.json"));
    let fingerprint = |split: &str| outcome["data"][split].as_str().map(str::len);
    assert_eq!((outcome["epochs"].as_u64(), fingerprint("32 pixels, train")), (Some(1), Some(64)), "{outcome}");
    assert_eq!(fingerprint("32 pixels, val"), Some(64), "{outcome}");
    run("other", &["--seeds=2"]).fails(2, &["runs/kaiming/seed-1", "other data than other"]);
    // Options for pictures are passed on, and stand in the command that the report has.
    run("cifar", &["--seeds=1", "--resize", "--skip-corrupt"]).ok();
    let report = std::fs::read_to_string(lab.path("runs/report.md")).unwrap();
    assert!(report.contains("--data DATA --skip-corrupt --resize --output RUNS"), "{report}");
    // A run that was stopped is not gone on with as one of another length.
    std::fs::remove_file(lab.path("runs/kaiming/seed-1/outcome.json")).unwrap();
    let shorter = text.replace("seeds", "set = [\"training.max_epochs=20\"]\nseeds");
    std::fs::write(lab.path("plan.toml"), shorter).unwrap();
    run("cifar", &["--seeds=1"]).fails(2, &["runs/kaiming/seed-1", "200 epochs instead of 20"]);
}

/// Running statistics and the order of pictures, too, are those of a run that nothing happened to.
#[test]
fn what_signals_stopped_goes_on_with_the_same_bits() {
    let lab = lab();
    let run = |output: &'static str| vision("train", &["--set=training.checkpoint_every=2", "--resume", output]);
    lab.nmt(&run("--output=whole")).ok();
    let stopped = run("--output=stopped");
    let codes = ["-TERM", "-KILL", "-INT"].map(|signal| lab.stop(&stopped, "stopped/log.jsonl", signal));
    assert_eq!((codes[0], codes[1]), (Some(143), None));
    assert!(codes[2] == Some(130) || codes[2] == Some(0), "{codes:?}");
    lab.nmt(&stopped).ok();
    lab.assert_same_runs("whole", "stopped", &["last.safetensors", "best.safetensors"]);
    let learn = |output: &'static str| vision("gradinit", &["--iterations=6", "--resume", output]);
    lab.nmt(&learn("--output=init.safetensors")).ok();
    let again = learn("--output=again.safetensors");
    let mut wait = std::time::Duration::from_millis(100);
    let mut resumed = 0;
    while !lab.path("again.safetensors").exists() {
        resumed += usize::from(lab.path("again.partial.json").exists());
        lab.stop_after(&again, wait, "-TERM");
        wait = wait * 5 / 4;
    }
    assert!(resumed > 0, "it never went on");
    let bytes = |name: &str| std::fs::read(lab.path(name)).unwrap();
    assert!(bytes("init.safetensors") == bytes("again.safetensors"));
}

/// A run goes on with the pictures that it began with, and is validated on the same ones.
#[test]
fn other_pictures_are_refused() {
    let lab = lab();
    lab.nmt(&vision("train", &["--output=run", "--stop-after-epoch=1"])).ok();
    let resume = ["--threads=1", "vision", "train", "--data=cifar", "--output=run", "--resume"];
    for (file, message) in [
        ("data_batch_3.bin", "the data that the run began with"),
        ("test_batch.bin", "pictures of `test` that the run has validated on"),
    ] {
        let path = lab.path("cifar").join(file);
        let before = std::fs::read(&path).unwrap();
        let mut after = before.clone();
        after[1000] ^= 1;
        std::fs::write(&path, after).unwrap();
        lab.nmt(&resume).fails(2, &[message]);
        std::fs::write(&path, before).unwrap();
    }
    lab.nmt(&resume).ok();
    // What has ended can go on for more epochs, not for fewer than it has.
    let with = |further: &'static str| lab.nmt(&[&resume[..], &[further]].concat());
    let more = with("--max-epochs=3");
    assert!(more.stderr.contains("training.max_epochs was 2 and is 3: the learning rate"), "{}", more.stderr);
    assert!(more.stderr.contains("trained 15 updates, 3 epochs"), "{}", more.stderr);
    more.ok();
    with("--max-epochs=2").fails(2, &["training.max_epochs: expected 3 or more", "found 2"]);
    let nothing = lab.nmt(&resume);
    assert!(nothing.stderr.contains("nothing to do: trained 15 updates, 3 epochs"), "{}", nothing.stderr);
    assert!(
        nothing.stderr.contains("(ended by max epochs)")
            && nothing.stderr.contains("to train on raise training.max_epochs"),
        "{}",
        nothing.stderr
    );
}

/// What is missing or no picture in folders is said with its number and its name.
#[test]
fn what_is_left_out_is_counted_and_named() {
    let lab = Lab::new();
    for (name, grey) in [("train/bee/1.png", false), ("train/cat/1.png", true), ("test/bee/1.png", false)] {
        let path = lab.path("pictures").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match grey {
            true => image::GrayImage::from_pixel(32, 32, image::Luma([9])).save(&path).unwrap(),
            false => image::RgbImage::from_pixel(32, 32, image::Rgb([9, 8, 7])).save(&path).unwrap(),
        }
    }
    for other in ["train/list.txt", "train/cat/2.webp"] {
        std::fs::write(lab.path("pictures").join(other), "x").unwrap();
    }
    let train = ["--threads=1", "vision", "train", "--data=pictures", "--arch=vgg19", "--set=training.max_epochs=1"];
    let ended = lab.nmt(&[&train[..], &["--batch-size=2", "--output=run"]].concat());
    let notes = ended.stderr.clone();
    ended.ok();
    for part in [
        "pictures/train: 2 files are left out (no .jpg, .jpeg or .png, or of no class): list.txt, cat/2.webp",
        "pictures/train: 1 picture was grey",
        "pictures/test: no pictures of 1 of the 2 classes of the training split: cat",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    // A picture of another size is named, be it the first one.
    image::RgbImage::new(33, 32).save(lab.path("pictures/train/bee/0.png")).unwrap();
    lab.nmt(&[&train[..], &["--output=no"]].concat()).fails(1, &["bee/0.png", "33 × 32", "--resize"]);
    let ended = lab.nmt(&[&train[..], &["--resize", "--output=resized"]].concat());
    let notes = ended.stderr.clone();
    ended.ok();
    for part in [
        "pictures/train: 1 picture was of another size than the network's: resized, and the middle taken",
        "training.batch_size is 128, and there are 3 pictures: a batch has no more",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    // However short a run is, its log has the loss of training.
    let events = lab.events("resized");
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!((names, &events[0]["pictures"]), (vec!["update", "validation"], &serde_json::json!(3)), "{events:?}");
}

/// Ten classes that differ in where a bar is: a small network with normalisation learns them in some dozen updates.
#[test]
fn what_there_is_to_learn_is_learnt() {
    let folder = tempfile::tempdir().unwrap();
    write_cifar(folder.path(), 500, 100);
    let data = |split| {
        let pictures = Pictures::open(folder.path(), split, PictureOptions::default()).unwrap();
        let augment = AugmentConfig { crop_padding: 0, flip: true, cutout: 0, mixup: 0.0 };
        PictureData::new(pictures, augment, 50, 1, Device::Cpu).unwrap()
    };
    let (training, test) = (data(Split::Train), data(Split::Test));
    let mut builder = Builder::new(true);
    let net = builder
        .normalised_convolution(("conv1", "bn1"), 3, 8, Geometry::three(2))
        .then(Plain::Relu)
        .then(builder.normalised_convolution(("conv2", "bn2"), 8, 16, Geometry::three(2)))
        .then(Plain::Relu)
        .then(builder.linear("fc", 16 * 8 * 8, 10));
    let network = Classifier::of(builder, Box::new(net), Device::Cpu);
    let theta = kaiming(Architecture::Resnet110, network.layout(), 1);
    let before = evaluate(&network, &theta, &test, Compute::Fp32.kind()).unwrap().percent();
    let optimizer = OptimizerConfig { kind: OptimizerKind::Sgd, decay_normalisation: false, ..Default::default() };
    let optimizer = optimizer.build(&theta, network.layout());
    let settings = LoopConfig {
        max_updates: 60,
        compute: tch::Kind::Float,
        log_every: 10,
        schedule: ScheduleConfig { kind: ScheduleKind::Cosine, learning_rate: 0.05, ..Default::default() },
        ..Default::default()
    };
    let identity = std::collections::BTreeMap::new();
    let outcome = train(
        &network,
        &training,
        &settings,
        Checkpoint::start(theta, optimizer),
        Run { folder: folder.path(), identity: &identity, stop_after: None, processes: &nmt::train::Alone },
        |theta| Ok(evaluate(&network, theta, &test, Compute::Fp32.kind())?.into()),
        || None,
    )
    .unwrap();
    let (best, _) = outcome.best.unwrap();
    assert!(before < 40.0 && best > 95.0, "accuracy {best} after {before}");
}
