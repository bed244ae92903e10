//! fairseq's checkpoints of `transformer_iwslt_de_en` and its kin, of fairseq 0.6 to 0.12: the settings, the weights, and what Adam
//! remembers.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use tch::{Kind, Tensor};

use super::pickle::{Id, Node, Pickle};
use super::torch_file::TorchFile;
use crate::config::{Config, Configuration};
use crate::error::{Error, Result};
use crate::optim::{OptimizerKind, ScheduleKind};
use crate::progress;

/// An open checkpoint.
pub struct FairseqCheckpoint {
    file: TorchFile,
    place: String,
    model: Id,
    /// The flags of `fairseq-train`: `args` of older checkpoints, or the groups of `cfg`, each with its name.
    settings: Vec<(&'static str, Id)>,
}

/// What Adam remembers of each parameter, by fairseq's names.
pub struct OptimizerState {
    /// Updates so far.
    pub updates: u64,
    /// The epoch that training was in, from 1.
    pub epoch: u64,
    /// Whether nothing of that epoch was done.
    pub at_start: bool,
    /// First and second moments; parameters that never had a gradient have none.
    pub moments: HashMap<String, (Tensor, Tensor)>,
}

impl FairseqCheckpoint {
    /// Open a `.pt` file. Nothing in it is executed.
    ///
    /// # Errors
    /// [`Error::Content`] for a file of something else.
    pub fn open(path: &Path) -> Result<FairseqCheckpoint> {
        let file = TorchFile::open(path)?;
        let (pickle, place) = (&file.pickle, path.display().to_string());
        let root = pickle.root();
        let refuse = |expected: &str, found: &str| {
            Error::content(
                &place,
                expected,
                found,
                "give a checkpoint that fairseq-train saved, such as checkpoint_best.pt",
            )
        };
        let there = |key: &str| pickle.get(root, key).filter(|&id| *pickle.node(id) != Node::None);
        let model = there("model").ok_or_else(|| refuse("a checkpoint of fairseq with its `model`", "none"))?;
        let mut settings = Vec::new();
        if let Some(cfg) = there("cfg") {
            settings.extend(
                ["model", "task", "criterion", "optimizer", "lr_scheduler", "optimization", "dataset", "common"]
                    .into_iter()
                    .filter_map(|group| Some((group, child(pickle, cfg, group)?))),
            );
        }
        settings.extend(there("args").map(|args| ("args", args)));
        if settings.is_empty() {
            return Err(refuse("the settings of the training, `args` or `cfg`", "neither"));
        }
        Ok(FairseqCheckpoint { place, model, settings, file })
    }

    /// A flag; none where it was not given or is `None`.
    fn flag(&self, name: &str) -> Option<&Node> {
        let pickle = &self.file.pickle;
        // Hydra's form: `--encoder-embed-dim` is `encoder.embed_dim` of the group `model`, `--optimizer` the group's `_name`.
        let nested = |group: Id| {
            let (side, key) = name.split_once('_').filter(|(side, _)| ["encoder", "decoder"].contains(side))?;
            child(pickle, child(pickle, group, side)?, key)
        };
        let all = self.settings.iter().flat_map(|&(its, group)| {
            let named = (its == name).then(|| child(pickle, group, "_name")).flatten();
            [child(pickle, group, name), nested(group), named]
        });
        let mut found = all.flatten().map(|id| pickle.node(id));
        found.find(|node| **node != Node::None)
    }

    fn number(&self, name: &str) -> Option<f64> {
        match self.flag(name)? {
            Node::Int(value) => Some(*value as f64),
            Node::Float(value) => Some(*value),
            Node::Bool(value) => Some(f64::from(u8::from(*value))),
            // Lists of one for each epoch: `lr`, `update_freq`.
            Node::List(all) | Node::Tuple(all) => {
                let pickle = &self.file.pickle;
                all.first().and_then(|&first| pickle.number(content(pickle, first)))
            }
            Node::Text(text) => text.trim_matches(['[', ']', '(', ')']).split(',').next()?.trim().parse().ok(),
            _ => None,
        }
    }

    fn int(&self, name: &str, default: i64) -> i64 {
        self.number(name).map_or(default, |value| value as i64)
    }

