//! What a trained image network is used for, as a user types it.
mod common;

use common::command::Lab;
use common::pictures::write_folders;
use common::tensors;

const CLASSES: [&str; 3] = ["bee", "hot dog", "owl"];

/// A network that was trained on three classes for some epochs, in `run`; its pictures are in `pictures`: `val` and `test`, too.
fn lab(epochs: &str) -> Lab {
    let lab = Lab::new();
    for (split, count) in [("train", 8), ("val", 2), ("test", 3)] {
        write_folders(&lab.path("pictures").join(split), &CLASSES, count);
    }
    // A bar that moves is of another class.
    let still = ["--set=augment.crop_padding=0", "--set=augment.cutout=0", "--set=schedule.learning_rate=0.02"];
    let train = ["--data=pictures", "--arch=densenet100", "--batch-size=6", "--max-epochs", epochs, "--output=run"];
    let ended = lab.nmt(&[&["--threads=1", "vision", "train"], &train[..], &still[..]].concat());
    assert!(ended.stderr.contains("24 pictures of 3 classes, 6 of `val` to validate on"), "{}", ended.stderr);
    ended.ok();
    lab
}

fn on_run<'a>(command: &'a str, further: &[&'a str]) -> Vec<&'a str> {
    [&["--threads=1", "vision", command, "--model=run"], further].concat()
}

/// Oracle: `evaluate` counts what `predict` gives the class that its folder names.
#[test]
fn predictions_are_those_that_are_evaluated() {
    let lab = lab("8");
    let mut right = Vec::new();
    for (split, count) in [("train", 24), ("val", 6), ("test", 9)] {
        let folder = format!("pictures/{split}");
        let printed = lab.nmt(&on_run("predict", &[&folder, "--batch-size=4"])).ok();
        let rows: Vec<Vec<&str>> = printed.lines().map(|line| line.split('\t').collect()).collect();
        assert_eq!((rows.len(), rows[0].len()), (count, 3), "{printed}");
        assert!(rows.is_sorted_by_key(|row| row[0]), "{printed}");
        let correct = rows.iter().filter(|row| row[0].split('/').nth(2) == Some(row[1])).count();
        let evaluated = lab.nmt(&on_run("evaluate", &["--data=pictures", "--split", split])).ok();
        let expected =
            format!("{split}: accuracy {:.2} % ({correct} of {count})", 100.0 * correct as f64 / count as f64);
        assert!(evaluated.starts_with(&expected), "{evaluated}: {printed}");
        right.push(correct);
    }
    assert_eq!(right, [24, 6, 9]);
    // Pictures of fewer classes, of the folders of a test alone, are told by the names of their classes.
    std::fs::create_dir_all(lab.path("few/test")).unwrap();
    std::os::unix::fs::symlink(lab.path("pictures/test/owl"), lab.path("few/test/owl")).unwrap();
    let few = lab.nmt(&on_run("evaluate", &["--data=few", "--per-class"])).ok();
    let lines: Vec<&str> = few.lines().skip(1).collect();
    assert_eq!(lines, ["bee\t0.00 %\t0 of 0", "hot dog\t0.00 %\t0 of 0", "owl\t100.00 %\t3 of 3"], "{few}");
    // The test is what is evaluated on where nobody says.
    let json = lab.nmt(&on_run("evaluate", &["--data=pictures", "--json"])).ok();
    assert!(json.contains(&format!("\"correct\":{},", right[2])) && json.contains("\"split\":\"test\""), "{json}");
}

#[test]
fn pictures_are_predicted_in_the_order_of_their_names() {
    let lab = lab("1");
    let names = ["pictures/val/owl/1.png", "pictures/test/bee/0.png", "pictures/val/owl/1.png"];
    let input = names.map(|name| format!("{name}\n")).concat();
    let ran = lab.nmt_with_input(&on_run("predict", &["--json", "--top=9", "-"]), input.as_bytes());
    let objects: Vec<serde_json::Value> = ran.ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.iter().map(|object| object["picture"].as_str().unwrap()).collect::<Vec<_>>(), names);
    assert_eq!(objects[0], objects[2]);
    for object in &objects {
        let classes = object["classes"].as_array().unwrap();
        let shares: Vec<f64> = classes.iter().map(|class| class["probability"].as_f64().unwrap()).collect();
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-6 && shares.is_sorted_by(|a, b| a >= b), "{object}");
        let mut named: Vec<&str> = classes.iter().map(|class| class["class"].as_str().unwrap()).collect();
        named.sort_unstable();
        assert_eq!(named, CLASSES);
    }
    std::fs::write(lab.path("broken.png"), "no picture").unwrap();
    lab.nmt(&on_run("predict", &["broken.png"]))
        .fails(1, &["broken.png: expected a whole JPEG or PNG", "--skip-corrupt"]);
    let ran = lab.nmt(&on_run("predict", &["broken.png", names[0], "--skip-corrupt"]));
    assert!(ran.stderr.contains("1 picture was corrupt and left out: broken.png"), "{}", ran.stderr);
    assert_eq!(ran.ok().lines().count(), 1);
    lab.nmt(&on_run("predict", &[names[0], "none.png"])).fails(1, &["none.png"]);
    // What comes before a failure is printed, and what was left out by then is said.
    image::RgbImage::new(40, 32).save(lab.path("wide.png")).unwrap();
    let ran = lab.nmt(&on_run("predict", &["broken.png", names[0], "wide.png", names[1], "--skip-corrupt"]));
    assert!(ran.stdout.starts_with(names[0]) && ran.stdout.lines().count() == 1, "{}", ran.stdout);
    ran.fails(1, &["left out: broken.png", "wide.png: expected 32 × 32 pixels for densenet100, found 40 × 32"]);
    let ran = lab.nmt(&on_run("predict", &["wide.png", names[0], "--resize"]));
    assert!(ran.stderr.contains("the pictures: 1 picture was of another size"), "{}", ran.stderr);
    assert_eq!(ran.ok().lines().count(), 2);
    lab.nmt(&on_run("predict", &[])).fails(2, &["PICTURE"]);
}

