//! The files of `torch.save`: a pickle and, beside it, the numbers of its tensors. Both forms are read, the archive (since torch
//! 1.6) and the older one of a row of pickles; nothing is executed.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;
use tch::{Kind, Tensor};

use super::pickle::{Id, Node, Pickle};
use crate::error::{Error, Result};

/// An open file.
pub struct TorchFile {
    place: String,
    map: Mmap,
    /// What was saved.
    pub pickle: Pickle,
    /// The bytes of each storage by its key.
    storages: HashMap<String, Range<usize>>,
}

/// The first number of the older form.
const MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

impl TorchFile {
    /// Open a file that `torch.save` wrote.
    ///
    /// # Errors
    /// [`Error::Content`] for anything else, and for one that is damaged.
    pub fn open(path: &Path) -> Result<TorchFile> {
        if path.is_dir() {
            let next = "give the checkpoint in it, such as checkpoint_best.pt";
            return Err(Error::content(path.display().to_string(), "a file of torch.save", "a folder", next));
        }
        let file = std::fs::File::open(path).map_err(Error::io("read", path))?;
        // SAFETY: a file that is cut off while it is read ends the process with a message (`explain_cut_files`).
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io("read", path))?;
        let place = path.display().to_string();
        let refuse = |found: String| {
            Error::content(&place, "a file of torch.save", found, "give a checkpoint (.pt) as PyTorch wrote it")
        };
        let (pickle, storages) = match map.get(..4) {
            Some(b"PK\x03\x04") => archive(&map).map_err(refuse)?,
            Some(_) => row_of_pickles(&map).map_err(refuse)?,
            None => return Err(refuse(format!("{} bytes", map.len()))),
        };
        Ok(TorchFile { place, map, pickle, storages })
    }

    /// The tensor of floating-point numbers at a node, in its own precision; none where something else is there.
    ///
    /// # Errors
    /// [`Error::Content`] for one whose numbers the file does not have.
    pub fn tensor(&self, id: Id) -> Result<Option<Tensor>> {
        let Some((name, arguments)) = self.pickle.call(id) else { return Ok(None) };
        match (name.as_str(), arguments) {
            ("torch._utils._rebuild_parameter", [data, ..]) if *data != id => self.plain(*data),
            _ => self.plain(id),
        }
    }

    fn plain(&self, id: Id) -> Result<Option<Tensor>> {
        let Some((name, arguments)) = self.pickle.call(id) else { return Ok(None) };
        let ("torch._utils._rebuild_tensor_v2", [storage, offset, size, stride, ..]) = (name.as_str(), arguments)
        else {
            return Ok(None);
        };
        let refuse = |found: &str| {
            let next = "the file is damaged: take another checkpoint";
            Error::content(&self.place, "a tensor whose numbers are in the file", found, next)
        };
        let Some((key, kind)) = self.storage(*storage) else { return Ok(None) };
        let bytes = self.storages.get(&key).ok_or_else(|| refuse(&format!("no storage {key}")))?.clone();
        let width = kind.elt_size_in_bytes();
        let held = bytes.len() / width;
        let sizes = |id: Id| -> Option<Vec<usize>> {
            let elements = self.pickle.elements(id).iter();
            elements.map(|&id| self.pickle.int(id).and_then(|size| usize::try_from(size).ok())).collect()
        };
        let read = || {
            let (size, stride) = (sizes(*size)?, sizes(*stride)?);
            let offset = usize::try_from(self.pickle.int(*offset)?).ok()?;
            let count = size.iter().try_fold(1usize, |count, &size| count.checked_mul(size))?;
            // The last number that is read. Fewer numbers than the tensor has cannot fill it, whatever the strides say.
            let mut steps = size.iter().zip(&stride).map(|(&size, &stride)| size.saturating_sub(1).checked_mul(stride));
            let last = steps.try_fold(offset, |last, step| last.checked_add(step?))?;
            (size.len() == stride.len() && count <= held && (count == 0 || last < held))
                .then_some((size, stride, offset))
        };
        let (size, stride, offset) = read().ok_or_else(|| refuse("one that reaches beyond its storage"))?;
        let [size, stride] = [size, stride].map(|all| all.into_iter().map(|n| n as i64).collect::<Vec<i64>>());
        let whole = Tensor::from_data_size(&self.map[bytes.start..bytes.start + held * width], &[held as i64], kind);
        let tensor = whole.as_strided(size.as_slice(), stride.as_slice(), offset as i64).contiguous();
        Ok(Some(tensor.copy()))
    }

    /// The key and the kind of a storage of floating-point numbers.
    fn storage(&self, id: Id) -> Option<(String, Kind)> {
        let (key, class) = storage(&self.pickle, id)?;
        let kind = match class {
            "FloatStorage" => Kind::Float,
            "HalfStorage" => Kind::Half,
            "BFloat16Storage" => Kind::BFloat16,
            "DoubleStorage" => Kind::Double,
            _ => return None,
        };
        Some((key, kind))
    }
}

