//! Talks of the WIT3 archives (TED, IWSLT evaluation campaigns) as plain text, a sentence a line.
//!
//! What stays of a line is what fairseq's recipe for IWSLT'14 leaves of it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use flate2::bufread::GzDecoder;
use regex::Regex;
use tar::EntryType;

use super::corpus::read_line;
use crate::error::{Error, Result};

/// The sets that make the test text, in its order: 6,750 pairs for German-English.
pub const TEST_SETS: [&str; 5] = ["TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012"];

/// Folders that are looked into below the one that is given.
const DEPTH: usize = 3;
/// Bytes that an archive may unpack to: German-English has 50 MB. A small file can unpack to any size.
const UNPACKED: u64 = 1 << 30;

/// A line of `train.tags.SRC-TGT.LANG`: none for the lines of addresses, numbers and keywords; titles and descriptions
/// stay, without their tags.
///
/// ```
/// use nmt::text::wit3::training_line;
/// assert_eq!(training_line("<title>A talk</title>").as_deref(), Some("A talk"));
/// assert_eq!(training_line("<url>x</url>"), None);
/// ```
pub fn training_line(line: &str) -> Option<String> {
    if ["<url>", "<talkid>", "<keywords>"].iter().any(|tag| line.contains(tag)) {
        return None;
    }
    let tags = ["<title>", "</title>", "<description>", "</description>"];
    Some(tags.iter().fold(line.to_string(), |line, tag| line.replace(tag, "")))
}

/// A line of an XML set: the text of a segment with plain apostrophes, none for every other line.
///
/// ```
/// use nmt::text::wit3::segment;
/// assert_eq!(segment("<seg id=\"7\"> It’s here. </seg>").as_deref(), Some("It's here."));
/// assert_eq!(segment("<doc docid=\"1\">"), None);
/// ```
pub fn segment(line: &str) -> Option<String> {
    // `\s` of the recipe's sed is no no-break space. The pattern is a constant, which the test above compiles.
    static TAGS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"<seg id="[0-9]*">[[:space:]]*|[[:space:]]*</seg>[[:space:]]*"#).ok());
    let tags = TAGS.as_ref()?;
    line.contains("<seg id").then(|| tags.replace_all(line, "").replace('’', "'"))
}

/// The plain text of an archive, in a folder.
#[derive(Debug)]
pub struct Wit3Text {
    /// The prefix of the training text; none where the archive holds none.
    pub train: Option<PathBuf>,
    /// The prefix of the test text.
    pub test: PathBuf,
}

/// A file of the archive that is wanted, and where its text goes.
struct Member {
    suffix: String,
    line: fn(&str) -> Option<String>,
    path: PathBuf,
    /// What stays of its lines; none until the file was found.
    lines: Option<u64>,
}

/// Take the text of `languages` (source, target) out of `archive`, a `.tgz` or an unpacked folder, and write
/// `FOLDER/train.LANG` and `FOLDER/test.LANG`.
///
/// Files are found by their names alone, wherever they are in the archive, and nothing else is unpacked.
///
/// # Errors
/// [`Error::Content`] when the archive is damaged, lacks a test set, has one side of the training text only,
/// holds a line that is not UTF-8, unpacks to more than 1 GiB, has a link in the place of a file that is wanted, or has a
/// path that leads out of the folder it would be unpacked to.
pub fn extract(archive: &Path, languages: [&str; 2], folder: &Path) -> Result<Wit3Text> {
    let [source, target] = languages;
    let mut members = Vec::new();
    for (i, language) in languages.into_iter().enumerate() {
        for pair in [format!("{source}-{target}"), format!("{target}-{source}")] {
            let path = folder.join(format!("train.{language}"));
            members.push(Member {
                suffix: format!("train.tags.{pair}.{language}"),
                line: training_line,
                path,
                lines: None,
            });
            for set in TEST_SETS {
                let suffix = format!(".{set}.{pair}.{language}.xml");
                let path = folder.join(format!("{set}.{i}"));
                members.push(Member { suffix, line: segment, path, lines: None });
            }
        }
    }
    if archive.is_dir() {
        from_folder(archive, DEPTH, &mut members)?
    } else {
        from_tar(archive, &mut members)?
    }

    let missing = |what: String| {
        Error::content(
            archive.display().to_string(),
            format!("the files of the {source}-{target} archive of IWSLT (TED)"),
            format!("no {what}"),
            "give the archive as it was fetched (de-en.tgz), or the folder that it unpacks to",
        )
    };
    let set_of = |set: &str, language: &str| {
        let (part, end) = (format!(".{set}."), format!(".{language}.xml"));
        let named = |member: &&Member| member.suffix.contains(&part) && member.suffix.ends_with(&end);
        let found = members.iter().filter(named).find_map(|member| Some((&member.path, member.lines?)));
        found.ok_or_else(|| missing(format!("IWSLT….{set}.{source}-{target}.{language}.xml")))
    };
    for set in TEST_SETS {
        let [(_, ours), (_, theirs)] = [set_of(set, source)?, set_of(set, target)?];
        if ours != theirs {
            return Err(Error::content(
                format!("{}: {set}", archive.display()),
                "as many segments in one language as in the other",
                format!("{ours} and {theirs}"),
                "the archive is damaged: fetch it again",
            ));
        }
    }
    for language in languages {
        let path = folder.join(format!("test.{language}"));
        let mut output = BufWriter::new(File::create(&path).map_err(Error::io("write", &path))?);
        for set in TEST_SETS {
            let (part, _) = set_of(set, language)?;
            let mut input = File::open(part).map_err(Error::io("read", part))?;
            std::io::copy(&mut input, &mut output).map_err(Error::io("write", &path))?;
            std::fs::remove_file(part).map_err(Error::io("remove", part))?;
        }
        output.flush().map_err(Error::io("write", &path))?;
    }
    let trains = languages.map(|language| folder.join(format!("train.{language}")).exists());
    let train = match trains {
        [true, true] => Some(folder.join("train")),
        [false, false] => None,
        [true, false] => return Err(missing(format!("train.tags.{source}-{target}.{target}"))),
        [false, true] => return Err(missing(format!("train.tags.{source}-{target}.{source}"))),
    };
    Ok(Wit3Text { train, test: folder.join("test") })
}

