//! Label-smoothed cross-entropy.

use tch::{Device, Kind, Tensor, no_grad};

/// Elements of the logits `[rows, symbols]` that are worked on at a time: in fp32 they should stay in the processor's cache.
const CHUNK_ELEMENTS: i64 = 1 << 21;
/// The same on a GPU, where few large operations are fast: half a gigabyte in fp32, and as much again for the logits and their
/// gradient in the precision of the activations.
const GPU_CHUNK_ELEMENTS: i64 = 1 << 27;

/// The summed label-smoothed cross-entropy of the rows of `hidden` under the output projection `table`, with a bias where
/// there is one, and the summed negative log-likelihood.
///
/// * `hidden`: `[N, d]`; `table`: `[V, d]`; `bias`: `[V]`; `target`: `[N]` int64, without padding.
///
/// As fairseq computes it: the target gets `1 - ε`, every other symbol `ε/(V-1)`.
///
/// With `second_order` the loss is made of differentiable operations. Without it the logits are worked through in
/// chunks that leave their gradient in place, and the returned scalar carries exactly that gradient: on a processor no copy
/// of `[N, V]` in fp32 is ever made.
pub fn label_smoothed_cross_entropy(
    hidden: &Tensor,
    (table, bias): (&Tensor, Option<&Tensor>),
    target: &Tensor,
    epsilon: f64,
    second_order: bool,
) -> (Tensor, Tensor) {
    let symbols = table.size()[0];
    let smooth = epsilon / (symbols - 1).max(1) as f64;
    if second_order {
        let log_probabilities = hidden.linear(table, bias).log_softmax(-1, Kind::Float); // [N, V]
        let nll = -log_probabilities.gather(1, &target.unsqueeze(1), false).sum(Kind::Float);
        let all = -log_probabilities.sum(Kind::Float);
        let loss = &nll * (1.0 - epsilon - smooth) + all * smooth;
        return (loss, nll.detach());
    }

    let wants_gradient = hidden.requires_grad() || table.requires_grad();
    let (loss, nll, d_hidden, d_table, d_bias) = no_grad(|| {
        let (hidden, table, bias) = (hidden.detach(), table.detach(), bias.map(Tensor::detach));
        let rows = hidden.size()[0];
        let chunk = match hidden.device() {
            Device::Cpu => (CHUNK_ELEMENTS / symbols).clamp(16, 1024),
            _ => (GPU_CHUNK_ELEMENTS / symbols).max(16),
        };
        let mut nll = Tensor::zeros([], (Kind::Double, hidden.device()));
        let mut all = Tensor::zeros([], (Kind::Double, hidden.device()));
        let mut d_hidden = Vec::new();
        let mut d_table =
            Tensor::zeros(if wants_gradient { table.size() } else { vec![0] }, (Kind::Float, hidden.device()));
        let mut d_bias = bias.as_ref().map(|bias| bias.zeros_like().to_kind(Kind::Float));
        let mut start = 0;
        while start < rows {
            let length = chunk.min(rows - start);
            let part = hidden.narrow(0, start, length); // [c, d]
            let gold = target.narrow(0, start, length).unsqueeze(1); // [c, 1]
            let mut log_probabilities = part.linear(&table, bias.as_ref()).log_softmax(-1, Kind::Float); // [c, V]
            nll -= log_probabilities.gather(1, &gold, false).sum(Kind::Double);
            all -= log_probabilities.sum(Kind::Float);
            if wants_gradient {
                // With ε/(V-1) for the others, d loss / d logits = softmax - ε/(V-1) - (1-ε-ε/(V-1)) · onehot.
                let mut gradient = log_probabilities.exp_();
                gradient -= smooth;
                let value = Tensor::full([length, 1], -(1.0 - epsilon - smooth), (Kind::Float, hidden.device()));
                let gradient = gradient.scatter_add_(1, &gold, &value).to_kind(part.kind());
                d_hidden.push(gradient.matmul(&table));
                if let Some(d_bias) = &mut d_bias {
                    *d_bias += gradient.sum_dim_intlist([0i64].as_slice(), false, Kind::Float);
                }
                d_table += gradient.tr().matmul(&part);
            }
            start += length;
        }
        let loss = &nll * (1.0 - epsilon - smooth) + all * smooth;
        (loss.to_kind(Kind::Float), nll.to_kind(Kind::Float), d_hidden, d_table, d_bias)
    });
    if !wants_gradient || d_hidden.is_empty() {
        return (loss, nll);
    }
    // A scalar with the value of the loss and the gradient that is already known.
    let mut carrier = (hidden * Tensor::cat(&d_hidden, 0)).sum(Kind::Float)
        + (table * d_table.to_kind(table.kind())).sum(Kind::Float);
    if let (Some(bias), Some(d_bias)) = (bias, d_bias) {
        carrier += (bias * d_bias.to_kind(bias.kind())).sum(Kind::Float);
    }
    (loss + &carrier - carrier.detach(), nll)
}