/// The key of a storage and the name of its class, where a node refers to one.
fn storage(pickle: &Pickle, id: Id) -> Option<(String, &str)> {
    let Node::Persistent(what) = pickle.node(id) else { return None };
    let [_, class, key, ..] = pickle.elements(*what) else { return None };
    let Node::Name(_, class) = pickle.node(*class) else { return None };
    Some((key_of(pickle, *key)?, class))
}

/// A storage's key, text or a whole number.
fn key_of(pickle: &Pickle, id: Id) -> Option<String> {
    pickle.text(id).map(str::to_string).or_else(|| pickle.int(id).map(|key| key.to_string()))
}

type Parts = (Pickle, HashMap<String, Range<usize>>);

/// A zip archive whose members are stored as they are: `NAME/data.pkl` and `NAME/data/KEY`.
fn archive(map: &Mmap) -> std::result::Result<Parts, String> {
    let mut archive =
        zip::ZipArchive::new(Cursor::new(&map[..])).map_err(|error| format!("a damaged archive: {error}"))?;
    let (mut pickle, mut storages) = (None, HashMap::new());
    for index in 0..archive.len() {
        let mut member = archive.by_index_raw(index).map_err(|error| format!("a damaged archive: {error}"))?;
        let name = member.name().map_err(|error| format!("a damaged archive: {error}"))?.into_owned();
        if member.compression() != zip::CompressionMethod::Stored {
            return Err(format!("{name} compressed, as PyTorch never writes it"));
        }
        let range = member.data_start().and_then(|start| {
            let (start, size) = (usize::try_from(start).ok()?, usize::try_from(member.size()).ok()?);
            let end = start.checked_add(size).filter(|&end| end <= map.len())?;
            Some(start..end)
        });
        let range = range.ok_or_else(|| format!("{name} reaching beyond the file"))?;
        if name.ends_with("/data.pkl") && pickle.is_none() {
            pickle = Some(range);
        } else if let Some((_, key)) = name.split_once("/data/") {
            storages.insert(key.to_string(), range);
        } else if name.ends_with("/byteorder") {
            let mut order = String::new();
            let _ = member.by_ref().take(16).read_to_string(&mut order);
            if order.trim() == "big" {
                return Err("numbers in the order of a big-endian machine".into());
            }
        }
    }
    let range = pickle.ok_or("an archive without a data.pkl")?;
    let (pickle, _) = Pickle::read(&map[range]).map_err(|error| format!("a damaged pickle: {error}"))?;
    Ok((pickle, storages))
}

/// Five pickles (a magic number, the protocol, the system, what was saved, the keys of the storages) and then the storages in the
/// order of the keys, each behind its number of elements.
fn row_of_pickles(map: &[u8]) -> std::result::Result<Parts, String> {
    let mut at = 0;
    let mut next = || {
        let (pickle, length) = Pickle::read(&map[at..])?;
        at += length;
        Ok::<_, String>((pickle, at))
    };
    // LONG1, ten bytes: beyond 64 bits, so that the bytes themselves are looked at.
    next().ok().filter(|_| map.windows(MAGIC.len()).take(8).any(|window| window == MAGIC)).ok_or("another file")?;
    let damaged = |error: String| format!("a damaged pickle: {error}");
    next().map_err(damaged)?;
    next().map_err(damaged)?;
    let (pickle, _) = next().map_err(damaged)?;
    let (keys, mut at) = next().map_err(damaged)?;
    let widths = widths(&pickle);
    let mut storages = HashMap::new();
    for &key in keys.elements(keys.root()) {
        let key = key_of(&keys, key);
        let key = key.ok_or("a storage without a key")?;
        let width = *widths.get(&key).ok_or_else(|| format!("a storage {key} that no tensor reads"))?;
        let count = map.get(at..at + 8).and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
        let length = count.and_then(|count| usize::try_from(count).ok()?.checked_mul(width));
        let start = at + 8;
        let end = length.and_then(|length| start.checked_add(length)).filter(|&end| end <= map.len());
        let end = end.ok_or_else(|| format!("a storage {key} that reaches beyond the file"))?;
        storages.insert(key, start..end);
        at = end;
    }
    Ok((pickle, storages))
}

/// The bytes of an element of every storage that the pickle refers to.
fn widths(pickle: &Pickle) -> HashMap<String, usize> {
    let mut widths = HashMap::new();
    for id in 0..pickle.len() {
        let Some((key, class)) = storage(pickle, id) else { continue };
        let width = match class {
            "DoubleStorage" | "LongStorage" | "ComplexFloatStorage" => 8,
            "FloatStorage" | "IntStorage" => 4,
            "HalfStorage" | "BFloat16Storage" | "ShortStorage" => 2,
            "CharStorage" | "ByteStorage" | "BoolStorage" => 1,
            _ => continue,
        };
        widths.insert(key, width);
    }
    widths
}
