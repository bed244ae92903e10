//! Several networks that translate together.

use tch::{Kind, Tensor};

use crate::model::StepDecoder;

/// Decoders over one target dictionary. The probability of a token is the mean of what they give it, as in fairseq.
pub(super) struct Ensemble<'a>(pub Vec<Box<dyn StepDecoder + 'a>>);

impl StepDecoder for Ensemble<'_> {
    /// The logarithm of the mean probability, which is as good as a logit: its softmax is that probability.
    fn step(&mut self, ids: &[i64], beam: usize) -> Tensor {
        let of = |decoder: &mut Box<dyn StepDecoder + '_>| decoder.step(ids, beam).log_softmax(-1, Kind::Float);
        let members: Vec<Tensor> = self.0.iter_mut().map(of).collect(); // each [rows, V]
        Tensor::stack(&members, 0).logsumexp([0i64].as_slice(), false) - (members.len() as f64).ln()
    }

    fn reorder(&mut self, rows: &[i64], sentences: Option<&[i64]>) {
        self.0.iter_mut().for_each(|decoder| decoder.reorder(rows, sentences));
    }
}
