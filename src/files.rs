//! Files that are written whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// Write `path` through a temporary file in the same folder: filled, synced, then renamed, so that after an
/// interruption or on a full disk the old file is still whole.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be written to, and whatever `fill` returns; the old file is left alone then.
pub fn write_atomically<T>(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> Result<T>) -> Result<T> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
    let temporary = tempfile::Builder::new()
        .prefix(".nmt-")
        .suffix(".tmp")
        .tempfile_in(folder)
        .map_err(Error::io("write", path))?;
    let (file, temporary_path) = temporary.into_parts();
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    let value = fill(&mut writer)?;
    writer.flush().map_err(Error::io("write", path))?;
    let file = writer.into_inner().map_err(|e| Error::io("write", path)(e.into_error()))?;
    #[cfg(unix)]
    {
        // Temporary files are private; the finished one has the usual permissions.
        use std::os::unix::fs::PermissionsExt;
        let _ = file.set_permissions(fs::Permissions::from_mode(0o644));
    }
    file.sync_all().map_err(Error::io("write", path))?;
    temporary_path.persist(path).map_err(|e| Error::io("write", path)(e.error))?;
    Ok(value)
}

/// Make the folder `output` through a temporary one beside it: filled, then renamed. A folder that is there already is replaced.
///
/// # Errors
/// [`Error::Io`], and whatever `fill` returns; what was there is left alone then.
pub fn write_folder(output: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(Error::io("create the folder", parent))?;
    let unfinished = tempfile::Builder::new().prefix(".nmt-").tempdir_in(parent);
    let unfinished = unfinished.map_err(Error::io("create a folder in", parent))?;
    let whole = unfinished.path().join("whole");
    fs::create_dir(&whole).map_err(Error::io("create the folder", &whole))?;
    fill(&whole)?;
    let old = unfinished.path().join("old");
    if output.is_dir() {
        // What is replaced goes with the temporary folder.
        fs::rename(output, &old).map_err(Error::io("replace", output))?;
    }
    fs::rename(&whole, output).map_err(|error| {
        let _ = fs::rename(&old, output);
        Error::io("write", output)(error)
    })
}

/// [`write_atomically`] for content that is at hand as a whole.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    write_atomically(path, |writer| writer.write_all(content).map_err(Error::io("write", path)))
}

/// [`write_whole`] of JSON, over several lines, with a line feed at the end.
///
/// # Errors
/// As [`write_whole`].
pub fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    write_whole(path, format!("{value:#}\n").as_bytes())
}

/// Write the content of `from` to `to`, where there is such a file.
///
/// # Errors
/// [`Error::Io`].
pub fn copy_if_there(from: &Path, to: &Path) -> Result<()> {
    if from.exists() {
        let content = fs::read(from).map_err(Error::io("read", from))?;
        write_whole(to, &content)?;
    }
    Ok(())
}

/// Read a whole UTF-8 file; the error names the first line that is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..good].iter().filter(|&&byte| byte == b'\n').count() + 1;
        Error::content(
            format!("{}:{line}", path.display()),
            "UTF-8 text",
            format!("a byte 0x{:02x} that is not", error.as_bytes()[good]),
            "convert the file to UTF-8",
        )
    })
}
