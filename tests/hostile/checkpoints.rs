//! Damaged checkpoints of other programs, which are programs themselves where they come from.

use std::path::Path;

use nmt::import::{FairseqCheckpoint, MarianModel, Pickle};
use nmt::text::SentencePiece;

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

/// A folder of Marian's whose file `name` is damaged.
fn marian(name: &str, read: impl Fn(&MarianModel) -> nmt::Result<()>) {
    let folder = tempfile::tempdir().unwrap();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/marian");
    for file in ["config.json", "vocab.json", "source.spm", "model.safetensors"] {
        std::fs::copy(files.join(file), folder.path().join(file)).unwrap();
    }
    let original = std::fs::read(files.join(name)).unwrap();
    attack(&format!("Marian's {name}"), &original, |bytes| {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        read(&MarianModel::open(folder.path())?)
    });
}

#[test]
fn a_configuration_of_marian() {
    marian("config.json", |model| nmt::config::describe(&model.config()?).map(drop));
}

#[test]
fn a_vocabulary_of_marian() {
    marian("vocab.json", |model| {
        let [source, target] = model.dictionaries();
        assert_eq!(source.len(), target.len());
        model.weights().map(drop)
    });
}

#[test]
fn a_model_of_sentence_piece() {
    let folder = tempfile::tempdir().unwrap();
    marian("source.spm", |model| {
        let pieces = model.pieces()?;
        // Whatever the pieces are, they are of the text.
        let found = pieces.pieces("Pita foscha 日 schin!");
        assert_eq!(found.concat().replace('▁', ""), "Pitafoscha日schin!");
        pieces.save(&folder.path().join("tokenizer.json"), &[])?;
        let again = SentencePiece::load(folder.path())?.unwrap();
        assert_eq!(again.pieces("Pita foscha 日 schin!"), found);
        Ok(())
    });
}

#[test]
fn a_tokenizer_of_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let (spm, path) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/marian/source.spm"), folder.path().join("tokenizer.json"));
    SentencePiece::read_model(&spm).unwrap().save(&path, &[]).unwrap();
    attack("tokenizer.json of pieces", &std::fs::read(&path).unwrap(), |bytes| {
        std::fs::write(&path, bytes).unwrap();
        if let Some(pieces) = SentencePiece::load(folder.path())? {
            assert_eq!(pieces.pieces("Pita foscha 日 schin!").concat().replace('▁', ""), "Pitafoscha日schin!");
        }
        Ok(())
    });
}
