//! Multi-head attention over sentences that lie one after the other without padding.

use std::ops::Range;

use tch::Tensor;

use super::dropout::Mask;
use super::element::{Element, by_kind, elements, elements_mut, empty};
use super::matrix::{Strides, multiply, padded};
use super::threads::{Disjoint, parallel};
use super::vector::{exp, lane_sum, largest, vectorised};

/// Who attends to whom.
#[derive(Clone, Copy)]
pub struct AttentionShape<'a> {
    /// Heads.
    pub heads: usize,
    /// Width of a head.
    pub head_width: usize,
    /// The rows of every sentence's queries.
    pub queries: &'a [Range<usize>],
    /// The rows of its keys and values.
    pub keys: &'a [Range<usize>],
    /// The most keys of a sentence: rows of the mask are counted in it.
    pub longest: usize,
    /// A query sees the keys up to its own position.
    pub causal: bool,
    /// Dropout of the probabilities.
    pub mask: Option<Mask>,
}

/// Queries, keys or values inside a wider matrix: all heads of a row begin at column `offset`.
pub struct Heads<'a> {
    /// `[N, stride]`.
    pub rows: &'a Tensor,
    /// The first column.
    pub offset: usize,
}

/// The same as plain elements.
#[derive(Clone, Copy)]
struct View<'a, E> {
    elements: &'a [E],
    stride: usize,
    offset: usize,
}

impl<'a> Heads<'a> {
    fn view<E: Element>(&self) -> View<'a, E> {
        View { elements: elements::<E>(self.rows), stride: self.rows.size()[1] as usize, offset: self.offset }
    }
}

/// Columns of a larger matrix that a kernel writes.
struct Output<'a, E> {
    elements: Disjoint<'a, E>,
    stride: usize,
    offset: usize,
}

/// Sentences whose scratch memory is shared.
const GROUP: usize = 4;

/// Run `work` for every head of every sentence, on all cores.
fn each_head(shape: &AttentionShape, work: impl Fn(usize, usize, &mut Scratch) + Sync) {
    let sentences = shape.queries.len();
    parallel(sentences.div_ceil(GROUP), |group| {
        let mut scratch = Scratch::default();
        for sentence in group * GROUP..((group + 1) * GROUP).min(sentences) {
            for head in 0..shape.heads {
                work(sentence, head, &mut scratch);
            }
        }
    });
}

/// The context of every query, `[N, heads · head_width]`: `softmax(q·kᵀ/√head_width)·v`.
pub fn attention(shape: &AttentionShape, query: &Heads, key: &Heads, value: &Heads) -> Tensor {
    by_kind!(query.rows, forward(shape, query, key, value))
}

fn forward<E: Element>(shape: &AttentionShape, query: &Heads, key: &Heads, value: &Heads) -> Tensor {
    let width = shape.heads * shape.head_width;
    let mut context = empty::<E>(&[query.rows.size()[0], width as i64]);
    let (query, key, value) = (query.view::<E>(), key.view::<E>(), value.view::<E>());
    let output = Output { elements: Disjoint::new(elements_mut::<E>(&mut context)), stride: width, offset: 0 };
    each_head(shape, |sentence, head, scratch| {
        forward_head::<E>(shape, sentence, head, query, key, value, &output, scratch);
    });
    context
}

/// The gradients of queries, keys and values, written to the columns that `d_query`, `d_key` and `d_value` name in
/// `d_queries` and `d_memory` (none: keys and values lie in the matrix of the queries).
#[allow(clippy::too_many_arguments)] // The forward pass's, and a gradient of each.
pub fn attention_backward(
    shape: &AttentionShape,
    query: &Heads,
    key: &Heads,
    value: &Heads,
    d_context: &Tensor,
    d_queries: &mut Tensor,
    d_memory: Option<&mut Tensor>,
) {
    by_kind!(query.rows, backward(shape, query, key, value, d_context, d_queries, d_memory));
}

