//! The forward pass: token numbers to one vector of length one.
//!
//! Written once; [`embed`] compiles it for each processor level. Matrix products run on bytes (weights per output,
//! activations per token, both found at run time), everything else in `f32`. All sums have a fixed order, so the
//! result does not depend on the level.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::cpu::Level;
use crate::{
    cpu::Cpu,
    kernel::{COLUMNS, Kernel, ROWS, Scalar, Tile},
    math,
    vector::DIMS,
    weights::{HEAD, HEADS, HIDDEN, INNER, Layer, Matrix, Norm, Weights},
};

#[cfg(target_arch = "aarch64")]
use crate::kernel::Neon;
#[cfg(target_arch = "x86_64")]
use crate::kernel::{Avx2, Avx512};

const TRIPLE: usize = 3 * HIDDEN;
/// Keys are padded to whole groups of this size.
const KEYS: usize = 32;
/// Number of queries that are processed at once.
const QUERIES: usize = 4;

/// A score that softmax turns into zero.
const NOTHING: f32 = -1e30;

/// Work memory of a forward pass, kept between passes.
#[derive(Default)]
pub(crate) struct Scratch {
    state: Vec<f32>,
    triple: Vec<f32>,
    mixed: Vec<f32>,
    inner: Vec<f32>,
    rows: Rows,
    head: Head,
}

impl Scratch {
    /// Returns the token states of the last pass.
    pub(crate) fn states(&self) -> &[f32] {
        &self.state
    }
}

/// Activations as bytes: `value = scale · (code − zero)`, by token.
#[derive(Default)]
struct Rows {
    codes: Vec<u8>,
    scale: Vec<f32>,
    zero: Vec<i32>,
}

/// One attention head: transposed keys, values, scores of four queries.
#[derive(Default)]
struct Head {
    keys: Vec<[f32; KEYS]>,
    values: Vec<[f32; HEAD]>,
    scores: Vec<f32>,
    /// Shares of each key, for four queries side by side.
    shares: Vec<f32>,
}

/// An observer: called with the number of each layer, from one, and the states of all tokens after it, one row each.
pub(crate) type Watch<'w> = dyn FnMut(usize, &[f32]) + 'w;

