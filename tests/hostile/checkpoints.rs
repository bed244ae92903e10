//! Damaged checkpoints of other programs, which are programs themselves where they come from.

use std::path::Path;

use nmt::import::{FairseqCheckpoint, Pickle};

use crate::mutate::attack;

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fairseq").join(name)).unwrap()
}

fn read(bytes: &[u8], folder: &Path) -> nmt::Result<()> {
    let path = folder.join("checkpoint.pt");
    std::fs::write(&path, bytes).unwrap();
    let checkpoint = FairseqCheckpoint::open(&path)?;
    checkpoint.config()?;
    assert!(!checkpoint.weights()?.is_empty());
    checkpoint.optimizer_state().map(drop)
}

#[test]
fn an_archive_of_torch() {
    let folder = tempfile::tempdir().unwrap();
    attack("fairseq.pt", &golden("half.pt"), |bytes| read(bytes, folder.path()));
}

#[test]
fn a_row_of_pickles() {
    let folder = tempfile::tempdir().unwrap();
    attack("fairseq.pt, legacy", &golden("untied_legacy.pt"), |bytes| read(bytes, folder.path()));
}

/// Most of a checkpoint is numbers: the part with structure by itself.
#[test]
fn a_pickle() {
    let archive = golden("half.pt");
    let name = b"data.pkl";
    let found = archive.windows(name.len()).position(|window| window == name).unwrap();
    let start = found + archive[found..].windows(2).position(|window| window == b"\x80\x02").unwrap();
    let (_, length) = Pickle::read(&archive[start..]).unwrap();
    attack("data.pkl", &archive[start..start + length], |bytes| {
        let refused = |what: String| nmt::Error::content("data.pkl", "a pickle", what, "");
        let (pickle, _) = Pickle::read(bytes).map_err(refused)?;
        for id in 0..pickle.len() {
            // Whatever refers to whatever: nothing runs in circles.
            let _ = (pickle.node(id), pickle.get(id, "model"), pickle.call(id), pickle.elements(id).len());
        }
        Ok(())
    });
}
