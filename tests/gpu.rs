//! What a GPU computes against the processor. Skipped, with a message, where libtorch finds no GPU.
mod common;

use common::{batch_of, distance};
use nmt::data::{Batch, collate};
use nmt::decode::{BatchSearch, SearchConfig, Translator};
use nmt::init::gradinit::{GradInitConfig, gradinit};
use nmt::init::{InitConfig, draw_theta};
use nmt::model::{ModelConfig, Transformer, TranslationBatch};
use nmt::random::with_generator;
use nmt::task::{Mode, Task};
use nmt::vision::{Architecture, Classifier, PictureBatch, kaiming};
use tch::{Device, Kind, Tensor};

const LENGTHS: [(usize, usize); 5] = [(9, 7), (5, 11), (12, 12), (3, 4), (7, 2)];

fn gpu() -> Option<Device> {
    let found = Device::cuda_if_available();
    if found == Device::Cpu {
        eprintln!("skipped: libtorch finds no GPU");
        return None;
    }
    Some(found)
}

fn batches() -> (Batch, TranslationBatch) {
    let pairs = common::pairs(&LENGTHS);
    let slices: Vec<(&[i64], &[i64])> = pairs.iter().map(|(s, t)| (s.as_slice(), t.as_slice())).collect();
    (collate(&slices, &[0, 1, 2, 3, 4]), batch_of(&LENGTHS))
}

fn model() -> (Transformer, Tensor) {
    let config = ModelConfig {
        embed_dim: 64,
        ffn_dim: 128,
        encoder_layers: 2,
        decoder_layers: 2,
        w_skip: true,
        dropout: 0.3,
        attention_dropout: 0.1,
        relu_dropout: 0.1,
        ..ModelConfig::default()
    };
    let model = Transformer::new(&config, 64, 64, 0.1).unwrap();
    let theta = draw_theta(&InitConfig::default(), model.layout(), 3);
    let noise = with_generator(5, || theta.randn_like());
    let theta = theta + noise * 0.05;
    (model, theta)
}

/// ‖a − b‖ / ‖b‖ in double precision on the processor.
fn relative(a: &Tensor, b: &Tensor) -> f64 {
    let exact = |tensor: &Tensor| tensor.to_device(Device::Cpu).to_kind(Kind::Double);
    ((exact(a) - exact(b)).norm() / exact(b).norm()).double_value(&[])
}

/// Oracle: the processor's hand-written pass in fp32. bf16 rounds to 8 bits, 4e-3 an element.
#[test]
fn a_transformer_has_the_processors_loss_and_gradient() {
    let Some(gpu) = gpu() else { return };
    let (model, theta) = model();
    let (batch, here) = batches();
    let there = TranslationBatch::new(&batch, gpu);
    let (loss, gradient) = model.gradient(&theta, &here, Mode::evaluate(Kind::Float));
    for (compute, bound) in [(Kind::Float, 1e-5), (Kind::BFloat16, 0.03)] {
        let (found, its) = model.gradient(&theta.to_device(gpu), &there, Mode::evaluate(compute));
        assert!(relative(&found.sum, &loss.sum) < bound, "{compute:?}: {} {}", found.sum, loss.sum);
        assert!(relative(&its, &gradient) < bound, "{compute:?}: {}", relative(&its, &gradient));
    }
}

