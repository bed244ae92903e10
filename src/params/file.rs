//! Vectors and tensors as safetensors, with a checksum and metadata of ours.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tch::{Kind, Tensor};

use super::Layout;
use crate::error::{Error, Result};
use crate::files;

/// The one entry of a safetensors header that holds our metadata.
const METADATA_KEY: &str = "nmt";
/// The part of it that holds a checksum of the file, which is computed with zeros in its place.
const CHECKSUM_KEY: &str = "crc32";
const NO_CHECKSUM: &str = "00000000";

/// Write vectors, each fp32 of the shape of its layout, under name prefixes that may be empty, as safetensors, atomically;
/// [`safetensors_metadata`] gives `metadata` back. Equal content gives equal bytes.
///
/// # Errors
/// [`Error::Io`] when the file cannot be written.
pub fn save_vectors(
    path: &Path,
    vectors: &[(&Layout, &str, &Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let refused = |found: String| Error::content(path.display().to_string(), "tensors that can be saved", found, "");
    let bytes: Vec<Vec<u8>> = vectors.iter().map(|(_, _, vector)| raw_bytes(&vector.to_kind(Kind::Float))).collect();
    let mut views = Vec::new();
    for ((layout, prefix, _), bytes) in vectors.iter().zip(&bytes) {
        for block in &layout.blocks {
            let start = 4 * block.offset as usize;
            let end = start + 4 * block.numel() as usize;
            let shape: Vec<usize> = block.shape.iter().map(|&size| size as usize).collect();
            let content = bytes.get(start..end).unwrap_or_default();
            let view = TensorView::new(Dtype::F32, shape, content).map_err(|error| refused(error.to_string()))?;
            views.push((format!("{prefix}{}", block.name), view));
        }
    }
    let mut metadata = metadata.clone();
    metadata.insert(CHECKSUM_KEY.to_string(), NO_CHECKSUM.to_string());
    // One entry: several would be written in the random order of a hash map.
    let text = serde_json::to_string(&metadata).map_err(|error| refused(error.to_string()))?;
    let entry = HashMap::from([(METADATA_KEY.to_string(), text)]);
    let mut bytes = safetensors::serialize(views, Some(entry)).map_err(|error| refused(error.to_string()))?;
    if let Some(digits) = checksum_digits(&bytes) {
        let checksum = checksum(&bytes, &digits);
        bytes[digits].copy_from_slice(checksum.as_bytes());
    }
    files::write_whole(path, &bytes)
}

/// Write tensors of any kind of floating-point numbers as safetensors for other programs, atomically.
///
/// # Errors
/// [`Error::Io`] when the file cannot be written.
pub fn save_tensors(path: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    let refused = |found: String| Error::content(path.display().to_string(), "tensors that can be saved", found, "");
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|(_, tensor)| raw_bytes(tensor)).collect();
    let mut views = Vec::new();
    for ((name, tensor), bytes) in tensors.iter().zip(&bytes) {
        let kind = match tensor.kind() {
            Kind::Float => Dtype::F32,
            Kind::Half => Dtype::F16,
            Kind::BFloat16 => Dtype::BF16,
            other => return Err(refused(format!("{name} of {other:?}"))),
        };
        let shape: Vec<usize> = tensor.size().iter().map(|&size| size as usize).collect();
        let view = TensorView::new(kind, shape, bytes).map_err(|error| refused(error.to_string()))?;
        views.push((name.clone(), view));
    }
    // What programs on PyTorch look for before they read a file.
    let entry = HashMap::from([("format".to_string(), "pt".to_string())]);
    let bytes = safetensors::serialize(views, Some(entry)).map_err(|error| refused(error.to_string()))?;
    files::write_whole(path, &bytes)
}

/// The bytes of a tensor's numbers, in their order and little-endian, whatever their kind.
pub fn raw_bytes(tensor: &Tensor) -> Vec<u8> {
    let tensor = tensor.detach().to_device(tch::Device::Cpu).contiguous();
    let count = tensor.numel();
    let mut bytes = vec![0; count * tensor.kind().elt_size_in_bytes()];
    tensor.copy_data_u8(&mut bytes, count);
    bytes
}

/// Open a safetensors file (memory-mapped), check it, and hand it on.
pub fn with_safetensors<T>(path: &Path, use_it: impl FnOnce(&SafeTensors) -> Result<T>) -> Result<T> {
    with_map(path, |bytes| {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(path, &error))?;
        check_checksum(path, bytes)?;
        use_it(&tensors)
    })
}