/// Other classes: the linear layer is of their number, and everything else is what the first network has learnt.
#[test]
fn a_trained_network_learns_other_classes() {
    let lab = lab("1");
    for (split, count) in [("train", 8), ("test", 2)] {
        write_folders(&lab.path("others").join(split), &["cat", "gnu"], count);
    }
    let train = ["--threads=1", "vision", "train", "--data=others", "--arch=densenet100", "--batch-size=8"];
    let train = |further: &[&'static str]| lab.nmt(&[&train[..], &["--stop-after-epoch=1"], further].concat());
    train(&["--init=run/best.safetensors", "--output=no"]).fails(1, &["data whose classes"]);
    train(&["--new-head", "--output=no"]).fails(2, &["--init"]);
    train(&["--no-bn", "--new-head", "--init=run/best.safetensors", "--output=no"]).fails(1, &["normalisation"]);
    // A run stands for its best checkpoint.
    train(&["--new-head", "--init=run", "--set=schedule.learning_rate=1e-12", "--output=on"]).ok();
    let [before, after] = ["run/best", "on/last"].map(|name| tensors(&lab.path(&format!("{name}.safetensors"))));
    assert_eq!(after["classifier.weight"].size(), [2, 342]);
    assert!(after["classifier.weight"].abs().max().double_value(&[]) > 0.01);
    for (name, tensor) in before.iter().filter(|(name, _)| !name.starts_with("classifier")) {
        let far = (tensor - &after[name]).abs().max().double_value(&[]);
        // Running statistics go on from where they are.
        assert!(far < 1e-6 || name.contains("running"), "{name}: {far}");
    }
    lab.nmt(&["--threads=1", "vision", "evaluate", "--model=on", "--data=others"]).ok();
    lab.nmt(&["--threads=1", "vision", "train", "--data=others", "--output=on", "--resume", "--stop-after-epoch=2"])
        .ok();
}
