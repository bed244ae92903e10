//! What an initialisation looks like, block by block: the size of its weights, and how much their gradient varies from
//! minibatch to minibatch (Zhu et al., 2021, Figures 1 to 8).

use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::memory::within;
use crate::params::{Block, BlockKind, Layout};
use crate::task::{Mode, Task};

/// What a block does in the network: the panels of the paper's Figures 7 and 8, in their order, and what is in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// The multipliers of normalisation layers.
    LayerNorm,
    /// Projections to queries.
    Query,
    /// Projections to keys.
    Key,
    /// Projections to values.
    Value,
    /// Projections of what attention has gathered.
    OutProjection,
    /// The first matrices of feed-forward layers.
    Ffn1,
    /// The second ones.
    Ffn2,
    /// Tables of embeddings, and an output projection that is a block of its own.
    Embedding,
    /// Multipliers of skip connections and of residual branches.
    ResidualScale,
    /// Convolutions and other linear layers.
    Linear,
    /// Additive vectors: no panel shows them.
    Bias,
}

impl Group {
    /// The group of a block, by its kind and by its name, which is fairseq's.
    pub fn of(block: &Block) -> Group {
        const LINEAR: [(&str, Group); 6] = [
            ("q_proj", Group::Query),
            ("k_proj", Group::Key),
            ("v_proj", Group::Value),
            ("out_proj", Group::OutProjection),
            ("fc1", Group::Ffn1),
            ("fc2", Group::Ffn2),
        ];
        let module = block.name.trim_end_matches(".weight").rsplit('.').next().unwrap_or_default();
        match block.kind {
            BlockKind::NormScale => Group::LayerNorm,
            BlockKind::Embedding => Group::Embedding,
            BlockKind::SkipScale | BlockKind::BranchScale => Group::ResidualScale,
            BlockKind::Convolution => Group::Linear,
            BlockKind::Bias
            | BlockKind::NormBias
            | BlockKind::BranchBias
            | BlockKind::RunningMean
            | BlockKind::RunningVariance => Group::Bias,
            BlockKind::Weight => {
                LINEAR.iter().find(|(name, _)| *name == module).map_or(Group::Linear, |(_, group)| *group)
            }
        }
    }
}

/// What was measured of one block.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockStatistics {
    /// Where it belongs.
    pub group: Group,
    /// Its name.
    pub block: String,
    /// ‖W‖₁/d, the mean magnitude of its d elements.
    pub magnitude: f64,
    /// σ(g): the standard deviation over minibatches of the gradient of the mean loss (natural logarithm, a target
    /// token), of each element, with N − 1 in the denominator; averaged over the elements.
    pub gradient_std: f64,
}

/// One initialisation with what was measured of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// How pictures call it.
    pub name: String,
    /// By group, and inside a group in the layout's order: for a Transformer the encoder layer by layer, self-attention
    /// before the feed-forward layer, and then the decoder, self-attention before attention over the encoder (Figure 7).
    pub blocks: Vec<BlockStatistics>,
}

