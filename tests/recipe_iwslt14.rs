//! The recipe of IWSLT'14 on an archive of the same form with sentences of our own, and on the real test sets.
//! Expected values are worked out by hand from the text that the tests write.
mod common;

use std::fs::File;
use std::path::{Path, PathBuf};

use common::command::Lab;
use flate2::{Compression, write::GzEncoder};

/// The folder of an archive: 100 training pairs, one of them of odd lengths, and one segment a test set.
fn folder(lab: &Lab) -> PathBuf {
    let folder = lab.path("de-en");
    std::fs::create_dir_all(&folder).unwrap();
    for (lang, word) in [("de", "Haus"), ("en", "house")] {
        let mut lines = String::from("<url>http://x</url>\n<keywords>a, b</keywords>\n<talkid>7</talkid>\n");
        lines += &format!("<title>{word} 0</title>\n<description>{word} 1</description>\n");
        for i in 2..100 {
            lines += &format!(" {word}, {i}.\n");
        }
        lines += if lang == "de" { "kurz\n" } else { "this is far too long for it\n" };
        std::fs::write(folder.join(format!("train.tags.de-en.{lang}")), lines).unwrap();
        for set in ["TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012"] {
            let text = format!("<doc>\n<title>x</title>\n<seg id=\"1\"> {word}’s {set} </seg>\n</doc>\n");
            std::fs::write(folder.join(format!("IWSLT14.{set}.de-en.{lang}.xml")), text).unwrap();
        }
    }
    folder
}

fn pack(folder: &Path, archive: &Path) {
    let mut tar = tar::Builder::new(GzEncoder::new(File::create(archive).unwrap(), Compression::fast()));
    tar.append_dir_all("de-en", folder).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
}

fn shown(lab: &Lab, data: &str, split: &str, lang: &str) -> String {
    lab.nmt(&["data", "show", "--data", data, "--split", split, "--lang", lang, "--remove-bpe"]).ok()
}

#[test]
fn archive_and_folder_give_the_splits_of_the_recipe() {
    let lab = Lab::new();
    let folder = folder(&lab);
    pack(&folder, &lab.path("de-en.tgz"));
    let recipe = ["preprocess", "--recipe", "iwslt14", "--bpe-merges", "5", "--archive"];
    let table = lab.nmt(&[&recipe[..], &["de-en.tgz", "--output", "a"]].concat()).ok();
    lab.nmt(&[&recipe[..], &["de-en", "--output", "b"]].concat()).ok();
    for file in ["dict.de.txt", "tokenizer.json", "train.de-en.de.bin", "valid.de-en.en.bin", "test.de-en.en.idx"] {
        let read = |data: &str| std::fs::read(lab.path(data).join(file)).unwrap();
        assert!(read("a") == read("b"), "{file}");
    }
    // 101 pairs without the tagged lines, one of odd lengths; every 23rd of 100 is held out.
    assert!(table.contains("96") && table.lines().any(|line| line.starts_with("valid")), "{table}");
    let valid = shown(&lab, "a", "valid", "de");
    assert_eq!(valid, "haus , 22 .\nhaus , 45 .\nhaus , 68 .\nhaus , 91 .\n");
    let train = shown(&lab, "a", "train", "en");
    assert_eq!(train.lines().count(), 96);
    assert!(train.starts_with("house 0\nhouse 1\nhouse , 2 .\n"), "{train}");
    assert!(!train.contains("too long"));
    let test = shown(&lab, "a", "test", "en");
    assert_eq!(test.lines().count(), 5);
    assert!(test.starts_with("house <unk>"), "what only the test sets have is unknown: {test}");
}

#[test]
fn what_is_wrong_with_an_archive_is_named() {
    let lab = Lab::new();
    let folder = folder(&lab);
    pack(&folder, &lab.path("whole.tgz"));
    let run = |archive: &str| lab.nmt(&["preprocess", "--recipe", "iwslt14", "--archive", archive, "--output", "out"]);
    let bytes = std::fs::read(lab.path("whole.tgz")).unwrap();
    std::fs::write(lab.path("cut.tgz"), &bytes[..bytes.len() / 2]).unwrap();
    run("cut.tgz").fails(1, &["cut.tgz", "fetch it again"]);
    std::fs::write(lab.path("text.tgz"), "no archive").unwrap();
    run("text.tgz").fails(1, &["text.tgz", "a whole .tgz"]);
    run("nowhere.tgz").fails(1, &["nowhere.tgz", "check the path"]);
    let set = folder.join("IWSLT14.TED.tst2010.de-en.en.xml");
    let text = std::fs::read_to_string(&set).unwrap();
    std::fs::write(&set, text.replace("<seg id", "<segment")).unwrap();
    run("de-en").fails(1, &["TED.tst2010", "1 and 0"]);
    std::fs::write(&set, text).unwrap();
    std::fs::remove_file(folder.join("train.tags.de-en.en")).unwrap();
    run("de-en").fails(1, &["no train.tags.de-en.en"]);
    std::fs::remove_file(folder.join("IWSLT14.TED.tst2011.de-en.de.xml")).unwrap();
    run("de-en").fails(1, &["TED.tst2011"]);
    let both = ["preprocess", "--recipe", "iwslt14", "--archive", "de-en", "--output", "out", "--lowercase"];
    lab.nmt(&both).fails(2, &["--lowercase"]);
    lab.nmt(&["preprocess", "--recipe", "iwslt14", "--output", "out"]).fails(2, &["--archive"]);
    assert!(!lab.path("out").exists());
}

/// Oracle: the number of segments that fairseq's recipe is known for, and Moses' tokenizer through `tests/parity_moses.rs`.
#[test]
fn the_real_test_sets_have_6750_lines() {
    let Some(archive) = common::reference("iwslt") else { return };
    let lab = Lab::new();
    let ran =
        lab.nmt(&["preprocess", "--recipe", "iwslt14", "--archive", archive.to_str().unwrap(), "--output", "out"]);
    assert!(ran.stderr.contains("no training text"), "{}", ran.stderr);
    ran.ok();
    for lang in ["de", "en"] {
        let text = shown(&lab, "out", "test", lang);
        assert_eq!(text.lines().count(), 6750, "{lang}");
        assert!(!text.contains("<unk>") && !text.contains("<seg") && !text.contains('’'));
        assert!(!text.chars().any(char::is_uppercase));
    }
}