fn backward<E: Element>(
    shape: &AttentionShape,
    query: &Heads,
    key: &Heads,
    value: &Heads,
    d_context: &Tensor,
    d_queries: &mut Tensor,
    d_memory: Option<&mut Tensor>,
) {
    let width = shape.heads * shape.head_width;
    let d_context = View { elements: elements::<E>(d_context), stride: width, offset: 0 };
    let (query, key, value) = (query.view::<E>(), key.view::<E>(), value.view::<E>());
    let d_queries = Disjoint::new(elements_mut::<E>(d_queries));
    let d_memory = d_memory.map(|memory| Disjoint::new(elements_mut::<E>(memory)));
    let output = |view: View<E>, elements| Output { elements, stride: view.stride, offset: view.offset };
    let d_memory = d_memory.as_ref().unwrap_or(&d_queries);
    let gradients = [output(query, d_queries.share()), output(key, d_memory.share()), output(value, d_memory.share())];
    each_head(shape, |sentence, head, scratch| {
        backward_head::<E>(shape, sentence, head, query, key, value, d_context, &gradients, scratch);
    });
}

/// Matrices of one head of one sentence, rows padded to whole vectors.
#[derive(Default)]
struct Scratch {
    /// `[T, w]`, scaled by 1/√w.
    query: Vec<f32>,
    /// `[S, w]`.
    key: Vec<f32>,
    /// `[S, w]`.
    value: Vec<f32>,
    /// `[w, S]`: keys, then values.
    transposed: Vec<f32>,
    /// `[T, S]`.
    probabilities: Vec<f32>,
    /// `[T, S]`: what is multiplied with the values.
    kept: Vec<f32>,
    /// `[T, S]`.
    d_scores: Vec<f32>,
    /// `[T, w]` of the context or its gradient.
    context: Vec<f32>,
    /// `[T or S, w]` of a gradient.
    gradient: Vec<f32>,
    /// `[S]`.
    multipliers: Vec<f32>,
}

/// One head's rows `rows` into `out`, `[rows, padded(w)]`.
#[inline(always)]
fn load<E: Element>(view: View<E>, rows: Range<usize>, head: usize, w: usize, scale: f32, out: &mut Vec<f32>) {
    let wide = padded(w);
    out.clear();
    out.resize(rows.len() * wide, 0.0);
    for (row, out) in rows.zip(out.chunks_exact_mut(wide)) {
        let start = row * view.stride + view.offset + head * w;
        for (out, value) in out.iter_mut().zip(&view.elements[start..start + w]) {
            *out = value.to_f32() * scale;
        }
    }
}

/// One head's rows `rows` from `from`, `[rows, padded(w)]`.
#[inline(always)]
fn store<E: Element>(output: &Output<E>, rows: Range<usize>, head: usize, w: usize, scale: f32, from: &[f32]) {
    for (row, from) in rows.zip(from.chunks_exact(padded(w))) {
        let start = row * output.stride + output.offset + head * w;
        // SAFETY: every (sentence, head) has rows and columns of its own.
        let out = unsafe { output.elements.range(start..start + w) };
        for (out, value) in out.iter_mut().zip(from) {
            *out = E::from_f32(value * scale);
        }
    }
}

/// `[rows, padded(columns)]` to `[columns, padded(rows)]`.
#[inline(always)]
fn transpose(rows: usize, columns: usize, from: &[f32], out: &mut Vec<f32>) {
    let (wide, tall) = (padded(columns), padded(rows));
    out.clear();
    out.resize(columns * tall, 0.0);
    for column in 0..columns {
        let out = &mut out[column * tall..column * tall + rows];
        for (row, out) in out.iter_mut().enumerate() {
            *out = from[row * wide + column];
        }
    }
}

/// Leaves the probabilities in `scratch.probabilities` and, after dropout, in `scratch.kept`; both `[T, padded(S)]`.
#[inline(always)]
fn attend<E: Element>(
    shape: &AttentionShape,
    sentence: usize,
    head: usize,
    query: View<E>,
    key: View<E>,
    scratch: &mut Scratch,
) {
    let w = shape.head_width;
    let queries = shape.queries[sentence].clone();
    let keys = shape.keys[sentence].clone();
    let (t, s) = (queries.len(), keys.len());
    let wide = padded(s);
    let first_row = queries.start * shape.heads + head * t;
    load(query, queries, head, w, (w as f32).powf(-0.5), &mut scratch.query);
    load(key, keys, head, w, 1.0, &mut scratch.key);
    transpose(s, w, &scratch.key, &mut scratch.transposed);
    scratch.probabilities.resize(t * wide, 0.0);
    multiply(
        t,
        w,
        wide,
        &scratch.query,
        Strides { row: padded(w), column: 1 },
        &scratch.transposed,
        &mut scratch.probabilities,
    );
    for (i, row) in scratch.probabilities.chunks_exact_mut(wide).take(t).enumerate() {
        let seen = if shape.causal { (i + 1).min(s) } else { s };
        let (line, hidden) = row.split_at_mut(seen);
        let top = largest(line);
        for value in line.iter_mut() {
            *value = exp(*value - top);
        }
        let share = 1.0 / lane_sum(seen, |j| line[j]);
        for value in line.iter_mut() {
            *value *= share;
        }
        hidden.fill(0.0);
    }
    scratch.kept.clear();
    scratch.kept.extend_from_slice(&scratch.probabilities[..t * wide]);
    if let Some(mask) = shape.mask {
        scratch.multipliers.clear();
        scratch.multipliers.resize(s, 1.0);
        for (i, row) in scratch.kept.chunks_exact_mut(wide).enumerate() {
            mask.fill(first_row + i, shape.longest, &mut scratch.multipliers);
            for (value, keep) in row.iter_mut().zip(&scratch.multipliers) {
                *value *= keep;
            }
        }
    }
}