    fn yes(&self, name: &str) -> bool {
        self.number(name).is_some_and(|value| value != 0.0)
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.flag(name)? {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Source and target language, where the command said them.
    pub fn languages(&self) -> [Option<&str>; 2] {
        [self.text("source_lang"), self.text("target_lang")]
    }

    /// The same model and training as a configuration here.
    ///
    /// # Errors
    /// [`Error::Content`] for a network that there is not here, with the flag that makes it one.
    pub fn config(&self) -> Result<Config> {
        let refusal = |flag: &str, expected: &str, found: String| {
            let next = "such networks cannot be imported";
            Error::content(&self.place, format!("{flag}: {expected}"), found, next)
        };
        let refuse = |flag: &str, expected: &str, found: String| Err(refusal(flag, expected, found));
        for flag in [
            "encoder_learned_pos",
            "decoder_learned_pos",
            "no_token_positional_embeddings",
            "no_scale_embedding",
            "layernorm_embedding",
            "adaptive_input",
            "adaptive_softmax_cutoff",
            "cross_self_attention",
            "no_cross_attention",
            "quant_noise_pq",
            "quant_noise_scalar",
            "tie_adaptive_weights",
            "character_embeddings",
        ] {
            if self.yes(flag) || self.text(flag).is_some() {
                return refuse(flag, "the default of fairseq's Transformer", "another value".into());
            }
        }
        if let Some(activation) = self.text("activation_fn").filter(|&activation| activation != "relu") {
            return refuse("activation_fn", "relu", activation.to_string());
        }
        let equal = |encoder: &str, decoder: &str, default: i64| {
            let values = [self.int(encoder, default), self.int(decoder, default)];
            if values[0] == values[1] {
                return Ok(values[0]);
            }
            let expected = format!("as much as {encoder}, {}", values[0]);
            Err(refusal(decoder, &expected, values[1].to_string()))
        };
        let mut config = Config::default();
        let model = &mut config.model;
        model.embed_dim = equal("encoder_embed_dim", "decoder_embed_dim", 512)?;
        model.ffn_dim = equal("encoder_ffn_embed_dim", "decoder_ffn_embed_dim", 2048)?;
        model.attention_heads = equal("encoder_attention_heads", "decoder_attention_heads", 8)?;
        for flag in ["decoder_input_dim", "decoder_output_dim"] {
            if self.int(flag, model.embed_dim) != model.embed_dim {
                return refuse(flag, &model.embed_dim.to_string(), self.int(flag, 0).to_string());
            }
        }
        model.encoder_layers = self.int("encoder_layers", 6);
        model.decoder_layers = self.int("decoder_layers", 6);
        model.pre_norm = self.yes("encoder_normalize_before");
        if self.yes("decoder_normalize_before") != model.pre_norm {
            return refuse("decoder_normalize_before", "as encoder_normalize_before", "the other".into());
        }
        model.share_all_embeddings = self.yes("share_all_embeddings");
        model.share_decoder_input_output_embed =
            self.yes("share_decoder_input_output_embed") || model.share_all_embeddings;
        model.dropout = self.number("dropout").unwrap_or(0.1);
        model.attention_dropout = self.number("attention_dropout").unwrap_or(0.0);
        let relu_dropout = self.number("activation_dropout").filter(|&rate| rate > 0.0).or(self.number("relu_dropout"));
        model.relu_dropout = relu_dropout.unwrap_or(0.0);
        // A sentence longer than either is for neither.
        model.max_positions = self.int("max_source_positions", 1024).min(self.int("max_target_positions", 1024));
        // What fairseq-generate takes.
        (config.search.max_length_a, config.search.max_length_b) = (0.0, 200.0);
        self.training(&mut config);
        config
            .check()
            .map_err(|error| Error::content(&self.place, "settings of a Transformer", error.to_string(), ""))?;
        Ok(config)
    }

    /// What of the training has a key here; the rest keeps its default.
    fn training(&self, config: &mut Config) {
        let optimizer = &mut config.optimizer;
        let other = |flag: &str, found: &str, taken: &str| {
            progress::note(format!("{flag} {found} is not here: the configuration has {taken}, for you to change"));
        };
        optimizer.kind = match self.text("optimizer") {
            Some("nag" | "sgd") => OptimizerKind::Sgd,
            Some("adam") | None => OptimizerKind::Adam,
            Some(name) => {
                other("--optimizer", name, "adam");
                OptimizerKind::Adam
            }
        };
        let betas: Vec<f64> = match self.flag("adam_betas") {
            Some(Node::Text(text)) => {
                text.trim_matches(['(', ')', '[', ']']).split(',').filter_map(|beta| beta.trim().parse().ok()).collect()
            }
            Some(Node::List(all) | Node::Tuple(all)) => {
                all.iter().filter_map(|&beta| self.file.pickle.number(content(&self.file.pickle, beta))).collect()
            }
            _ => Vec::new(),
        };
        if let [beta1, beta2] = betas[..] {
            (optimizer.beta1, optimizer.beta2) = (beta1, beta2);
        }
        optimizer.epsilon = self.number("adam_eps").unwrap_or(optimizer.epsilon);
        optimizer.momentum = self.number("momentum").unwrap_or(optimizer.momentum);
        optimizer.weight_decay = self.number("weight_decay").unwrap_or(0.0);
        optimizer.clip_norm = self.number("clip_norm").unwrap_or(0.0).max(0.0);
        let schedule = &mut config.schedule;
        schedule.kind = match self.text("lr_scheduler") {
            Some("polynomial_decay") => ScheduleKind::Linear,
            Some("fixed") => ScheduleKind::Constant,
            Some("cosine") => ScheduleKind::Cosine,
            Some("inverse_sqrt") | None => ScheduleKind::InverseSqrt,
            Some(name) => {
                other("--lr-scheduler", name, "inverse-sqrt");
                ScheduleKind::InverseSqrt
            }
        };
        schedule.learning_rate = self.number("lr").unwrap_or(schedule.learning_rate);
        schedule.warmup_updates = self.int("warmup_updates", 0).max(0) as u64;
        schedule.warmup_initial = self.number("warmup_init_lr").unwrap_or(0.0).max(0.0);
        let training = &mut config.training;
        training.label_smoothing = self.number("label_smoothing").unwrap_or(0.0);
        training.max_tokens = self.int("max_tokens", training.max_tokens as i64).max(1) as usize;
        training.update_frequency = self.int("update_freq", 1).max(1) as usize;
        training.max_epochs = self.int("max_epoch", 0).max(0) as u64;
        training.max_updates = match self.int("max_update", 0) {
            0 => training.max_updates,
            updates => updates.max(1) as u64,
        };
        training.seed = self.int("seed", 1).max(0) as u64;
    }

    /// The weights by the names that they have here, in their own precision. Tied ones have each of their names.
    ///
    /// # Errors
    /// [`Error::Content`] for a tensor that the file does not have whole.
    pub fn weights(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut weights = BTreeMap::new();
        for (name, id) in self.parameters() {
            let Some(tensor) = self.file.tensor(id)? else { continue };
            for (name, tensor) in renamed(&name, tensor) {
                weights.insert(name, tensor);
            }
        }
        if weights.is_empty() {
            return Err(Error::content(
                &self.place,
                "weights in `model`",
                "none",
                "give a checkpoint of fairseq-train",
            ));
        }
        Ok(weights)
    }

    /// The entries of the state dict that are parameters, and copies of them, in its order.
    fn parameters(&self) -> Vec<(String, Id)> {
        let pickle = &self.file.pickle;
        let named =
            pickle.items(self.model).iter().filter_map(|&(name, value)| Some((pickle.text(name)?.to_string(), value)));
        named.filter(|(name, _)| !name.ends_with(".version") && !name.ends_with("._float_tensor")).collect()
    }

    /// What Adam remembers; none where it is not there in a form that goes with the parameters, as after half-precision training,
    /// whose fp32 copies are one vector.
    ///
    /// # Errors
    /// As [`FairseqCheckpoint::weights`].
    pub fn optimizer_state(&self) -> Result<Option<OptimizerState>> {
        let pickle = &self.file.pickle;
        let root = pickle.root();
        let state = pickle.get(root, "last_optimizer_state").and_then(|state| pickle.get(state, "state"));
        let Some(state) = state else { return Ok(None) };
        // Parameters are numbered in the order of the state dict, tied ones once. Which are tied the settings say: storages that are
        // shared come apart where a checkpoint is saved from a GPU.
        let all = self.yes("share_all_embeddings");
        let tied: &[&str] = match all || self.yes("share_decoder_input_output_embed") {
            true if all => &["decoder.embed_tokens.weight", "decoder.output_projection.weight"],
            true => &["decoder.output_projection.weight"],
            false => &[],
        };
        let parameters: Vec<(String, Id)> =
            self.parameters().into_iter().filter(|(name, _)| !tied.contains(&name.as_str())).collect();
        // Before PyTorch 1.6 the keys were no numbers of parameters, but their order is the same.
        let groups = pickle.get(root, "last_optimizer_state").and_then(|state| pickle.get(state, "param_groups"));
        let keys: Vec<Option<i64>> = groups
            .map_or(&[][..], |groups| pickle.elements(groups))
            .iter()
            .filter_map(|&group| pickle.get(group, "params"))
            .flat_map(|keys| pickle.elements(keys).iter().map(|&key| pickle.int(key)))
            .collect();
        if keys.len() != parameters.len() {
            return Ok(None);
        }
        let positions: HashMap<i64, usize> =
            keys.into_iter().enumerate().filter_map(|(position, key)| Some((key?, position))).collect();
        let mut moments = HashMap::new();
        for &(key, of_one) in pickle.items(state) {
            let parameter = pickle.int(key).and_then(|key| parameters.get(*positions.get(&key)?));
            let (Some((name, id)), Some(first), Some(second)) =
                (parameter, pickle.get(of_one, "exp_avg"), pickle.get(of_one, "exp_avg_sq"))
            else {
                return Ok(None);
            };
            let [parameter, first, second] =
                [self.file.tensor(*id)?, self.file.tensor(first)?, self.file.tensor(second)?];
            let (Some(parameter), Some(first), Some(second)) = (parameter, first, second) else { return Ok(None) };
            // After half-precision training it is of one vector of all parameters.
            if first.size() != parameter.size() || second.size() != parameter.size() {
                return Ok(None);
            }
            let pairs = renamed(name, first).into_iter().zip(renamed(name, second));
            moments.extend(pairs.map(|((name, first), (_, second))| (name, (first, second))));
        }
        let history = pickle.get(root, "optimizer_history").map_or(&[][..], |history| pickle.elements(history));
        let updates = history.last().and_then(|&last| pickle.int(pickle.get(last, "num_updates")?));
        let iterator = pickle.get(root, "extra_state").and_then(|extra| pickle.get(extra, "train_iterator"));
        let count = |key: &str| iterator.and_then(|iterator| pickle.int(pickle.get(iterator, key)?));
        let (epoch, at_start) =
            (count("epoch").unwrap_or(1), count("iterations_in_epoch").is_none_or(|done| done == 0));
        let (Some(updates), false) = (updates.and_then(|updates| u64::try_from(updates).ok()), moments.is_empty())
        else {
            return Ok(None);
        };
        Ok(Some(OptimizerState { updates, epoch: epoch.max(1) as u64, at_start, moments }))
    }
}

/// The value of a key of a dict or of a configuration of OmegaConf, which keeps its own in nodes.
fn child(pickle: &Pickle, id: Id, key: &str) -> Option<Id> {
    pickle.get(content(pickle, id), key).map(|value| content(pickle, value))
}

/// What a node of OmegaConf's holds; anything else itself.
fn content(pickle: &Pickle, id: Id) -> Id {
    pickle.get(id, "_content").or_else(|| pickle.get(id, "_val")).unwrap_or(id)
}

/// The names here of a tensor of fairseq's, with what belongs to each: of queries, keys and values in one matrix, three.
fn renamed(name: &str, tensor: Tensor) -> Vec<(String, Tensor)> {
    let parts: Vec<&str> = name.split('.').collect();
    // fairseq 0.12's copies for torch's own encoder layer: `encoder.layers.0.in_proj_weight`, `fc1_bias`.
    if let ["encoder", "layers", _, last] = parts[..]
        && (last.ends_with("_weight") || last.ends_with("_bias"))
    {
        return Vec::new();
    }
    let mut name = name.replace("decoder.embed_out", "decoder.output_projection.weight");
    if parts[0] == "encoder" {
        name =
            name.replace(".layer_norms.0.", ".self_attn_layer_norm.").replace(".layer_norms.1.", ".final_layer_norm.");
    }
    for suffix in ["weight", "bias"] {
        let Some(attention) = name.strip_suffix(&format!(".in_proj_{suffix}")) else { continue };
        if tensor.size().first().is_none_or(|rows| rows % 3 != 0) {
            break; // No such matrix: whoever looks for its parts says that they are not there.
        }
        let thirds = tensor.chunk(3, 0);
        let names = ["q_proj", "k_proj", "v_proj"].map(|part| format!("{attention}.{part}.{suffix}"));
        return names
            .into_iter()
            .zip(thirds.into_iter().map(|third| third.to_kind(Kind::Float).contiguous()))
            .collect();
    }
    vec![(name, tensor.to_kind(Kind::Float))]
}