/// Dropout's masks are the seed's, and keep the share that they say: 1/(1 − rate) times the mean is the mean.
#[test]
fn dropout_is_a_function_of_the_seed() {
    let Some(gpu) = gpu() else { return };
    let (model, theta) = model();
    let theta = theta.to_device(gpu);
    let batch = TranslationBatch::new(&batches().0, gpu);
    let of = |seed| {
        let (loss, gradient) = model.gradient(&theta, &batch, Mode::train(Kind::Float, seed));
        (loss.sum.double_value(&[]), gradient)
    };
    let [first, again, other] = [7, 7, 8].map(of);
    assert_eq!(first.0, again.0);
    assert!(relative(&first.1, &again.1) < 1e-6);
    assert!((first.0 - other.0).abs() > 1e-3 && relative(&first.1, &other.1) > 0.1);
    let ones = Tensor::ones([1 << 20], (Kind::Float, gpu));
    let dropped = nmt::model::Dropout::seeded(Some(3)).apply(&ones, 0.3);
    // A million draws: the standard error of the mean is 6.4e-4.
    assert!((dropped.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 4e-3);
    let kept = dropped.ne(0.0).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
    assert!((kept - 0.7).abs() < 3e-3, "{kept}");
}

/// Oracle: the same iterations on the processor.
#[test]
fn gradinit_learns_the_processors_scales() {
    let Some(gpu) = gpu() else { return };
    let (model, theta) = model();
    let config = GradInitConfig { iterations: 6, eta: 1e-3, tau: 1e-2, gamma: 800.0, ..GradInitConfig::default() };
    let of = |device: Device| {
        let draw = |_| {
            let batch = batches().0;
            Ok((TranslationBatch::new(&batch, device), TranslationBatch::new(&batch, device)))
        };
        let mut branches = Vec::new();
        let scales = gradinit(&model, &theta.to_device(device), &config, draw, |iteration| {
            branches.push(iteration.branch);
            Ok(())
        });
        (scales.unwrap(), branches)
    };
    let ((here, branches), (there, its)) = (of(Device::Cpu), of(gpu));
    assert_eq!(branches, its);
    for ((block, here), there) in model.layout().blocks().iter().zip(&here).zip(&there) {
        // What moves the scale of a key's bias is rounding noise around 0, which Adam makes as large as any gradient.
        assert!(block.name.ends_with("k_proj.bias") || (here - there).abs() < 1e-3, "{}: {here} {there}", block.name);
    }
    assert!(here.iter().any(|scale| (scale - 1.0).abs() > 0.01), "nothing was learnt");
}

/// Oracle: the processor's search, which has kernels of its own.
#[test]
fn a_search_finds_the_processors_sentences() {
    let Some(gpu) = gpu() else { return };
    let (model, theta) = model();
    let search = BatchSearch { search: SearchConfig::default(), max_tokens: 100, compute: Kind::Float };
    let sources: Vec<Vec<i64>> = common::pairs(&LENGTHS).into_iter().map(|(source, _)| source).collect();
    let of = |theta: &Tensor| {
        let translator = Translator::new(&[(&model, theta)], &search).unwrap();
        translator.translate(&sources, |_| ()).unwrap()
    };
    for (here, there) in of(&theta).iter().zip(of(&theta.to_device(gpu))) {
        assert_eq!(here[0].tokens, there[0].tokens);
        assert!((here[0].score - there[0].score).abs() < 1e-4);
    }
}

/// Oracle: the processor in fp32. A GPU's convolutions take products of 10 bits (TF32), which sixteen normalisations over eight
/// pictures make a fifth of VGG-19's gradient; one of another network would be 1.4 times as large as it away.
#[test]
fn image_networks_have_the_processors_loss_and_gradient() {
    let Some(gpu) = gpu() else { return };
    for (architecture, batch_norm) in [
        (Architecture::Vgg19, true),
        (Architecture::Vgg19, false),
        (Architecture::Resnet110, true),
        (Architecture::Densenet100, true),
        (Architecture::FixupResnet110, false),
    ] {
        let of = |device: Device| {
            let network = Classifier::new(architecture, batch_norm, 10, device);
            let pictures = with_generator(1, || Tensor::randn([8, 3, 32, 32], (Kind::Float, Device::Cpu)));
            let classes = Tensor::from_slice(&[0i64, 1, 2, 3, 4, 5, 6, 7]).to_device(device);
            let batch = PictureBatch { pictures: pictures.to_device(device), classes, mixed: None };
            // Small weights: FixUp's branches begin with zeros, and Kaiming's make it explode.
            let small = if architecture == Architecture::FixupResnet110 { 0.3 } else { 1.0 };
            let theta = kaiming(architecture, network.layout(), 1) * small;
            let (loss, gradient) = network.gradient(&theta.to_device(device), &batch, Mode::initialise());
            (loss.sum, gradient)
        };
        let ((loss, gradient), (found, its)) = (of(Device::Cpu), of(gpu));
        let name = architecture.name();
        assert!(relative(&found, &loss) < 0.01, "{name} {batch_norm}: {found} {loss}");
        assert!(relative(&its, &gradient) < 0.5, "{name} {batch_norm}: {}", relative(&its, &gradient));
        assert!(distance(&its.to_device(Device::Cpu), &gradient) > 0.0, "the same bits: was it computed there?");
    }
}

/// One GPU is a process by itself: NCCL is found, joined, and gives back what it is given.
#[test]
#[cfg(feature = "nccl")]
fn nccl_sums_where_the_tensors_are() {
    use nmt::train::{Alone, Communicator, Nccl};
    let Some(gpu) = gpu() else { return };
    let nccl = Nccl::join(Box::new(Alone), 0).unwrap();
    let numbers = with_generator(1, || Tensor::randn([1_000_003], (Kind::Float, Device::Cpu)));
    for kind in [Kind::Float, Kind::Double] {
        let given = numbers.to_kind(kind).to_device(gpu);
        let mut tensor = given.copy();
        nccl.sum(&mut tensor).unwrap();
        nccl.broadcast(&mut tensor).unwrap();
        assert!(tensor.equal(&given));
    }
}