/// Measure `theta` (`[P]`, fp32) on minibatches, without dropout and in fp32. Gradients are summed up as they come, so
/// that the memory is a few vectors of θ's length however many there are.
///
/// # Errors
/// [`Error::Content`] for a gradient that is not finite and for fewer than two minibatches; what `batches` gives.
pub fn inspect<T: Task>(
    task: &T,
    name: &str,
    theta: &Tensor,
    batches: impl IntoIterator<Item = Result<T::Batch>>,
) -> Result<Inspection> {
    let layout = task.layout();
    let mut moments = Moments::new(layout, theta);
    for batch in batches {
        let (batch, smaller) = (batch?, "smaller minibatches need less");
        let (loss, gradient) = within("inspect", smaller, || task.gradient(theta, &batch, Mode::initialise()))?;
        if let Some(block) = layout.first_non_finite(&gradient) {
            return Err(Error::content(
                format!("{name}, minibatch {}", moments.count + 1),
                "a gradient of numbers",
                format!("infinity or NaN in `{}`", block.name),
                "these parameters have diverged, or their scales are too large: inspect others",
            ));
        }
        moments.add(&(gradient / loss.count as f64));
    }
    if moments.count < 2 {
        let found = moments.count.to_string();
        return Err(Error::content(name, "at least two minibatches for a standard deviation", found, ""));
    }
    let mean = |part: &Tensor| part.mean(Kind::Double).double_value(&[]);
    let magnitudes = layout.split(&theta.abs());
    let deviations = layout.split(&moments.standard_deviation());
    let measured = layout.blocks().iter().zip(magnitudes.iter().zip(&deviations));
    let mut blocks: Vec<BlockStatistics> = measured
        .map(|(block, (magnitude, deviation))| BlockStatistics {
            group: Group::of(block),
            block: block.name.clone(),
            magnitude: mean(magnitude),
            gradient_std: mean(deviation),
        })
        .collect();
    blocks.sort_by_key(|block| block.group); // Stable: the layout's order inside a group.
    Ok(Inspection { name: name.to_owned(), blocks })
}

/// Running mean and sum of squared distances of every element (Welford, 1962), in fp64.
struct Moments {
    count: u64,
    mean: Tensor,
    squares: Tensor,
}

impl Moments {
    fn new(layout: &Layout, theta: &Tensor) -> Moments {
        let zeros = || Tensor::zeros([layout.total()], (Kind::Double, theta.device()));
        Moments { count: 0, mean: zeros(), squares: zeros() }
    }

    fn add(&mut self, values: &Tensor) {
        self.count += 1;
        let before = values.to_kind(Kind::Double) - &self.mean;
        self.mean += &before / self.count as f64;
        let after = values.to_kind(Kind::Double) - &self.mean;
        self.squares += before * after;
    }