/// Returns the mean of all token states, scaled to length one.
pub(crate) fn embed(
    cpu: Cpu,
    weights: &Weights,
    tokens: &[u16],
    scratch: &mut Scratch,
    watch: &mut Watch<'_>,
) -> [f32; DIMS] {
    match cpu.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Cpu` is only made after its level was detected on this processor.
        Level::Avx512 => unsafe { embed_avx512(weights, tokens, scratch, watch) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { embed_avx2(weights, tokens, scratch, watch) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Level::Neon => unsafe { embed_neon(weights, tokens, scratch, watch) },
        _ => run::<Scalar>(weights, tokens, scratch, watch),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,popcnt")]
fn embed_avx512(
    weights: &Weights,
    tokens: &[u16],
    scratch: &mut Scratch,
    watch: &mut Watch<'_>,
) -> [f32; DIMS] {
    run::<Avx512>(weights, tokens, scratch, watch)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn embed_avx2(
    weights: &Weights,
    tokens: &[u16],
    scratch: &mut Scratch,
    watch: &mut Watch<'_>,
) -> [f32; DIMS] {
    run::<Avx2>(weights, tokens, scratch, watch)
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn embed_neon(
    weights: &Weights,
    tokens: &[u16],
    scratch: &mut Scratch,
    watch: &mut Watch<'_>,
) -> [f32; DIMS] {
    run::<Neon>(weights, tokens, scratch, watch)
}

/// Only called through [`embed`]: `K` is then a level of this processor.
#[inline(always)]
fn run<K: Kernel>(
    weights: &Weights,
    tokens: &[u16],
    scratch: &mut Scratch,
    watch: &mut Watch<'_>,
) -> [f32; DIMS] {
    let count = tokens.len().min(weights.positions);
    let Scratch { state, triple, mixed, inner, rows, head } = scratch;
    state.resize(count * HIDDEN, 0.0);
    mixed.resize(count * HIDDEN, 0.0);
    triple.resize(count * TRIPLE, 0.0);
    inner.resize(count * INNER, 0.0);
    for (position, (token, row)) in tokens.iter().zip(state.chunks_exact_mut(HIDDEN)).enumerate() {
        weights.embed(*token, position, row);
        math::normalise(row, &weights.first_norm.gain, &weights.first_norm.shift);
    }
    for (number, layer) in weights.layers.iter().enumerate() {
        let Layer { attend, join, join_norm, widen, narrow, narrow_norm } = layer;
        dense::<K, false>(rows.take(state, HIDDEN), attend, weights.codes(attend), triple);
        attention::<K>(triple, head, mixed);
        dense::<K, false>(rows.take(mixed, HIDDEN), join, weights.codes(join), triple);
        add(state, triple, join_norm);
        dense::<K, true>(rows.take(state, HIDDEN), widen, weights.codes(widen), inner);
        dense::<K, false>(rows.take(inner, INNER), narrow, weights.codes(narrow), mixed);
        add(state, mixed, narrow_norm);
        watch(number + 1, state);
    }
    pool(state)
}

impl Rows {
    /// Converts each row of `values` to bytes between its own smallest and largest value.
    #[inline(always)]
    fn take(&mut self, values: &[f32], width: usize) -> &Self {
        let count = values.len() / width;
        self.codes.resize(values.len(), 0);
        self.scale.resize(count, 0.0);
        self.zero.resize(count, 0);
        let facts = self.scale.iter_mut().zip(&mut self.zero);
        let rows = values.chunks_exact(width).zip(self.codes.chunks_exact_mut(width));
        for ((row, codes), (scale, zero)) in rows.zip(facts) {
            let (low, high) = math::range(row);
            let (low, high) = (low.min(0.0), high.max(0.0));
            let step = if high - low > 1e-12 { (high - low) / 255.0 } else { 1.0 };
            let inverse = 1.0 / step;
            // Clamped only because damaged weights may give values that are not numbers.
            (*scale, *zero) = (step, math::nearest(-low * inverse).clamp(0, 255));
            let zero = *zero;
            for (code, value) in codes.iter_mut().zip(row) {
                *code = (math::nearest(value * inverse) + zero).clamp(0, 255) as u8;
            }
        }
        self
    }
}

/// Computes `out = rows · matrix + bias`, followed by GELU if `BENT`, while the tile is in cache; in tiles, with the
/// tokens split evenly so that no tile is left with one row.
#[inline(always)]
fn dense<K: Kernel, const BENT: bool>(rows: &Rows, matrix: &Matrix, codes: &[u8], out: &mut [f32]) {
    let depth = matrix.inputs;
    // One for all tiles: the kernel writes every sum.
    let mut sums: Tile<ROWS> = [[0; COLUMNS]; ROWS];
    let count = rows.scale.len();
    let tiles = count.div_ceil(ROWS);
    for (at, block) in codes.chunks_exact(COLUMNS * depth).enumerate() {
        let columns = at * COLUMNS..(at + 1) * COLUMNS;
        for tile in 0..tiles {
            let (from, to) = (count * tile / tiles, count * (tile + 1) / tiles);
            let span = Span { matrix, columns: columns.clone(), from };
            match to - from {
                1 => part::<K, BENT, 1>(rows, block, span, sums.first_chunk_mut(), out),
                2 => part::<K, BENT, 2>(rows, block, span, sums.first_chunk_mut(), out),
                3 => part::<K, BENT, 3>(rows, block, span, sums.first_chunk_mut(), out),
                4 => part::<K, BENT, 4>(rows, block, span, sums.first_chunk_mut(), out),
                5 => part::<K, BENT, 5>(rows, block, span, sums.first_chunk_mut(), out),
                _ => part::<K, BENT, ROWS>(rows, block, span, sums.first_chunk_mut(), out),
            }
        }
    }
}

/// The part of a product that a tile covers.
struct Span<'a> {
    matrix: &'a Matrix,
    columns: std::ops::Range<usize>,
    from: usize,
}

#[inline(always)]
fn part<K: Kernel, const BENT: bool, const M: usize>(
    rows: &Rows,
    block: &[u8],
    span: Span<'_>,
    sums: Option<&mut Tile<M>>,
    out: &mut [f32],
) {
    let Span { matrix, columns, from } = span;
    let Some(sums) = sums else { return };
    let depth = matrix.inputs;
    let codes = rows.codes.get(from * depth..(from + M) * depth).unwrap_or_default();
    // SAFETY: `embed` calls `run::<K>` only with the kernel of a level that was detected.
    unsafe { K::tile::<M>(codes, block, depth, sums) };
    let scale = matrix.scale.get(columns.clone()).unwrap_or_default();
    let bias = matrix.bias.get(columns.clone()).unwrap_or_default();
    let totals = matrix.sums.get(columns.clone()).unwrap_or_default();
    // WHY: sliced here, not skipped: an iterator would walk over all preceding rows, in every tile.
    let out = out.get_mut(from * matrix.outputs..).unwrap_or_default();
    let steps = rows.scale.get(from..).unwrap_or_default();
    let zeros = rows.zero.get(from..).unwrap_or_default();
    let lines = out.chunks_exact_mut(matrix.outputs).zip(steps.iter().zip(zeros));
    for ((line, (step, zero)), sums) in lines.zip(sums.iter()) {
        let line = line.get_mut(columns.clone()).unwrap_or_default();
        let zero = zero - K::OFFSET;
        let facts = scale.iter().zip(bias).zip(totals);
        for ((out, sum), ((scale, bias), total)) in line.iter_mut().zip(sums).zip(facts) {
            let value = (sum - zero * total) as f32 * (step * scale) + bias;
            *out = if BENT { math::gelu(value) } else { value };
        }
    }
}

/// Computes attention of every token to every token, head by head.
#[inline(always)]
fn attention<K: Kernel>(triple: &[f32], head: &mut Head, out: &mut [f32]) {
    let count = triple.len() / TRIPLE;
    let groups = count.div_ceil(KEYS);
    head.keys.resize(groups * HEAD, [0.0; KEYS]);
    head.values.resize(count, [0.0; HEAD]);
    head.scores.resize(QUERIES * groups * KEYS, 0.0);
    head.shares.resize(QUERIES * count, 0.0);
    for at in 0..HEADS {
        let column = at * HEAD;
        let rows = triple.chunks_exact(TRIPLE).zip(head.values.iter_mut()).enumerate();
        for (token, (row, values)) in rows {
            let keys = row.get(HIDDEN + column..).unwrap_or_default();
            let group = head.keys.get_mut(token / KEYS * HEAD..).unwrap_or_default();
            for (lanes, key) in group.iter_mut().zip(keys).take(HEAD) {
                if let Some(lane) = lanes.get_mut(token % KEYS) {
                    *lane = *key;
                }
            }
            let from = row.get(2 * HIDDEN + column..).unwrap_or_default();
            for (value, from) in values.iter_mut().zip(from) {
                *value = *from;
            }
        }
        let quads = triple.chunks(QUERIES * TRIPLE).zip(out.chunks_mut(QUERIES * HIDDEN));
        for (queries, out) in quads {
            match queries.len() / TRIPLE {
                4 => look::<K, 4>(queries, out, column, head),
                3 => look::<K, 3>(queries, out, column, head),
                2 => look::<K, 2>(queries, out, column, head),
                _ => look::<K, 1>(queries, out, column, head),
            }
        }
    }
}

/// Processes one to four queries of one head.
#[inline(always)]
fn look<K: Kernel, const M: usize>(queries: &[f32], out: &mut [f32], column: usize, head: &mut Head) {
    let count = head.values.len();
    let width = count.div_ceil(KEYS) * KEYS;
    let scale = 1.0 / (HEAD as f32).sqrt();
    let mut query = [[0.0_f32; M]; HEAD];
    for (at, row) in queries.chunks_exact(TRIPLE).enumerate() {
        for (to, from) in query.iter_mut().zip(row.get(column..).unwrap_or_default()) {
            if let Some(to) = to.get_mut(at) {
                *to = from * scale;
            }
        }
    }
    let mut sums = [[0.0_f32; KEYS]; M];
    for (group, keys) in head.keys.chunks_exact(HEAD).enumerate() {
        // SAFETY: `embed` calls `run::<K>` only with the kernel of a level that was detected.
        unsafe { K::mix(&query, keys, &mut sums) };
        for (sums, scores) in sums.iter().zip(head.scores.chunks_exact_mut(width)) {
            if let Some(place) = scores.get_mut(group * KEYS..(group + 1) * KEYS) {
                place.copy_from_slice(sums);
            }
        }
    }
    // Weights are written transposed, for the second product; the factors that normalise them are applied after it.
    let mut scales = [0.0_f32; M];
    for (scores, scale) in head.scores.chunks_exact_mut(width).zip(&mut scales) {
        scores.iter_mut().skip(count).for_each(|score| *score = NOTHING);
        *scale = math::exponents(scores);
    }
    let shares = head.shares.as_chunks_mut::<M>().0;
    let mut rows = head.scores.chunks_exact(width);
    let rows: [&[f32]; M] = std::array::from_fn(|_| rows.next().unwrap_or_default());
    if rows.iter().all(|row| row.len() >= count) {
        for (at, to) in shares.iter_mut().take(count).enumerate() {
            *to = rows.map(|row| row.get(at).copied().unwrap_or_default());
        }
    }
    // SAFETY: as above.
    unsafe { K::mix(shares.get(..count).unwrap_or_default(), &head.values, &mut sums) };
    for ((mixed, scale), row) in sums.iter().zip(scales).zip(out.chunks_exact_mut(HIDDEN)) {
        if let Some(place) = row.get_mut(column..column + HEAD) {
            place.copy_from_slice(&mixed.map(|value| value * scale));
        }
    }
}

/// Adds the part to the state and normalises each row.
#[inline(always)]
fn add(state: &mut [f32], part: &[f32], norm: &Norm) {
    for (row, part) in state.chunks_exact_mut(HIDDEN).zip(part.chunks_exact(HIDDEN)) {
        for (value, part) in row.iter_mut().zip(part) {
            *value += part;
        }
        math::normalise(row, &norm.gain, &norm.shift);
    }
}

#[inline(always)]
fn pool(state: &[f32]) -> [f32; DIMS] {
    let mut mean = [0.0_f32; DIMS];
    for row in state.chunks_exact(HIDDEN) {
        for (sum, value) in mean.iter_mut().zip(row) {
            *sum += value;
        }
    }
    let mut squares = [0.0_f32; DIMS];
    for (square, value) in squares.iter_mut().zip(&mean) {
        *square = value * value;
    }
    let length = math::sum(&squares).sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    mean.map(|value| value * scale)
}
