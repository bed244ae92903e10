//! Damaged and malicious archives of IWSLT. Nothing is written but the texts that were asked for.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use nmt::text::wit3::{TEST_SETS, extract};
use tar::{EntryType, Header};

use crate::mutate::attack;

/// The names and the contents of the files of an archive: four training pairs, two segments a test set.
fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for (language, word) in [("de", "Haus"), ("en", "house")] {
        let mut train = "<url>http://x</url>\n<talkid>7</talkid>\n<title>one</title>\n".to_string();
        (0..3).for_each(|i| train += &format!(" {word} {i}.\n"));
        files.push((format!("train.tags.de-en.{language}"), train));
        for set in TEST_SETS {
            let text = format!("<doc>\n<seg id=\"1\"> {word}’s </seg>\n<seg id=\"2\">{word}</seg>\n</doc>\n");
            files.push((format!("IWSLT14.{set}.de-en.{language}.xml"), text));
        }
    }
    files
}

/// A header for `tar`, whose own functions refuse the names that are wanted here.
fn header(name: &str, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

/// A tar archive with `first` in front of the files, whose names follow `folder`.
fn tar(folder: &str, first: &[(Header, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    first.iter().for_each(|(header, content)| tar.append(header, content.as_slice()).unwrap());
    for (name, text) in files() {
        let header = header(&format!("{folder}{name}"), EntryType::Regular, text.len() as u64);
        tar.append(&header, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// Everything below a folder.
fn tree(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        names.insert(path.to_str().unwrap().to_string());
        if path.is_dir() {
            names.extend(tree(&path));
        }
    }
    names
}

/// Take the text out of an archive, or a folder, inside `lab`; both sides of a set have as many lines then.
fn read(lab: &Path, archive: &Path) -> nmt::Result<()> {
    let out = lab.join("out");
    let _ = fs::remove_dir_all(&out);
    let before = tree(lab);
    fs::create_dir(&out).unwrap();
    let result = extract(archive, ["de", "en"], &out);
    let written: BTreeSet<String> =
        tree(lab).difference(&before).filter(|path| !path.starts_with(out.to_str().unwrap())).cloned().collect();
    assert!(written.is_empty(), "written outside the output: {written:?}");
    let text = result?;
    let lines = |prefix: &Path, language: &str| {
        let text = fs::read_to_string(format!("{}.{language}", prefix.display())).unwrap();
        text.split_terminator('\n').count()
    };
    assert_eq!(lines(&text.test, "de"), lines(&text.test, "en"));
    if let Some(train) = text.train {
        assert!(lines(&train, "de") + lines(&train, "en") > 0);
    }
    Ok(())
}

#[test]
fn a_compressed_archive() {
    let lab = tempfile::tempdir().unwrap();
    let archive = lab.path().join("de-en.tgz");
    attack("de-en.tgz", &gzip(&tar("de-en/", &[])), |bytes| {
        fs::write(&archive, bytes).unwrap();
        read(lab.path(), &archive)
    });
}

/// Damage that gzip's checksum cannot see.
#[test]
fn the_tar_in_an_archive() {
    let lab = tempfile::tempdir().unwrap();
    let archive = lab.path().join("de-en.tgz");
    attack("tar in de-en.tgz", &tar("de-en/", &[]), |bytes| {
        fs::write(&archive, gzip(bytes)).unwrap();
        read(lab.path(), &archive)
    });
}

#[test]
fn the_files_of_an_archive() {
    let lab = tempfile::tempdir().unwrap();
    let folder = lab.path().join("de-en");
    fs::create_dir(&folder).unwrap();
    files().iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
    for (name, text) in
        files().into_iter().filter(|(name, _)| name.ends_with(".en") || name.contains("tst2010.de-en.de"))
    {
        attack(&name, text.as_bytes(), |bytes| {
            fs::write(folder.join(&name), bytes).unwrap();
            read(lab.path(), &folder)
        });
        fs::write(folder.join(&name), text).unwrap();
    }
}

/// What an archive with these entries is refused for.
fn refusal(folder: &str, first: &[(Header, Vec<u8>)]) -> String {
    let lab = tempfile::tempdir().unwrap();
    let inside = lab.path().join("deep/inside");
    fs::create_dir_all(&inside).unwrap();
    let archive = inside.join("de-en.tgz");
    fs::write(&archive, gzip(&tar(folder, first))).unwrap();
    read(&inside, &archive).expect_err("should have been refused").to_string()
}

fn link(name: &str, to: &str, kind: EntryType) -> (Header, Vec<u8>) {
    let mut header = header(name, kind, 0);
    header.as_old_mut().linkname[..to.len()].copy_from_slice(to.as_bytes());
    header.set_cksum();
    (header, Vec::new())
}

#[test]
fn a_path_that_leaves_the_output_is_refused() {
    for folder in ["../", "de-en/../../", "/", "/tmp/"] {
        let message = refusal(folder, &[]);
        assert!(message.contains("expected paths inside") && message.contains("fetch it again"), "{message}");
        assert!(message.contains(&format!("{folder}train.tags.de-en.de")), "{message}");
    }
}

#[test]
fn a_file_through_a_link_is_refused() {
    for kind in [EntryType::Symlink, EntryType::Link] {
        for name in ["de-en", "./de-en", "de-en/"] {
            let message = refusal("de-en/", &[link(name, "/tmp", kind)]);
            assert!(message.contains("where \"de-en\" is a link"), "{message}");
        }
    }
}

#[test]
fn a_link_in_the_place_of_a_file_is_named() {
    let message = refusal("de-en/", &[link("train.tags.de-en.de", "/etc/passwd", EntryType::Symlink)]);
    assert!(message.contains("train.tags.de-en.de: expected a file, found Symlink"), "{message}");
    // One that nobody wants is no matter.
    let lab = tempfile::tempdir().unwrap();
    let archive = lab.path().join("de-en.tgz");
    let entries = [link("de-en/README", "elsewhere", EntryType::Symlink)];
    fs::write(&archive, gzip(&tar("de-en/", &entries))).unwrap();
    read(lab.path(), &archive).unwrap();
}

#[test]
fn a_name_of_any_length_is_not_read_into_memory() {
    let long = vec![b'a'; 64 << 20];
    let entry = (header("././@LongLink", EntryType::GNULongName, long.len() as u64), long);
    let (message, largest) = crate::memory::largest_request(|| {
        let lab = tempfile::tempdir().unwrap();
        let archive = lab.path().join("de-en.tgz");
        let mut packed = GzEncoder::new(fs::File::create(&archive).unwrap(), Compression::fast());
        packed.write_all(entry.0.as_bytes()).unwrap();
        packed.write_all(&entry.1).unwrap();
        packed.finish().unwrap();
        extract(&archive, ["de", "en"], lab.path()).unwrap_err().to_string()
    });
    assert!(message.contains("at most 100 bytes"), "{message}");
    assert!(largest < 8 << 20, "{largest} bytes");
}

/// An archive of some megabytes that would fill the disk.
#[test]
fn an_archive_that_unpacks_without_end_is_refused() {
    let lab = tempfile::tempdir().unwrap();
    for (name, what) in [("de-en/other", "a file that is skipped"), ("de-en/train.tags.de-en.de", "one that is read")] {
        let archive = lab.path().join("de-en.tgz");
        let size = 1 << 33;
        let mut packed = GzEncoder::new(fs::File::create(&archive).unwrap(), Compression::fast());
        packed.write_all(header(name, EntryType::Regular, size).as_bytes()).unwrap();
        // A little more than the limit is enough. Lines of addresses are read and not written.
        let endless = "<url>http://aaaa\n".repeat(1 << 16);
        (0..1025).for_each(|_| packed.write_all(endless.as_bytes()).unwrap());
        packed.finish().unwrap();
        let message = extract(&archive, ["de", "en"], lab.path()).unwrap_err().to_string();
        assert!(message.contains("at most 1 GiB"), "{what}: {message}");
    }
    // Without line feeds the limit is that of a line.
    let text = io::repeat(b'a').take(nmt::text::LONGEST_LINE as u64 + 1);
    let folder = lab.path().join("de-en");
    fs::create_dir(&folder).unwrap();
    files().iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
    let mut file = fs::File::create(folder.join("train.tags.de-en.en")).unwrap();
    io::copy(&mut { text }, &mut file).unwrap();
    let message = extract(&folder, ["de", "en"], lab.path()).unwrap_err().to_string();
    assert!(message.contains("train.tags.de-en.en:1") && message.contains("16 MiB"), "{message}");
}