    fn standard_deviation(&self) -> Tensor {
        (&self.squares / (self.count - 1) as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ModelConfig, Transformer};
    use crate::task::Loss;

    /// Of θ = (w₀, w₁; b) the summed loss Σᵢ xᵢ·(w₀ + w₁²) + b over a batch of numbers.
    struct Tiny(Layout);

    impl Task for Tiny {
        type Batch = Vec<f32>;

        fn layout(&self) -> &Layout {
            &self.0
        }

        fn loss(&self, theta: &Tensor, batch: &Vec<f32>, _: Mode) -> Loss {
            let part = |i: i64| theta.narrow(0, i, 1).sum(Kind::Float);
            let each = part(0) + part(1).square();
            let sum = Tensor::from_slice(batch).sum(Kind::Float) * each + part(2) * batch.len() as f64;
            Loss { nll: sum.detach(), sum, count: batch.len() as i64 }
        }
    }

    fn tiny() -> Tiny {
        let mut layout = Layout::default();
        layout.add("decoder.layers.0.fc1.weight", &[2], BlockKind::Weight);
        layout.add("decoder.layers.0.fc1.bias", &[1], BlockKind::Bias);
        Tiny(layout)
    }

    /// Oracle: by hand. The mean-loss gradients are (x̄, 2·w₁·x̄; 1) with x̄ = 1, 2, 6 and w₁ = −3; x̄ has the variance
    /// (4 + 1 + 9)/2 = 7, so that the deviations are √7, 6·√7 and 0.
    #[test]
    fn statistics_of_a_network_of_three_numbers() {
        let batches = [vec![1.0], vec![1.0, 3.0], vec![5.0, 6.0, 7.0]];
        let found = inspect(&tiny(), "x", &Tensor::from_slice(&[1f32, -3.0, -0.5]), batches.map(Ok)).unwrap();
        let [weight, bias] = &found.blocks[..] else { panic!("{found:?}") };
        assert_eq!((weight.group, weight.block.as_str()), (Group::Ffn1, "decoder.layers.0.fc1.weight"));
        assert_eq!((weight.magnitude, bias.group, bias.magnitude, bias.gradient_std), (2.0, Group::Bias, 0.5, 0.0));
        assert!((weight.gradient_std - 3.5 * 7f64.sqrt()).abs() < 1e-12, "{found:?}");
    }

    /// Sums of squares in fp32 would lose all digits here.
    #[test]
    fn a_large_mean_does_not_hide_a_small_deviation() {
        let batches = [4096.0, 4096.5, 4097.0].map(|x| Ok(vec![x]));
        let found = inspect(&tiny(), "x", &Tensor::from_slice(&[0f32, 0.5, 0.0]), batches).unwrap();
        assert!((found.blocks[0].gradient_std - 0.5).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn what_has_no_deviation_is_refused() {
        let theta = Tensor::from_slice(&[1f32, 1.0, 1.0]);
        let message = |batches: &[f32]| {
            inspect(&tiny(), "run/best", &theta, batches.iter().map(|&x| Ok(vec![x]))).unwrap_err().to_string()
        };
        let expected = "run/best, minibatch 2: expected a gradient of numbers, found infinity or NaN in `decoder.layers.0.\
                        fc1.weight`";
        assert!(message(&[1.0, f32::NAN]).contains(expected), "{}", message(&[1.0, f32::NAN]));
        assert!(message(&[1.0]).contains("at least two minibatches for a standard deviation, found 1"));
        let failing = [Ok(vec![1.0]), Err(Error::usage("the reader's", ""))];
        assert_eq!(inspect(&tiny(), "x", &theta, failing).unwrap_err().to_string(), "the reader's");
    }

    /// Oracle: the caption of the paper's Figure 7.
    #[test]
    fn blocks_of_a_transformer_are_in_the_order_of_the_paper() {
        let config = ModelConfig {
            embed_dim: 4,
            ffn_dim: 4,
            attention_heads: 1,
            encoder_layers: 2,
            decoder_layers: 1,
            share_all_embeddings: true,
            w_skip: true,
            ..Default::default()
        };
        let model = Transformer::new(&config, 8, 8, 0.1).unwrap();
        let names = |group: Group| -> Vec<&str> {
            let blocks = model.layout().blocks().iter().filter(|block| Group::of(block) == group);
            blocks.map(|block| block.name.as_str()).collect()
        };
        let norms = [
            "encoder.layers.0.self_attn_layer_norm.weight",
            "encoder.layers.0.final_layer_norm.weight",
            "encoder.layers.1.self_attn_layer_norm.weight",
            "encoder.layers.1.final_layer_norm.weight",
            "decoder.layers.0.self_attn_layer_norm.weight",
            "decoder.layers.0.encoder_attn_layer_norm.weight",
            "decoder.layers.0.final_layer_norm.weight",
        ];
        assert_eq!(names(Group::LayerNorm), norms);
        for (group, name) in [
            (Group::Query, "q_proj"),
            (Group::Key, "k_proj"),
            (Group::Value, "v_proj"),
            (Group::OutProjection, "out_proj"),
        ] {
            let layers =
                ["encoder.layers.0.self", "encoder.layers.1.self", "decoder.layers.0.self", "decoder.layers.0.encoder"];
            assert_eq!(names(group), layers.map(|layer| format!("{layer}_attn.{name}.weight")));
        }
        for (group, name) in [(Group::Ffn1, "fc1"), (Group::Ffn2, "fc2")] {
            let layers = ["encoder.layers.0", "encoder.layers.1", "decoder.layers.0"];
            assert_eq!(names(group), layers.map(|layer| format!("{layer}.{name}.weight")));
        }
        assert_eq!(names(Group::Embedding), ["encoder.embed_tokens.weight"]);
        assert_eq!((names(Group::ResidualScale).len(), names(Group::Linear).len()), (7, 0));
        let order = [Group::LayerNorm, Group::Query, Group::Key, Group::Value, Group::OutProjection, Group::Ffn1];
        assert!(order.is_sorted() && Group::Ffn1 < Group::Ffn2 && Group::Ffn2 < Group::Embedding);
    }
}