/// What [`Layout::save`] was given as metadata; empty for files of other programs.
pub fn safetensors_metadata(path: &Path) -> Result<BTreeMap<String, String>> {
    with_map(path, |bytes| {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(path, &error))?;
        let text = metadata.metadata().as_ref().and_then(|entries| entries.get(METADATA_KEY));
        let mut entries: BTreeMap<String, String> = text
            .map_or(Ok(BTreeMap::new()), |text| serde_json::from_str(text))
            .map_err(|error| damaged(path, &error))?;
        entries.remove(CHECKSUM_KEY);
        Ok(entries)
    })
}

/// Where the digits of the checksum are in the bytes of a file; none in a file of another program.
fn checksum_digits(bytes: &[u8]) -> Option<Range<usize>> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let header = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let before = format!("\\\"{CHECKSUM_KEY}\\\":\\\"");
    let start = length.len() + header.windows(before.len()).position(|part| part == before.as_bytes())? + before.len();
    Some(start..start + NO_CHECKSUM.len())
}

/// CRC-32 of a whole file, in hexadecimal.
fn checksum(bytes: &[u8], digits: &Range<usize>) -> String {
    let mut crc = flate2::Crc::new();
    for part in [bytes.get(..digits.start), Some(NO_CHECKSUM.as_bytes()), bytes.get(digits.end..)] {
        crc.update(part.unwrap_or_default());
    }
    format!("{:08x}", crc.sum())
}

fn check_checksum(path: &Path, bytes: &[u8]) -> Result<()> {
    let Some(digits) = checksum_digits(bytes) else { return Ok(()) };
    let computed = checksum(bytes, &digits);
    let stored = bytes.get(digits).unwrap_or_default();
    if stored == computed.as_bytes() {
        return Ok(());
    }
    Err(Error::content(
        path.display().to_string(),
        format!("a safetensors file with the checksum {}", stored.escape_ascii()),
        computed,
        format!(
            "the file is truncated or altered: restore it, or use another checkpoint; a program that changes one on \
             purpose has to remove `{CHECKSUM_KEY}` from the metadata"
        ),
    ))
}

fn with_map<T>(path: &Path, use_it: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
    if path.is_dir() {
        let next = "give the file, such as RUN/best.safetensors";
        return Err(Error::content(path.display().to_string(), "a safetensors file", "a folder", next));
    }
    let file = File::open(path).map_err(Error::io("read", path))?;
    // SAFETY: the map is read only; a file changed under it by another program is the usual caveat of memory maps.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io("read", path))?;
    use_it(&map)
}

fn damaged(path: &Path, error: &dyn std::error::Error) -> Error {
    let mut start = [0; 2];
    let read = std::fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut start));
    let next = match (read, &start) {
        (Ok(()), b"PK" | b"\x80\x02") => {
            "a file of torch.save? `nmt import --checkpoint` reads fairseq's; write others with safetensors.torch.save_file"
        }
        _ => "the file is truncated or altered: restore it, or use another checkpoint",
    };
    Error::content(path.display().to_string(), "a safetensors file", error.to_string(), next)
}

/// A tensor of a safetensors file; `place` names it in errors.
pub fn tensor_from_view(place: &str, view: &TensorView) -> Result<Tensor> {
    let kind = match view.dtype() {
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        other => return Err(Error::content(place, "floating-point or integer tensors", format!("{other:?}"), "")),
    };
    let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
    Ok(Tensor::f_from_data_size(view.data(), &shape, kind)?)
}