fn from_folder(folder: &Path, depth: usize, members: &mut [Member]) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(Error::io("read the folder", folder))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(Error::io("read the folder", folder))?;
    // The order of a folder is the system's: of two files that fit, the first by name is taken.
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if depth > 0 {
                from_folder(&path, depth - 1, members)?;
            }
        } else if path.is_file()
            && let Some(name) = path.file_name().and_then(|name| name.to_str())
            && let Some(member) = wanted(name, members)
        {
            let file = File::open(&path).map_err(Error::io("read", &path))?;
            write_lines(BufReader::new(file), &path.display().to_string(), member)?;
        }
    }
    Ok(())
}

fn from_tar(archive: &Path, members: &mut [Member]) -> Result<()> {
    let damaged = |error| damaged(archive.display().to_string(), error);
    let file = BufReader::with_capacity(1 << 20, File::open(archive).map_err(Error::io("read", archive))?);
    let mut tar = tar::Archive::new(AtMost { reader: GzDecoder::new(file), left: UNPACKED });
    let mut links = HashSet::new();
    // Raw: the crate would read a long name, of whatever length, into memory.
    for entry in tar.entries().map_err(damaged)?.raw(true) {
        let entry = entry.map_err(damaged)?;
        let path = entry.path().map_err(damaged)?.into_owned();
        let kind = entry.header().entry_type();
        check_entry(archive, &path, kind, &mut links)?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(member) = wanted(name, members) else { continue };
        if !kind.is_file() {
            return Err(Error::content(
                format!("{}: {}", archive.display(), path.display()),
                "a file",
                format!("{kind:?}"),
                "unpack the archive yourself and give the folder",
            ));
        }
        write_lines(BufReader::new(entry), &format!("{}: {}", archive.display(), path.display()), member)?;
    }
    // The checksum is behind the last entry.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(damaged)?;
    Ok(())
}

/// Refuse what no archive of texts has and others use to write outside the folder they are unpacked to. Nothing is
/// written by an entry's path here, but such an archive is not the one that was meant.
fn check_entry(archive: &Path, path: &Path, kind: EntryType, links: &mut HashSet<PathBuf>) -> Result<()> {
    let refused = |expected: &str, found: String| {
        let next = "the archive was not made by WIT3: fetch it again, or give a folder with the files that are needed";
        Err(Error::content(archive.display().to_string(), expected, found, next))
    };
    let leaves = |part: Component| !matches!(part, Component::Normal(_) | Component::CurDir);
    if path.components().any(leaves) {
        return refused("paths inside the folder that it unpacks to", format!("{path:?}"));
    }
    if kind.is_gnu_longname() || kind.is_gnu_longlink() {
        return refused("paths of at most 100 bytes", "a longer one".to_string());
    }
    let inside: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    if let Some(link) = inside.ancestors().skip(1).find(|folder| links.contains(*folder)) {
        return refused("paths through folders", format!("{path:?}, where {link:?} is a link"));
    }
    if kind.is_symlink() || kind.is_hard_link() {
        links.insert(inside);
    }
    Ok(())
}

/// A reader that fails after so many bytes.
struct AtMost<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for AtMost<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(read)
    }
}

/// What an error in the middle of an archive means.
fn damaged(place: String, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::FileTooLarge {
        let expected = format!("an archive that unpacks to at most {} GiB", UNPACKED >> 30);
        return Error::content(
            place,
            expected,
            "more",
            "if it is the right one, unpack it yourself and give the folder",
        );
    }
    let next = "the file is cut off, damaged or no .tgz: fetch it again, or give the unpacked folder";
    Error::content(place, "a whole .tgz archive", error.to_string(), next)
}

fn wanted<'a>(name: &str, members: &'a mut [Member]) -> Option<&'a mut Member> {
    members.iter_mut().find(|member| {
        let xml = member.suffix.starts_with('.');
        member.lines.is_none()
            && if xml { name.starts_with("IWSLT") && name.ends_with(&member.suffix) } else { name == member.suffix }
    })
}

/// Write what stays of the lines; they end at `\n` only.
fn write_lines(mut input: impl BufRead, place: &str, member: &mut Member) -> Result<()> {
    let mut output = BufWriter::new(File::create(&member.path).map_err(Error::io("write", &member.path))?);
    let mut bytes = Vec::new();
    let (mut number, mut lines) = (0, 0);
    loop {
        bytes.clear();
        number += 1;
        let at = || format!("{place}:{number}");
        if !read_line(&mut input, &mut bytes, at, |error| damaged(at(), error))? {
            break;
        }
        let line = std::str::from_utf8(bytes.strip_suffix(b"\n").unwrap_or(&bytes))
            .map_err(|_| Error::content(at(), "UTF-8 text", "a byte that is not", "fetch the archive again"))?;
        if let Some(text) = (member.line)(line) {
            lines += 1;
            writeln!(output, "{text}").map_err(Error::io("write", &member.path))?;
        }
    }
    output.flush().map_err(Error::io("write", &member.path))?;
    member.lines = Some(lines);
    Ok(())
}