vectorised! {
    fn forward_head<E>(
        shape: &AttentionShape, sentence: usize, head: usize, query: View<E>, key: View<E>, value: View<E>,
        context: &Output<E>, scratch: &mut Scratch,
    ) {
        attend(shape, sentence, head, query, key, scratch);
        let w = shape.head_width;
        let queries = shape.queries[sentence].clone();
        let keys = shape.keys[sentence].clone();
        let (t, s) = (queries.len(), keys.len());
        load(value, keys, head, w, 1.0, &mut scratch.value);
        scratch.context.resize(t * padded(w), 0.0);
        multiply(
            t, s, padded(w), &scratch.kept, Strides { row: padded(s), column: 1 }, &scratch.value,
            &mut scratch.context,
        );
        store(context, queries, head, w, 1.0, &scratch.context);
    }
}

vectorised! {
    fn backward_head<E>(
        shape: &AttentionShape, sentence: usize, head: usize, query: View<E>, key: View<E>, value: View<E>,
        d_context: View<E>, gradients: &[Output<E>; 3], scratch: &mut Scratch,
    ) {
        attend(shape, sentence, head, query, key, scratch);
        let w = shape.head_width;
        let queries = shape.queries[sentence].clone();
        let keys = shape.keys[sentence].clone();
        let (t, s, wide, deep) = (queries.len(), keys.len(), padded(keys.len()), padded(w));
        let [d_query, d_key, d_value] = gradients;
        load(d_context, queries.clone(), head, w, 1.0, &mut scratch.context);
        let transposed = Strides { row: 1, column: wide };

        // Values: kept probabilitiesᵀ · d_context.
        scratch.gradient.resize(s.max(t) * deep, 0.0);
        multiply(s, t, deep, &scratch.kept, transposed, &scratch.context, &mut scratch.gradient);
        store(d_value, keys.clone(), head, w, 1.0, &scratch.gradient[..s * deep]);

        // Probabilities: d_context · valuesᵀ, through dropout and softmax.
        load(value, keys.clone(), head, w, 1.0, &mut scratch.value);
        transpose(s, w, &scratch.value, &mut scratch.transposed);
        scratch.d_scores.resize(t * wide, 0.0);
        let rows = Strides { row: deep, column: 1 };
        multiply(t, w, wide, &scratch.context, rows, &scratch.transposed, &mut scratch.d_scores);
        for i in 0..t {
            let d_scores = &mut scratch.d_scores[i * wide..][..wide];
            let probabilities = &scratch.probabilities[i * wide..][..wide];
            let kept = &scratch.kept[i * wide..][..wide];
            // Σ p · (multiplier · d) = Σ kept · d.
            let along = lane_sum(wide, |j| kept[j] * d_scores[j]);
            for j in 0..wide {
                d_scores[j] = kept[j].mul_add(d_scores[j], -probabilities[j] * along);
            }
        }

        // Queries and keys.
        let scale = (w as f32).powf(-0.5);
        let scores = Strides { row: wide, column: 1 };
        multiply(t, s, deep, &scratch.d_scores, scores, &scratch.key, &mut scratch.gradient);
        store(d_query, queries, head, w, scale, &scratch.gradient[..t * deep]);
        // The query is scaled already.
        multiply(s, t, deep, &scratch.d_scores, transposed, &scratch.query, &mut scratch.gradient);
        store(d_key, keys, head, w, 1.0, &scratch.gradient[..s * deep]);
    }
}
