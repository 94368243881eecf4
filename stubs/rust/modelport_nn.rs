// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// Ops of the profile nn, neural networks (docs/format.md, section 6.3), for modelport.rs: paste it beside that file, write
// `mod modelport_nn;` as well, and hand them to it.
//
//     let model = Model::load_with(&bytes, &[&modelport_nn::OPS])?;
//     model.predict_tensor(Tensor::from(pixels).shaped(&[1, 3, 32, 32])?)?.get("scores");
//
// Sections: 1 Shapes, 2 Resize, 3 Products, 4 Pooling, 5 Norms, 6 Activations, 7 Recurrences, 8 Attention. As in modelport.rs, an op checks
// its attributes and the types of what it reads, and returns a step. Lengths are static here: named ones are known when a step is checked.

#![forbid(unsafe_code)]

use crate::modelport::{
    dot, erf, found, held, larger, product, round_all, rounded, sigmoid, smaller, softplus, Args, DType, Data, Error, Frame, Ops, Step, Type, ANY,
    COSTLY, FLOATS, INTEGERS, MOST_WHOLE, Offsets, Places,
};
use std::sync::Arc;

/// The table of ops of the profile nn, in the order of docs/format.md.
pub static OPS: Ops = Ops(&[
    ("reshape", |a| reshape(filled(a)?)), ("transpose", |a| transpose(filled(a)?)), ("slice", |a| slice(filled(a)?)),
    ("expand", |a| expand(filled(a)?)), ("positions", |a| positions(filled(a)?)), ("gather", |a| gather(filled(a)?)),
    ("embedding", |a| embedding(filled(a)?)), ("pad", |a| pad(filled(a)?)), ("resize", |a| resize(filled(a)?)),
    ("matmul", |a| matmul(filled(a)?)), ("conv", |a| conv(filled(a)?)), ("conv_transpose", |a| conv_transpose(filled(a)?)),
    ("pool", |a| pool(filled(a)?)), ("batch_norm", |a| batch_norm(filled(a)?)), ("layer_norm", |a| layer_norm(filled(a)?)),
    ("group_norm", |a| group_norm(filled(a)?)), ("activation", |a| activation(filled(a)?)), ("prelu", |a| prelu(filled(a)?)),
    ("lstm", |a| recurrence(filled(a)?, "lstm", 4, 2)), ("gru", |a| recurrence(filled(a)?, "gru", 3, 1)),
    ("rnn", |a| recurrence(filled(a)?, "rnn", 1, 1)), ("attention", |a| attention(filled(a)?)), ("cumsum", |a| cumsum(filled(a)?)),
]);

/// Accepts values of any rank, and refuses those without elements.
fn filled<'a, 'b>(a: &'a mut Args<'b>) -> Result<&'a mut Args<'b>, Error> {
    a.deep();
    if let Some(t) = a.types.iter().find(|t| t.width() == 0) {
        return a.refuse(format!("reads {}; all lengths are at least 1.", t));
    }
    Ok(a)
}

/// The row shape of a value, every length at least 1.
fn shaped(a: &Args<'_>, dtype: DType, lengths: Vec<usize>) -> Result<Type, Error> {
    if lengths.contains(&0) {
        return a.refuse(format!("gives {}{:?}; all lengths are at least 1.", dtype, lengths));
    }
    a.shaped(dtype, lengths)
}

/// An attribute that is a finite number; required when there is no default.
fn finite(a: &mut Args<'_>, key: &'static str, otherwise: Option<f64>) -> Result<f64, Error> {
    if otherwise.is_none() {
        a.attribute(key)?;
    }
    let value = a.number(key, otherwise.unwrap_or(0.0))?;
    if !value.is_finite() {
        return a.refuse(format!("has \"{}\" {:?}; it is finite.", key, value));
    }
    Ok(value)
}

/// Refuses a value whose rank is not within lowest..highest.
fn ranked(a: &Args<'_>, t: Type, lowest: usize, highest: usize) -> Result<Type, Error> {
    if t.rank() < lowest || t.rank() > highest {
        let to = if highest == lowest { String::new() } else if highest == MANY { " or more".to_string() } else { format!(" to {}", highest) };
        return a.refuse(format!("reads {}; rank {}{} is needed.", t, lowest, to));
    }
    Ok(t)
}

const MANY: usize = 1000;
const MOST: usize = i32::MAX as usize;

fn join<T: Clone>(parts: &[&[T]]) -> Vec<T> {
    parts.concat()
}

// ==== 1 Shapes =======================================================================================================

/// Moves elements: element k of a row of the value is element places[k] of the row read, or the fill where that is -1.
fn picks(a: &Args<'_>, ty: Type, axes: Vec<Offsets>, fill: Option<Data>) -> Result<Step, Error> {
    pick(a, ty, Places::new(a.guard, axes)?, fill)
}

fn pick(a: &Args<'_>, ty: Type, places: Places, fill: Option<Data>) -> Result<Step, Error> {
    a.step(ty, move |s, f| {
        let (x, places) = (s.input(f, 0), places.get());
        let (n, m) = (s.from[0].width(), places.len());
        Data::pick(f.rows * m, x, fill.as_ref().unwrap_or(x), |k| {
            let place = places[k % m];
            Ok(if place < 0 { -1 } else { (k / m * n) as isize + place })
        })
    })
}

/// A step whose value is what it reads, in another shape.
fn same(a: &Args<'_>, ty: Type) -> Result<Step, Error> {
    a.step(ty, |s, f| Ok(s.input(f, 0).clone()))
}

/// The lengths that "shape" gives, those of `like` where "copy" names one of its axes; -1 stays where it is allowed.
fn lengths(a: &mut Args<'_>, like: Option<&Type>, rest: bool) -> Result<Vec<i64>, Error> {
    let shape = a.ints("shape", None, if rest { -1 } else { 0 }, MOST as i64)?;
    let mut copy = None;
    if a.has("copy") {
        match like {
            None => return a.refuse("has \"copy\" without a second value.".to_string()),
            Some(like) => copy = Some(a.ints("copy", Some(shape.len()), -1, like.rank() as i64 - 1)?),
        }
    }
    if shape.len() > a.guard.limits.rank {
        return a.refuse(format!("has a \"shape\" of rank {}, more than the limit of {}.", shape.len(), a.guard.limits.rank));
    }
    let mut lengths = shape.clone();
    for k in 0..shape.len() {
        let axis = copy.as_ref().and_then(|copy| usize::try_from(copy[k]).ok());
        if axis.is_some() != (shape[k] == 0) {
            return a.refuse(format!("has the length {} in \"shape\" at position {}; it is 0 exactly where \"copy\" names an axis.", shape[k], k));
        }
        if let (Some(axis), Some(like)) = (axis, like) {
            lengths[k] = like.dims[axis] as i64;
        }
    }
    Ok(lengths)
}

/// reshape: the same elements in row-major order.
fn reshape(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.one(ANY)?;
    let lengths = lengths(a, Some(&x), true)?;
    let mut dims: Vec<usize> = lengths.iter().map(|&n| usize::try_from(n).unwrap_or(1)).collect();
    let open: Vec<usize> = (0..dims.len()).filter(|&k| lengths[k] < 0).collect();
    let known = product(&dims);
    if open.len() > 1 {
        return a.refuse("has -1 twice in \"shape\".".to_string());
    }
    if if open.is_empty() { x.width() != known } else { x.width() % known != 0 } {
        return a.refuse(format!("cannot give the elements of {} the shape {:?}.", x, lengths));
    }
    for k in open {
        dims[k] = x.width() / known;
    }
    let ty = shaped(a, x.dtype, dims)?;
    same(a, ty)
}

/// transpose: axis i of the result is axis perm[i] of the input.
fn transpose(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.one(ANY)?;
    let perm = axes(a, "perm", Some(x.rank()), &x)?;
    let ty = shaped(a, x.dtype, perm.iter().map(|&axis| x.dims[axis]).collect())?;
    picks(a, ty, perm.iter().map(|&axis| x.along(Some(axis), x.dims[axis])).collect(), None)
}

/// The axes that an attribute names, all different and within the rank.
fn axes(a: &mut Args<'_>, key: &'static str, length: Option<usize>, x: &Type) -> Result<Vec<usize>, Error> {
    let axes: Vec<usize> = a.ints(key, length, 0, x.rank() as i64 - 1)?.into_iter().map(|axis| axis as usize).collect();
    let mut seen = vec![false; x.rank()];
    for &axis in &axes {
        if seen[axis] {
            return a.refuse(format!("has the axis {} twice in \"{}\".", axis, key));
        }
        seen[axis] = true;
    }
    Ok(axes)
}

/// slice: start, start + step, .. before stop, along some axes.
fn slice(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = ranked(a, a.one(ANY)?, 1, MANY)?;
    let axes = axes(a, "axes", None, &x)?;
    let (starts, stops) = (a.integers("starts", 1)?, a.integers("stops", 1)?);
    let steps = if a.has("steps") { a.integers("steps", 1)?.data.i().to_vec() } else { vec![1; axes.len()] };
    a.expect("starts", starts.data.len(), Some(axes.len()))?;
    a.expect("stops", stops.data.len(), Some(axes.len()))?;
    a.expect("steps", steps.len(), Some(axes.len()))?;
    let mut ty = x.clone();
    let mut along: Vec<Offsets> = (0..x.rank()).map(|axis| x.along(Some(axis), x.dims[axis])).collect();
    for (k, &axis) in axes.iter().enumerate() {
        let n = x.dims[axis] as i64;
        let step = steps[k].clamp(-(MOST as i64), MOST as i64);
        let end = |given: i64| {
            let at = if given < 0 { given + n } else { given };
            if step > 0 { at.clamp(0, n) } else { at.clamp(-1, n - 1) }
        };
        let (start, stop) = (end(starts.data.i()[k]), end(stops.data.i()[k]));
        if step == 0 || (if step > 0 { start >= stop } else { start <= stop }) {
            let (from, to) = (starts.data.i()[k], stops.data.i()[k]);
            return a.refuse(format!("takes nothing of the axis {} of {}: from {} to {} in steps of {}.", axis, x, from, to, step));
        }
        let count = if step > 0 { (stop - start + step - 1) / step } else { (start - stop - step - 1) / -step };
        let stride = x.size(axis + 1, x.rank()) as isize;
        let step = if count > 1 { step as isize * stride } else { 0 };
        along[axis] = Offsets::Even { first: start as isize * stride, step, n: count as usize };
        ty.dims[axis] = count as usize;
    }
    let ty = shaped(a, x.dtype, ty.dims)?;
    picks(a, ty, along, None)
}

/// expand: broadcasts to given lengths.
fn expand(a: &mut Args<'_>) -> Result<Step, Error> {
    a.arity(1, 2)?;
    let x = a.types[0].clone();
    let like = a.types.get(1).cloned();
    let lengths = lengths(a, like.as_ref(), false)?;
    let wide = shaped(a, x.dtype, lengths.into_iter().map(|n| n as usize).collect())?;
    onto(a, &x, &wide)?;
    match x.spread(&wide, a.guard)? {
        Some(places) => pick(a, wide, places, None),
        None => same(a, wide),
    }
}

/// Refuses a shape that does not broadcast to another one as it is.
fn onto(a: &Args<'_>, x: &Type, wide: &Type) -> Result<(), Error> {
    let fits = |(n, wide): (&usize, &usize)| *n == 1 || n == wide;
    if x.rank() > wide.rank() || !x.dims.iter().rev().zip(wide.dims.iter().rev()).all(fits) {
        return a.refuse(format!("cannot broadcast {:?} to {:?}.", x.dims, wide.dims));
    }
    Ok(())
}

/// positions: 0, 1, 2, .. along an axis.
fn positions(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = ranked(a, a.one(ANY)?, 1, MANY)?;
    let axis = a.integer("axis", 0, x.rank() as i64 - 1)?;
    let ty = shaped(a, DType::I64, vec![x.dims[axis]])?;
    a.step(ty, |s, f| Ok(Data::integers((0..f.rows).flat_map(|_| 0..s.ty.width() as i64).collect())))
}

/// gather: elements by index along an axis; an index below 0 counts from the end.
fn gather(a: &mut Args<'_>) -> Result<Step, Error> {
    a.arity(2, 2)?;
    let x = ranked(a, a.types[0].clone(), 1, MANY)?;
    let index = a.input(1, INTEGERS)?;
    let axis = a.integer("axis", 0, x.rank() as i64 - 1)?;
    let (n, before, behind) = (x.dims[axis], x.size(0, axis), x.size(axis + 1, x.rank()));
    let ty = shaped(a, x.dtype, join(&[&x.dims[..axis], &index.dims, &x.dims[axis + 1..]]))?;
    a.step(ty, move |s, f| {
        let (given, count) = (s.input(f, 1).i(), index.width());
        let mut at = Vec::with_capacity(given.len());
        for (k, &place) in given.iter().enumerate() {
            if place < -(n as i64) || place >= n as i64 {
                return s.refuse(f, k / count, format!("the index {} lies outside the axis of length {}.", place, n));
            }
            at.push((if place < 0 { place + n as i64 } else { place }) as usize);
        }
        let at = &at;
        let stretches = (0..f.rows * before).flat_map(move |lane| {
            at[lane / before * count..][..count].iter().map(move |place| {
                let from = (lane * n + place) * behind;
                (0, from, from + behind)
            })
        });
        Ok(Data::join(&[s.input(f, 0)], stretches))
    })
}

/// embedding: rows of the weight by index.
fn embedding(a: &mut Args<'_>) -> Result<Step, Error> {
    a.dtype = a.floating("dtype")?;
    let x = a.one(INTEGERS)?;
    let table = a.tensor("weight", Some(a.dtype), 2, 2)?;
    let (m, w) = (table.shape()[0], table.shape()[1]);
    if m == 0 {
        return a.refuse("has a \"weight\" without rows.".to_string());
    }
    let ty = shaped(a, a.dtype, join(&[&x.dims, &[w]]))?;
    a.step(ty, move |s, f| {
        let index = s.input(f, 0).i();
        if let Some(k) = index.iter().position(|&i| i < 0 || i >= m as i64) {
            return s.refuse(f, k / x.width(), format!("the index {} lies outside the weight of {} rows.", index[k], m));
        }
        Ok(Data::join(&[&table.data], index.iter().map(|&i| (0, i as usize * w, (i as usize + 1) * w))))
    })
}

/// pad: elements before and behind every axis.
fn pad(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.one(&ANY[..ANY.len() - 1])?;
    let before = a.places("before", Some(x.rank()), 0, MOST)?;
    let after = a.places("after", Some(x.rank()), 0, MOST)?;
    let mode = a.choice_or("mode", &["constant", "reflect", "edge", "wrap"])?;
    let constant = mode == "constant";
    if a.has("value") && !constant {
        return a.refuse(format!("has a \"value\" beside the mode \"{}\", which puts in none.", mode));
    }
    let value = finite(a, "value", Some(0.0))?;
    let mut dims = Vec::new();
    for (k, &n) in x.dims.iter().enumerate() {
        let most = if mode == "reflect" { n - 1 } else if mode == "wrap" { n } else { MOST };
        if before[k].max(after[k]) > most {
            return a.refuse(format!("pads the axis {} of {} by more than {}, the most in mode \"{}\".", k, x, most, mode));
        }
        dims.push(before[k].saturating_add(n).saturating_add(after[k]));
    }
    let wide = shaped(a, x.dtype, dims)?;
    let offset = |k: usize, j: usize| {
        let (n, stride, at) = (x.dims[k] as isize, x.size(k + 1, x.rank()) as isize, j as isize - before[k] as isize);
        let inside = at >= 0 && at < n;
        match mode {
            _ if inside => at * stride,
            "constant" => -1,
            "edge" => at.clamp(0, n - 1) * stride,
            "wrap" => at.rem_euclid(n) * stride,
            _ if at < 0 => -at * stride,
            _ => (2 * (n - 1) - at) * stride,
        }
    };
    let along = (0..x.rank()).map(|k| Offsets::Given((0..wide.dims[k]).map(|j| offset(k, j)).collect())).collect();
    let fill = if constant { Some(filling(a, x.dtype, value)?) } else { None };
    picks(a, wide, along, fill)
}

/// One element of a dtype, cast from a number.
fn filling(a: &Args<'_>, dtype: DType, value: f64) -> Result<Data, Error> {
    if dtype.is_float() {
        return Ok(Data::floats(vec![rounded(value, dtype)]));
    }
    if dtype == DType::Bool {
        return Ok(Data::integers(vec![i64::from(value != 0.0)]));
    }
    let (low, high) = dtype.range();
    let above = if dtype == DType::I64 { 9223372036854775808.0 } else { high as f64 + 1.0 };
    if !(value.trunc() >= low as f64 && value.trunc() < above) {
        return a.refuse(format!("has \"value\" {:?}, which does not fit the dtype {}.", value, dtype));
    }
    Ok(Data::integers(vec![value.trunc() as i64]))
}

// ==== 2 Resize =======================================================================================================

/// One axis of a resize: which elements a result is made of, and how much of each.
struct Along {
    n: usize,
    m: usize,
    behind: usize,
    taps: usize,
    factor: f64,
    at: &'static str,
    round: &'static str,
    shape: f64,
}

/// Elements whose taps are found at a time, so that they take no memory.
const PLACED: usize = 128;

fn kernel_of_cubic(z: f64, a: f64) -> f64 {
    if z <= 1.0 {
        ((a + 2.0) * z - (a + 3.0)) * z * z + 1.0
    } else if z < 2.0 {
        ((a * z - 5.0 * a) * z + 8.0 * a) * z - 4.0 * a
    } else {
        0.0
    }
}

impl Along {
    /// What elements first.. of the result are made of, and how much of each.
    fn taps_of(&self, first: usize, count: usize) -> (Vec<usize>, Vec<f64>) {
        let (f, mut place, mut share) = (self.factor, Vec::with_capacity(count * self.taps), Vec::with_capacity(count * self.taps));
        let last = self.n as f64 - 1.0;
        let within = |index: f64| larger(0.0, smaller(index, last)) as usize;
        for o in first..first + count {
            let position = o as f64;
            let mut u = match self.at {
                "half_pixel" => (position + 0.5) / f - 0.5,
                "asymmetric" => position / f,
                _ if self.m == 1 => 0.0,
                _ => position * last / (self.m as f64 - 1.0),
            };
            if self.taps == 1 {
                place.push(within(match self.round {
                    "floor" => u.floor(),
                    "ceil" => u.ceil(),
                    "half_down" => (u - 0.5).ceil(),
                    _ => (u + 0.5).floor(),
                }));
                continue;
            }
            u = if self.taps == 2 { larger(0.0, smaller(u, last)) } else { u };
            let g = u.floor();
            let w = u - g;
            for q in 0..self.taps {
                let step = if self.taps == 2 { q as f64 } else { q as f64 - 1.0 };
                place.push(within(g + step));
                share.push(if self.taps == 4 { kernel_of_cubic((w - step).abs(), self.shape) } else if q == 0 { 1.0 - w } else { w });
            }
        }
        (place, share)
    }
    fn run(&self, x: &[f64]) -> Vec<f64> {
        let (behind, taps) = (self.behind, self.taps);
        let mut y = vec![0.0; x.len() / self.n * self.m];
        for first in (0..self.m).step_by(PLACED) {
            let count = PLACED.min(self.m - first);
            let (place, share) = self.taps_of(first, count);
            for b in 0..x.len() / (self.n * behind) {
                for o in 0..count {
                    let y = &mut y[(b * self.m + first + o) * behind..][..behind];
                    for q in o * taps..(o + 1) * taps {
                        let x = &x[(b * self.n + place[q]) * behind..][..behind];
                        if taps == 1 {
                            y.copy_from_slice(x);
                        } else {
                            add_scaled(y, x, share[q]);
                        }
                    }
                }
            }
        }
        y
    }
}

/// y += x * s, element by element.
fn add_scaled(y: &mut [f64], x: &[f64], s: f64) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += x * s);
}

/// resize: along some axes, one after the other; a result is a weighted sum of one, two or four elements.
fn resize(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.rounded()?;
    let mut ty = ranked(a, x, 1, MANY)?;
    let axes = axes(a, "axes", None, &ty)?;
    if axes.is_empty() || a.has("sizes") == a.has("scales") {
        return a.refuse("has no axes, or both or none of \"sizes\" and \"scales\".".to_string());
    }
    let sizes = if a.has("sizes") { Some(a.places("sizes", Some(axes.len()), 1, MOST)?) } else { None };
    let scales = a.optional("scales", DType::F64, Some(axes.len()))?;
    let name = a.choice("fn", &["nearest", "linear", "cubic"])?;
    let at = a.choice("at", &["half_pixel", "align_corners", "asymmetric"])?;
    let (nearest, cubic) = (name == "nearest", name == "cubic");
    if a.has("round") && !nearest || a.has("cubic") && !cubic {
        return a.refuse(format!("has \"round\" or \"cubic\", which \"{}\" does not use.", name));
    }
    let round = if nearest { a.choice_or("round", &["half_down", "floor", "ceil", "half_up"])? } else { "" };
    let shape = finite(a, "cubic", Some(-0.75))?;
    let mut along = Vec::new();
    for (k, &axis) in axes.iter().enumerate() {
        let n = ty.dims[axis];
        let scale = scales.as_ref().map(|scales| scales[k]);
        if scale.map_or(false, |scale| !(scale > 0.0 && scale <= f64::MAX)) {
            return a.refuse(format!("has the scale {:?}; it is positive and finite.", scale.unwrap_or(0.0)));
        }
        let m = match (&sizes, scale) {
            (Some(sizes), _) => sizes[k],
            (None, scale) => (n as f64 * scale.unwrap_or(1.0)).floor().min(MOST as f64) as usize,
        };
        ty = shaped(a, ty.dtype, ty.resized(axis, m).dims)?;
        a.work += 4.0 * ty.width() as f64;
        let taps = if nearest { 1 } else if cubic { 4 } else { 2 };
        let factor = scale.unwrap_or(m as f64 / n as f64);
        along.push(Along { n, m, behind: ty.size(axis + 1, ty.rank()), taps, factor, at, round, shape });
    }
    a.step(ty, move |s, f| {
        let x = s.floats(f, 0);
        let mut y = Vec::with_capacity(f.rows * s.ty.width());
        for row in x.chunks_exact(s.from[0].width()) {
            let mut row = row.to_vec(); // what lies between two axes may be larger than the result
            for axis in &along {
                row = axis.run(&row);
                round_all(&mut row, s.dtype);
            }
            y.extend(row);
        }
        Ok(Data::floats(y))
    })
}

// ==== 3 Products =====================================================================================================

/// A product of matrices in panels: sums[i][j] = sum over p of a[i][p] * b[p][j] in ascending p, in f64; a is m x k, its rows `stride`
/// apart, b is k x n. `fill` writes a stretch of the row p of b, from column j on; `take` takes such a stretch of the row i of sums. The
/// rows of b are written, four at a time, to arrays of their own, so that several columns are computed at once.
fn panels(
    a: &[f64], stride: usize, m: usize, k: usize, n: usize, mut fill: impl FnMut(usize, usize, &mut [f64]), mut take: impl FnMut(usize, usize, &[f64]),
) {
    const WIDTH: usize = 256;
    const HEIGHT: usize = 64;
    const DEPTH: usize = 4;
    let mut b = [[0.0; WIDTH]; DEPTH];
    let mut sums = vec![[0.0; WIDTH]; m.min(HEIGHT)];
    for j in (0..n).step_by(WIDTH) {
        let w = WIDTH.min(n - j);
        for i in (0..m).step_by(HEIGHT) {
            let h = HEIGHT.min(m - i);
            sums.iter_mut().for_each(|s| *s = [0.0; WIDTH]);
            for p in (0..k).step_by(DEPTH) {
                let depth = DEPTH.min(k - p);
                for (q, b) in b.iter_mut().enumerate().take(depth) {
                    fill(p + q, j, &mut b[..w]);
                }
                for (r, sums) in sums.iter_mut().enumerate().take(h) {
                    let (row, s) = (&a[(i + r) * stride + p..][..depth], &mut sums[..w]);
                    if let [a0, a1, a2, a3] = *row {
                        let (b0, b1, b2, b3) = (&b[0][..w], &b[1][..w], &b[2][..w], &b[3][..w]);
                        for c in 0..w {
                            s[c] = s[c] + a0 * b0[c] + a1 * b1[c] + a2 * b2[c] + a3 * b3[c];
                        }
                    } else {
                        row.iter().zip(&b).for_each(|(v, b)| add_scaled(s, &b[..w], *v));
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate().take(h) {
                take(i + r, j, &sums[..w]);
            }
        }
    }
}

/// Where panels begin to be worth it.
const FEW: usize = 48;

/// m rows of k elements each, `step` apart.
struct Matrix<'a>(&'a [f64], usize, usize);

/// y[i][j] += sum over p of x[i][p] * w[j][p], in ascending p, both with rows of k elements; `ly` is the distance of the rows of y.
fn multiply(x: Matrix<'_>, w: Matrix<'_>, k: usize, y: &mut [f64], ly: usize) {
    let (Matrix(x, lx, m), Matrix(w, lw, n)) = (x, w);
    if m >= FEW && n > 1 {
        let fill = |p: usize, first: usize, to: &mut [f64]| to.iter_mut().enumerate().for_each(|(q, to)| *to = x[(first + q) * lx + p]);
        let take = |i: usize, first: usize, sums: &[f64]| sums.iter().enumerate().for_each(|(q, sum)| y[(first + q) * ly + i] += sum);
        return panels(w, lw, n, k, m, fill, take);
    }
    for r in 0..m {
        let row = &x[r * lx..][..k];
        let mut c = 0;
        while c + 4 <= n {
            let (w0, w1, w2, w3) = (&w[c * lw..][..k], &w[(c + 1) * lw..][..k], &w[(c + 2) * lw..][..k], &w[(c + 3) * lw..][..k]);
            let mut s = [0.0; 4];
            for p in 0..k {
                let v = row[p];
                s = [s[0] + v * w0[p], s[1] + v * w1[p], s[2] + v * w2[p], s[3] + v * w3[p]];
            }
            y[r * ly + c..][..4].iter_mut().zip(s).for_each(|(y, s)| *y += s);
            c += 4;
        }
        for c in c..n {
            y[r * ly + c] += dot(row, &w[c * lw..][..k]);
        }
    }
}

/// y[i][j] += sum over p of x[i][p] * b[p][j]: m x k by k x n, both without gaps.
fn multiply_matrices(x: &[f64], m: usize, k: usize, b: &[f64], n: usize, y: &mut [f64]) {
    if n < FEW || m < 4 {
        let turned: Vec<f64> = (0..k * n).map(|q| b[q % k * n + q / k]).collect();
        return multiply(Matrix(x, k, m), Matrix(&turned, k, n), k, y, n);
    }
    let fill = |p: usize, j: usize, to: &mut [f64]| to.copy_from_slice(&b[p * n + j..][..to.len()]);
    panels(x, k, m, k, n, fill, |i, j, sums| y[i * n + j..][..sums.len()].iter_mut().zip(sums).for_each(|(y, s)| *y += s));
}

/// The lengths to which two shapes broadcast.
fn broadcast(a: &Args<'_>, x: &[usize], y: &[usize]) -> Result<Vec<usize>, Error> {
    let rank = x.len().max(y.len());
    let mut wide = Vec::new();
    for k in 0..rank {
        let length = |shape: &[usize]| (k + shape.len()).checked_sub(rank).map_or(1, |k| shape[k]);
        let (v, w) = (length(x), length(y));
        if v != w && v != 1 && w != 1 {
            return a.refuse(format!("joins {:?} and {:?}; the lengths of the axes before the last two must be equal, or 1.", x, y));
        }
        wide.push(if v == 1 { w } else { v });
    }
    Ok(wide)
}

/// The axes before the last two.
fn front(t: &Type) -> &[usize] {
    &t.dims[..t.rank() - 2]
}

/// The number of the matrix of x that stands at each place of the wide axes; None where it is the same.
fn spread(a: &Args<'_>, x: &Type, wide: &[usize]) -> Result<Option<Places>, Error> {
    Type::new(x.dtype, front(x).to_vec()).spread(&Type::new(x.dtype, wide.to_vec()), a.guard)
}

fn at(spread: &Option<Arc<Vec<isize>>>, b: usize) -> usize {
    spread.as_ref().map_or(b, |spread| spread[b] as usize)
}

/// matmul: matrices by matrices; the axes before the last two broadcast.
fn matmul(a: &mut Args<'_>) -> Result<Step, Error> {
    a.arity(2, 2)?;
    a.dtype = a.floating("dtype")?;
    let x = ranked(a, a.input(0, FLOATS)?, 2, MANY)?;
    let y = ranked(a, a.input(1, FLOATS)?, 2, MANY)?;
    let (m, k, n) = (x.dims[x.rank() - 2], x.last(), y.last());
    if y.dims[y.rank() - 2] != k {
        return a.refuse(format!("multiplies {} by {}; the last length of the first must be the second last of the second.", x, y));
    }
    let wide = broadcast(a, front(&x), front(&y))?;
    let ty = shaped(a, a.dtype, join(&[&wide, &[m, n]]))?;
    a.multiplies(&[ty.width(), k]);
    let (i, j) = (spread(a, &x, &wide)?, spread(a, &y, &wide)?);
    a.step(ty, move |s, f| {
        let (v, w, width) = (s.floats(f, 0), s.floats(f, 1), s.ty.width());
        let (i, j) = (found(&i), found(&j));
        let mut out = vec![0.0; f.rows * width];
        for (place, out) in out.chunks_exact_mut(m * n).enumerate() {
            let (r, b) = (place / (width / (m * n)), place % (width / (m * n)));
            let (v, w) = (&v[r * x.width() + at(&i, b) * m * k..][..m * k], &w[r * y.width() + at(&j, b) * k * n..][..k * n]);
            multiply_matrices(v, m, k, w, n, out);
        }
        round_all(&mut out, s.dtype);
        Ok(Data::floats(out))
    })
}

const MOST_OF_GRID: usize = 1 << 20; // of kernel sizes, strides, dilations and pads
const FARTHEST: i64 = 1 << 29; // so that no position overflows

/// How windows lie on the one to three axes behind the channels, which are taken as three: the first ones have length 1.
struct Grid {
    axes: usize,
    n: [i64; 3],
    kernel: [i64; 3],
    stride: [i64; 3],
    dilation: [i64; 3],
    before: [i64; 3],
    after: [i64; 3],
    out: [i64; 3],
    taps: usize,
    size: usize,
    positions: usize,
}

impl Grid {
    /// Reads what conv, conv_transpose and pool have in common.
    fn new(a: &mut Args<'_>, x: &Type, kernel: &[usize]) -> Result<Grid, Error> {
        let axes = x.rank() - 1;
        let three = |values: &[usize], otherwise: i64| {
            let mut all = [otherwise; 3];
            all[3 - axes..].iter_mut().zip(values).for_each(|(to, &v)| *to = v as i64);
            all
        };
        let mut given = |key: &'static str| if a.has(key) { a.places(key, Some(axes), 1, MOST_OF_GRID) } else { Ok(vec![1; axes]) };
        let (strides, dilations) = (given("strides")?, given("dilations")?);
        let pads = if a.has("pads") { a.places("pads", Some(2 * axes), 0, MOST_OF_GRID)? } else { vec![0; 2 * axes] };
        let g = Grid {
            axes, n: three(&x.dims[1..], 1), kernel: three(kernel, 1), stride: three(&strides, 1), dilation: three(&dilations, 1),
            before: three(&pads[..axes], 0), after: three(&pads[axes..], 0), out: [1; 3], taps: product(kernel), size: product(&x.dims[1..]), positions: 0,
        };
        if (0..3).any(|k| g.kernel[k] > MOST_OF_GRID as i64 || g.reach(k) > FARTHEST) {
            return a.refuse("has a kernel of more than 2^20 elements along an axis, or one that reaches over more than 2^29.".to_string());
        }
        Ok(g)
    }
    fn reach(&self, k: usize) -> i64 {
        (self.kernel[k] - 1) * self.dilation[k] + 1
    }
    /// The pads of "auto", and the lengths of the result; `ceil` rounds them up.
    fn windows(&mut self, a: &mut Args<'_>, ceil: bool) -> Result<(), Error> {
        let auto = a.choice_or("auto", &["none", "same_upper", "same_lower"])?;
        if a.has("pads") && auto != "none" {
            return a.refuse("has \"pads\" beside \"auto\".".to_string());
        }
        for k in 0..3 {
            let (n, step) = (self.n[k], self.stride[k]);
            if auto != "none" {
                let m = (n - 1) / step + 1;
                let total = ((m - 1) * step + self.reach(k) - n).max(0);
                self.before[k] = if auto == "same_upper" { total / 2 } else { total - total / 2 };
                self.after[k] = total - self.before[k];
                self.out[k] = m;
                continue;
            }
            let room = n + self.before[k] + self.after[k] - self.reach(k);
            let mut m = if ceil { -(-room).div_euclid(step) } else { room.div_euclid(step) } + 1;
            if ceil && (m - 1) * step >= n + self.before[k] {
                m -= 1;
            }
            if m < 1 {
                return a.refuse(format!("has a kernel that does not fit {}; at least one position is needed.", a.types[0]));
            }
            self.out[k] = m;
        }
        Ok(())
    }
    /// The row shape of the result, channels first.
    fn ty(&mut self, a: &Args<'_>, channels: usize) -> Result<Type, Error> {
        let lengths: Vec<usize> = self.out[3 - self.axes..].iter().map(|&n| n as usize).collect();
        let ty = shaped(a, a.dtype, join(&[&[channels], &lengths]))?;
        self.positions = ty.width() / channels;
        Ok(ty)
    }
    fn padded(&self) -> bool {
        self.before.iter().chain(&self.after).any(|&pad| pad > 0)
    }
    /// Where the tap t of axis k lies for position 0.
    fn offset(&self, k: usize, tap: usize) -> i64 {
        let (tap, behind) = (tap as i64, self.kernel[k + 1..].iter().product::<i64>());
        tap / behind % self.kernel[k] * self.dilation[k] - self.before[k]
    }
    /// The line of the input that a tap reads for a line of the result: where it begins; None outside.
    fn line(&self, tap: usize, line: usize) -> Option<i64> {
        let line = line as i64;
        let i0 = line / self.out[1] * self.stride[0] + self.offset(0, tap);
        let i1 = line % self.out[1] * self.stride[1] + self.offset(1, tap);
        if i0 < 0 || i0 >= self.n[0] || i1 < 0 || i1 >= self.n[1] { None } else { Some((i0 * self.n[1] + i1) * self.n[2]) }
    }
    /// Makes one long axis of an image whose every position reads itself only.
    fn flatten(&mut self) {
        if self.taps == 1 && !self.padded() && self.stride == [1; 3] && self.n == self.out {
            self.n = [1, 1, self.size as i64];
            self.out = self.n;
        }
    }
}

/// The first position o of 0..m for which o * step + offset is at least `low`.
fn first(offset: i64, step: i64, low: i64, m: i64) -> i64 {
    (low - offset + step - 1).div_euclid(step).clamp(0, m)
}

fn image(a: &mut Args<'_>) -> Result<Type, Error> {
    let x = a.rounded()?;
    ranked(a, x, 2, 4)
}

fn groups(a: &mut Args<'_>, channels: usize) -> Result<usize, Error> {
    let groups = if a.has("groups") { a.integer("groups", 1, channels as i64)? } else { 1 };
    if channels % groups != 0 {
        return a.refuse(format!("has {} groups for {} channels; they must divide.", groups, channels));
    }
    Ok(groups)
}

/// Adds to every channel its bias.
fn add_bias(y: &mut [f64], positions: usize, bias: &Option<Arc<Vec<f64>>>) {
    if let Some(bias) = bias {
        for (k, y) in y.chunks_exact_mut(positions).enumerate() {
            y.iter_mut().for_each(|y| *y += bias[k % bias.len()]);
        }
    }
}

/// conv: cross-correlation.
fn conv(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = image(a)?;
    let groups = groups(a, x.dims[0])?;
    let t = a.tensor("weight", Some(a.dtype), x.rank() + 1, x.rank() + 1)?;
    let channels = x.dims[0] / groups;
    let shape = t.shape();
    if shape[1] != channels || t.data.len() == 0 {
        return a.refuse(format!("has \"weight\" of shape {:?} for {}; {} channels are needed.", shape, x, channels));
    }
    let mut g = Grid::new(a, &x, &shape[2..])?;
    g.windows(a, false)?;
    if shape[0] % groups != 0 {
        return a.refuse(format!("has {} groups for {} channels of its result; they must divide.", groups, shape[0]));
    }
    let ty = g.ty(a, shape[0])?;
    g.flatten();
    a.multiplies(&[ty.width(), t.width()]);
    let bias = a.optional("bias", a.dtype, Some(shape[0]))?;
    let (outputs, weight) = (shape[0] / groups, held(&t));
    // Of weights that are not finite, a product with a zero outside would not be zero.
    let direct = outputs < 4 || g.padded() && !weight.iter().all(|w| w.is_finite());
    a.step(ty, move |s, f| {
        let x = s.floats(f, 0);
        let mut y = vec![0.0; f.rows * s.ty.width()];
        let (inputs, sums) = (groups * channels, channels * g.taps);
        for group in 0..groups {
            if direct {
                for r in 0..f.rows {
                    for c in group * outputs..(group + 1) * outputs {
                        let x = &x[(r * inputs + group * channels) * g.size..][..channels * g.size];
                        channel(&g, x, &weight[c * sums..][..sums], &mut y[(r * groups * outputs + c) * g.positions..][..g.positions]);
                    }
                }
                continue;
            }
            let fill = |p: usize, j: usize, to: &mut [f64]| window_row(&g, &x, inputs, group * channels + p / g.taps, p % g.taps, j, to);
            let take = |c: usize, j: usize, sums: &[f64]| {
                let mut k = 0;
                while k < sums.len() {
                    let (r, position) = ((j + k) / g.positions, (j + k) % g.positions);
                    let run = (sums.len() - k).min(g.positions - position);
                    y[(r * groups * outputs + group * outputs + c) * g.positions + position..][..run].copy_from_slice(&sums[k..k + run]);
                    k += run;
                }
            };
            panels(&weight[group * outputs * sums..], sums, outputs, sums, f.rows * g.positions, fill, take);
        }
        add_bias(&mut y, g.positions, &bias);
        round_all(&mut y, s.dtype);
        Ok(Data::floats(y))
    })
}

/// One channel of the result, tap by tap; x holds the input's channels.
fn channel(g: &Grid, x: &[f64], weight: &[f64], y: &mut [f64]) {
    let (w, step) = (g.out[2], g.stride[2]);
    for (p, &v) in weight.iter().enumerate() {
        let tap = p % g.taps;
        let at = g.offset(2, tap);
        let (low, high) = (first(at, step, 0, w), first(at, step, g.n[2], w));
        for (line, y) in y.chunks_exact_mut(w as usize).enumerate() {
            if let Some(begin) = g.line(tap, line) {
                let from = (p / g.taps * g.size) as i64 + begin + at;
                for o in low..high {
                    y[o as usize] += v * x[(from + o * step) as usize];
                }
            }
        }
    }
}

/// The windows as columns: row p is a tap of a channel, column j a position of a row of the batch.
fn window_row(g: &Grid, x: &[f64], channels: usize, channel: usize, tap: usize, j: usize, to: &mut [f64]) {
    let (w, step, at) = (g.out[2], g.stride[2], g.offset(2, tap));
    let (low, high) = (first(at, step, 0, w), first(at, step, g.n[2], w));
    let mut k = 0;
    while k < to.len() {
        let (r, position) = ((j + k) / g.positions, (j + k) % g.positions);
        let (line, o) = (position / w as usize, (position % w as usize) as i64);
        let run = (to.len() - k).min(w as usize - o as usize);
        let to = &mut to[k..k + run];
        k += run;
        to.fill(0.0);
        if let Some(begin) = g.line(tap, line) {
            let from = ((r * channels + channel) * g.size) as i64 + begin + at;
            let (begin, end) = (low.clamp(o, o + run as i64), high.clamp(o, o + run as i64));
            if begin >= end {
                continue;
            }
            let to = &mut to[(begin - o) as usize..(end - o) as usize];
            let x = &x[(from + begin * step) as usize..];
            if step == 1 {
                to.copy_from_slice(&x[..to.len()]);
            } else {
                to.iter_mut().zip(x.iter().step_by(step as usize)).for_each(|(to, x)| *to = *x);
            }
        }
    }
}

/// conv_transpose: the transposed map.
fn conv_transpose(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = image(a)?;
    let groups = groups(a, x.dims[0])?;
    let channels = x.dims[0] / groups;
    let t = a.tensor("weight", Some(a.dtype), x.rank() + 1, x.rank() + 1)?;
    let shape = t.shape();
    if shape[0] != x.dims[0] || t.data.len() == 0 {
        return a.refuse(format!("has \"weight\" of shape {:?} for {}; a row for each channel is needed.", shape, x));
    }
    let mut g = Grid::new(a, &x, &shape[2..])?;
    let (outputs, rows) = (shape[1], shape[1] * g.taps);
    let more = if a.has("output_padding") { a.ints("output_padding", Some(g.axes), 0, MOST as i64)? } else { vec![0; g.axes] };
    for (k, extra) in (3 - g.axes..3).zip(more) {
        let span = g.stride[k].saturating_mul(g.n[k] - 1);
        let length = span.saturating_add(extra).saturating_add(g.reach(k)) - g.before[k] - g.after[k];
        if extra >= g.stride[k].max(g.dilation[k]) || length < 1 || span > FARTHEST {
            return a.refuse(format!(
                "has \"output_padding\" that is not below the stride or the dilation, or pads that leave nothing of {}, or strides that reach \
                 beyond 2^29 elements.", x
            ));
        }
        g.out[k] = length;
    }
    if outputs.saturating_mul(groups) > a.guard.limits.row_elements {
        return a.refuse("has more channels in its result than a row may have elements.".to_string());
    }
    let ty = g.ty(a, outputs * groups)?;
    a.multiplies(&[x.width(), t.width()]);
    let bias = a.optional("bias", a.dtype, Some(outputs * groups))?;
    let given = held(&t);
    a.guard.take(given.len(), 8)?;
    let mut turned = vec![0.0; given.len()]; // [group, channel and tap of the result, channel]
    for (k, &v) in given.iter().enumerate() {
        let c = k / rows;
        turned[(c / channels * rows + k % rows) * channels + c % channels] = v;
    }
    a.step(ty, move |s, f| {
        let x = s.floats(f, 0);
        let mut y = vec![0.0; f.rows * s.ty.width()];
        for group in 0..groups {
            let fill = |p: usize, j: usize, to: &mut [f64]| {
                let mut k = 0;
                while k < to.len() {
                    let (r, position) = ((j + k) / g.size, (j + k) % g.size);
                    let run = (to.len() - k).min(g.size - position);
                    to[k..k + run].copy_from_slice(&x[(r * groups * channels + group * channels + p) * g.size + position..][..run]);
                    k += run;
                }
            };
            let take = |i: usize, j: usize, sums: &[f64]| {
                let n = g.n[2] as usize;
                let mut k = 0;
                while k < sums.len() {
                    let (r, position) = ((j + k) / g.size, (j + k) % g.size);
                    let run = (sums.len() - k).min(n - position % n);
                    let to = (r * groups * outputs + group * outputs + i / g.taps) * g.positions;
                    scatter(&g, i % g.taps, position / n, position % n, &sums[k..k + run], &mut y[to..to + g.positions]);
                    k += run;
                }
            };
            panels(&turned[group * rows * channels..], channels, rows, channels, f.rows * g.size, fill, take);
        }
        add_bias(&mut y, g.positions, &bias);
        round_all(&mut y, s.dtype);
        Ok(Data::floats(y))
    })
}

/// Adds a stretch of a line of the input, times a tap's weight, where it belongs in a channel of the result.
fn scatter(g: &Grid, tap: usize, line: usize, q: usize, sums: &[f64], y: &mut [f64]) {
    let line = line as i64;
    let o0 = line / g.n[1] * g.stride[0] + g.offset(0, tap);
    let o1 = line % g.n[1] * g.stride[1] + g.offset(1, tap);
    if o0 < 0 || o0 >= g.out[0] || o1 < 0 || o1 >= g.out[1] {
        return;
    }
    let (step, at, q, end) = (g.stride[2], g.offset(2, tap), q as i64, (q + sums.len()) as i64);
    let to = (o0 * g.out[1] + o1) * g.out[2] + at;
    for i in first(at, step, 0, end).max(q)..first(at, step, g.out[2], end).min(end) {
        y[(to + i * step) as usize] += sums[(i - q) as usize];
    }
}

// ==== 4 Pooling ======================================================================================================

/// pool: the largest or the mean of every window.
fn pool(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = image(a)?;
    let max = a.choice("fn", &["max", "mean"])? == "max";
    let size = a.places("size", Some(x.rank() - 1), 1, MOST_OF_GRID)?;
    let taps = product(&size);
    if taps > a.guard.limits.tensor_elements {
        return a.refuse("has windows of more elements than a tensor may have.".to_string());
    }
    let mut g = Grid::new(a, &x, &size)?;
    if (0..3).any(|k| g.before[k].max(g.after[k]) >= g.reach(k)) {
        return a.refuse("has \"pads\" that are not below the reach of its windows.".to_string());
    }
    let ceil = a.flag("ceil", false)?;
    g.windows(a, ceil)?;
    if max && a.has("count_pad") {
        return a.refuse("has \"count_pad\", which \"max\" does not use.".to_string());
    }
    let count_pad = a.flag("count_pad", false)?;
    let ty = g.ty(a, x.dims[0])?;
    a.multiplies(&[ty.width(), taps]);
    // Of every axis and position: where the first tap inside lies, how many taps are inside, and by how many a mean is divided.
    let mut spans: Vec<Vec<(i64, i64, i64)>> = Vec::new();
    for k in 0..3 {
        a.guard.take(g.out[k] as usize, 24)?;
        let mut axis = Vec::with_capacity(g.out[k] as usize);
        for o in 0..g.out[k] {
            let at = o * g.stride[k] - g.before[k];
            let (low, high) = (first(at, g.dilation[k], 0, g.kernel[k]), first(at, g.dilation[k], g.n[k], g.kernel[k]));
            let count = if count_pad { first(at, g.dilation[k], g.n[k] + g.after[k], g.kernel[k]) } else { high - low };
            if low >= high {
                let axis = (k + g.axes) as i64 - 2;
                return a.refuse(format!("has a window that holds no element of {}: position {} of axis {}.", x, o, axis));
            }
            axis.push((at + low * g.dilation[k], high - low, count));
        }
        spans.push(axis);
    }
    a.step(ty, move |s, f| {
        let x = s.floats(f, 0);
        let mut y = Vec::with_capacity(f.rows * s.ty.width());
        for image in x.chunks_exact(g.size) {
            for s0 in &spans[0] {
                for s1 in &spans[1] {
                    for s2 in &spans[2] {
                        y.push(window(&g, image, max, s0, s1, s2));
                    }
                }
            }
        }
        round_all(&mut y, s.dtype);
        Ok(Data::floats(y))
    })
}

type Span = (i64, i64, i64);

fn window(g: &Grid, x: &[f64], max: bool, s0: &Span, s1: &Span, s2: &Span) -> f64 {
    let mut sum = if max { f64::NEG_INFINITY } else { 0.0 };
    for t0 in 0..s0.1 {
        for t1 in 0..s1.1 {
            let line = ((s0.0 + t0 * g.dilation[0]) * g.n[1] + s1.0 + t1 * g.dilation[1]) * g.n[2] + s2.0;
            for &v in x[line as usize..].iter().step_by(g.dilation[2] as usize).take(s2.1 as usize) {
                if !max {
                    sum += v;
                } else if v.is_nan() {
                    return v;
                } else if v > sum {
                    sum = v;
                }
            }
        }
    }
    if max { sum } else { sum / (s0.2 as f64 * s1.2 as f64 * s2.2 as f64) }
}

// ==== 5 Norms ========================================================================================================

/// batch_norm: (x - mean) / sqrt(var + eps) * scale + bias, per channel.
fn batch_norm(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.rounded()?;
    let x = ranked(a, x, 1, MANY)?;
    let c = x.dims[0];
    let per = x.width() / c;
    let (mean, var) = (a.floats("mean", Some(c))?, a.floats("var", Some(c))?);
    let (scale, bias) = (a.optional("scale", a.dtype, Some(c))?, a.optional("bias", a.dtype, Some(c))?);
    let eps = finite(a, "eps", None)?;
    let root: Vec<f64> = var.iter().map(|v| (v + eps).sqrt()).collect();
    a.step(x, move |s, f| {
        let mut y = s.floats(f, 0).to_vec();
        for (k, y) in y.chunks_exact_mut(per).enumerate() {
            let j = k % c;
            affine(y, mean[j], root[j], scale.as_ref().map_or(1.0, |v| v[j]), bias.as_ref().map_or(0.0, |v| v[j]));
        }
        round_all(&mut y, s.dtype);
        Ok(Data::floats(y))
    })
}

fn affine(y: &mut [f64], mean: f64, root: f64, scale: f64, bias: f64) {
    y.iter_mut().for_each(|y| *y = (*y - mean) / root * scale + bias);
}

/// The mean m, or 0 without center, and sqrt(v + eps), v the mean of (x - m)^2.
fn moments(x: &[f64], center: bool, eps: f64) -> (f64, f64) {
    let n = x.len() as f64;
    let m = if center { x.iter().fold(0.0, |sum, v| sum + v) / n } else { 0.0 };
    (m, (x.iter().fold(0.0, |sum, v| sum + (v - m) * (v - m)) / n + eps).sqrt())
}

/// layer_norm: over the last axes.
fn layer_norm(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.rounded()?;
    let axes = if a.has("axes") { a.integer("axes", 1, MOST_WHOLE)? } else { 1 };
    let x = ranked(a, x, axes, MANY.max(axes))?;
    let over = x.dims[x.rank() - axes..].to_vec();
    let (scale, bias) = (shaped_like(a, "scale", &over)?, shaped_like(a, "bias", &over)?);
    let eps = finite(a, "eps", None)?;
    let center = a.flag("center", true)?;
    let w = product(&over);
    a.step(x, move |s, f| {
        let mut y = s.floats(f, 0).to_vec();
        for y in y.chunks_exact_mut(w) {
            let (m, root) = moments(y, center, eps);
            for (k, y) in y.iter_mut().enumerate() {
                let v = (*y - m) / root;
                let v = scale.as_ref().map_or(v, |scale| v * scale[k]);
                *y = bias.as_ref().map_or(v, |bias| v + bias[k]);
            }
        }
        round_all(&mut y, s.dtype);
        Ok(Data::floats(y))
    })
}

/// Floats of the step's dtype and of a shape; None when absent.
fn shaped_like(a: &mut Args<'_>, key: &'static str, shape: &[usize]) -> Result<Option<Arc<Vec<f64>>>, Error> {
    if !a.has(key) {
        return Ok(None);
    }
    let t = a.tensor(key, Some(a.dtype), shape.len(), shape.len())?;
    if t.shape() != shape {
        return a.refuse(format!("has \"{}\" of shape {:?}; {:?} is needed.", key, t.shape(), shape));
    }
    Ok(Some(held(&t)))
}

/// group_norm: over groups of neighbouring channels; scale and bias are per channel.
fn group_norm(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.rounded()?;
    let x = ranked(a, x, 1, MANY)?;
    let c = x.dims[0];
    let per = x.width() / c;
    a.attribute("groups")?;
    let w = x.width() / groups(a, c)?;
    let (scale, bias) = (a.optional("scale", a.dtype, Some(c))?, a.optional("bias", a.dtype, Some(c))?);
    let eps = finite(a, "eps", None)?;
    a.step(x, move |s, f| {
        let mut y = s.floats(f, 0).to_vec();
        for (k, y) in y.chunks_exact_mut(w).enumerate() {
            let (m, root) = moments(y, true, eps);
            for (q, y) in y.chunks_exact_mut(per).enumerate() {
                let j = (k * (w / per) + q) % c;
                affine(y, m, root, scale.as_ref().map_or(1.0, |v| v[j]), bias.as_ref().map_or(0.0, |v| v[j]));
            }
        }
        round_all(&mut y, s.dtype);
        Ok(Data::floats(y))
    })
}

// ==== 6 Activations ==================================================================================================

/// A function of an element, alpha and beta.
type Fn3 = fn(f64, f64, f64) -> f64;

/// The functions of activation, spelled as in the format, and the defaults of alpha and beta where they have them.
const ACTIVATIONS: &[&str] = &[
    "elu", "celu", "selu", "leaky_relu", "gelu", "gelu_tanh", "quick_gelu", "silu", "hard_sigmoid", "hard_swish", "softsign", "mish", "tanh_shrink",
    "hard_shrink", "soft_shrink", "threshold", "squareplus",
];
const RECURRENT: &[&str] =
    &["tanh", "sigmoid", "relu", "hard_sigmoid", "linear", "softsign", "silu", "elu", "selu", "softplus", "gelu"];

fn defaults(name: &str) -> (Option<f64>, Option<f64>) {
    match name {
        "elu" | "celu" => (Some(1.0), None),
        "leaky_relu" => (Some(0.01), None),
        "quick_gelu" => (Some(1.702), None),
        "hard_sigmoid" => (Some(1.0 / 6.0), Some(0.5)),
        "hard_shrink" | "soft_shrink" => (Some(0.5), None),
        "threshold" => (Some(0.0), Some(0.0)),
        "squareplus" => (Some(4.0), None),
        _ => (None, None),
    }
}

fn unit(v: f64) -> f64 {
    smaller(1.0, larger(0.0, v))
}

fn function(name: &str) -> Fn3 {
    match name {
        "elu" => |x, a, _| if x > 0.0 { x } else { a * x.exp_m1() },
        "celu" => |x, a, _| larger(x, 0.0) + smaller(0.0, a * (x / a).exp_m1()),
        "selu" => |x, _, _| 1.0507009873554805 * (if x > 0.0 { x } else { 1.6732632423543772 * x.exp_m1() }),
        "leaky_relu" => |x, a, _| if x >= 0.0 { x } else { a * x },
        "gelu" => |x, _, _| x / 2.0 * (1.0 + erf(x / 2f64.sqrt())),
        "gelu_tanh" => |x, _, _| x / 2.0 * (1.0 + (0.7978845608028654 * (x + 0.044715 * (x * x * x))).tanh()),
        "quick_gelu" => |x, a, _| x * sigmoid(a * x),
        "silu" => |x, _, _| x * sigmoid(x),
        "hard_sigmoid" => |x, a, b| unit(a * x + b),
        "hard_swish" => |x, _, _| x * unit(x / 6.0 + 0.5),
        "softsign" => |x, _, _| x / (1.0 + x.abs()),
        "mish" => |x, _, _| x * softplus(x).tanh(),
        "tanh_shrink" => |x, _, _| x - x.tanh(),
        "hard_shrink" => |x, a, _| if x.abs() > a { x } else { 0.0 },
        "soft_shrink" => |x, a, _| if x > a { x - a } else if x < -a { x + a } else { 0.0 },
        "threshold" => |x, a, b| if x > a { x } else { b },
        "squareplus" => |x, a, _| (x + (x * x + a).sqrt()) / 2.0,
        "tanh" => |x, _, _| x.tanh(),
        "sigmoid" => |x, _, _| sigmoid(x),
        "relu" => |x, _, _| if x > 0.0 { x } else { 0.0 },
        "linear" => |x, _, _| x,
        _ => |x, _, _| softplus(x),
    }
}

/// activation: a function, element by element.
fn activation(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.rounded()?;
    let name = a.choice("fn", ACTIVATIONS)?;
    let (alpha, beta) = defaults(name);
    if a.has("alpha") && alpha.is_none() || a.has("beta") && beta.is_none() {
        return a.refuse(format!("has \"alpha\" or \"beta\", which {} does not have.", name));
    }
    let alpha = finite(a, "alpha", Some(alpha.unwrap_or(0.0)))?;
    let beta = finite(a, "beta", Some(beta.unwrap_or(0.0)))?;
    if name == "celu" && alpha == 0.0 {
        return a.refuse("has \"alpha\" 0; celu divides by it.".to_string());
    }
    let of = function(name);
    a.multiplies(&[x.width(), COSTLY]);
    a.each(x, move |v| if v.is_nan() { v } else { of(v, alpha, beta) })
}

/// prelu: x >= 0 ? x : slope * x.
fn prelu(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.rounded()?;
    let t = a.tensor("slope", Some(a.dtype), 0, a.guard.limits.rank)?;
    let shape = Type::new(a.dtype, t.shape().to_vec());
    onto(a, &shape, &x)?;
    let (slope, places) = (held(&t), shape.spread(&x, a.guard)?);
    a.step(x, move |s, f| {
        let (width, places) = (s.ty.width(), found(&places));
        let of = |(k, &v): (usize, &f64)| rounded(if v >= 0.0 { v } else { slope[at(&places, k % width)] * v }, s.dtype);
        Ok(Data::floats(s.floats(f, 0).iter().enumerate().map(of).collect()))
    })
}

// ==== 7 Recurrences ==================================================================================================

/// lstm, gru and rnn: the state h (and c) of all rows of a block, time by time.
struct Recurrence {
    gates: usize,
    states: usize,
    t: usize,
    i: usize,
    u: usize,
    masked: bool,
    reverse: bool,
    zero_masked: bool,
    reset_after: bool,
    of: (Fn3, f64, f64),
    gate: (Fn3, f64, f64),
    sequence: bool,
    cell: bool,
    weight: Arc<Vec<f64>>,
    recurrent: Arc<Vec<f64>>,
    bias: Option<Arc<Vec<f64>>>,
    recurrent_bias: Option<Arc<Vec<f64>>>,
}

fn apply((of, alpha, beta): (Fn3, f64, f64), x: f64) -> f64 {
    if x.is_nan() { x } else { of(x, alpha, beta) }
}

fn recurrence(a: &mut Args<'_>, op: &str, gates: usize, most_states: usize) -> Result<Step, Error> {
    a.arity(1, 2 + most_states)?;
    a.dtype = a.floating("dtype")?;
    let x = ranked(a, a.input(0, FLOATS)?, 2, 2)?;
    let (t, i, n) = (x.dims[0], x.dims[1], a.types.len());
    let masked = n > 1 && a.types[n - 1].dtype == DType::Bool;
    let states = n - 1 - usize::from(masked);
    let (w, v) = (a.tensor("weight", Some(a.dtype), 2, 2)?, a.tensor("recurrent", Some(a.dtype), 2, 2)?);
    let (w_shape, v_shape) = (w.shape(), v.shape());
    let u = v_shape[1];
    if u < 1 || u > a.guard.limits.row_elements || w_shape != [gates * u, i] || v_shape[0] != w_shape[0] {
        return a.refuse(format!(
            "has \"weight\" of shape {:?} and \"recurrent\" of shape {:?} for {}; {} u rows, {} and u columns are needed.", w_shape, v_shape, x, gates, i
        ));
    }
    if states != 0 && states != most_states {
        return a.refuse(format!("reads {} values; the sequence, perhaps {} states, and perhaps a mask are needed.", n, most_states));
    }
    for k in 1..=states {
        if a.input(k, FLOATS)?.dims != [u] {
            return a.refuse(format!("reads the state {}; [{}] is needed.", a.types[k], u));
        }
    }
    if !masked && a.flag("zero_masked", false)? {
        return a.refuse("has \"zero_masked\" without a mask.".to_string());
    }
    if masked && a.types[n - 1].dims != [t] {
        return a.refuse(format!("reads the mask {}; [{}] is needed.", a.types[n - 1], t));
    }
    let (gru, lstm) = (op == "gru", op == "lstm");
    let bias = a.optional("bias", a.dtype, Some(gates * u))?;
    let recurrent_bias = if gru { a.optional("recurrent_bias", a.dtype, Some(gates * u))? } else { None };
    let reset_after = gru && a.flag("reset_after", false)?;
    let of = if a.has("fn") { a.choice("fn", RECURRENT)? } else { "tanh" };
    let gate = if gates > 1 && a.has("gate_fn") { a.choice("gate_fn", RECURRENT)? } else { "sigmoid" };
    let named = |name: &str| (function(name), defaults(name).0.unwrap_or(0.0), defaults(name).1.unwrap_or(0.0));
    let (reverse, zero_masked) = (a.flag("reverse", false)?, a.flag("zero_masked", false)?);
    let result = a.choice_or("result", if lstm { &["sequence", "last", "cell"] } else { &["sequence", "last"] })?;
    a.multiplies(&[t, w.data.len() + v.data.len() + 3 * COSTLY * gates * u]);
    let ty = shaped(a, a.dtype, if result == "sequence" { vec![t, u] } else { vec![u] })?;
    let q = Recurrence {
        gates, states, t, i, u, masked, reverse, zero_masked, reset_after, of: named(of), gate: named(gate), sequence: result == "sequence",
        cell: result == "cell", weight: held(&w), recurrent: held(&v), bias, recurrent_bias,
    };
    match op {
        "gru" => a.step(ty, move |s, f| Ok(q.run(s, f, true, false))),
        _ => a.step(ty, move |s, f| Ok(q.run(s, f, false, lstm))),
    }
}

impl Recurrence {
    fn run(&self, s: &Step, f: &Frame, gru: bool, lstm: bool) -> Data {
        let (t, u, wide) = (self.t, self.u, self.gates * self.u);
        let x = s.floats(f, 0);
        let mut h = if self.states > 0 { s.floats(f, 1).to_vec() } else { vec![0.0; f.rows * u] };
        let mut c = if self.states > 1 { s.floats(f, 2).to_vec() } else { vec![0.0; if lstm { f.rows * u } else { 0 }] };
        let (mut z, mut more) = (vec![0.0; f.rows * wide], vec![0.0; if gru { f.rows * wide } else { 0 }]);
        let mut y = vec![0.0; if self.sequence { f.rows * t * u } else { 0 }];
        let mask: &[i64] = if self.masked { s.input(f, s.from.len() - 1).i() } else { &[] };
        let counts = |r: usize, time: usize| mask.is_empty() || mask[r * t + time] != 0;
        for step in 0..t {
            let time = if self.reverse { t - 1 - step } else { step };
            start(&mut z, wide, &self.bias);
            if f.rows > 0 {
                multiply(Matrix(&x[time * self.i..], t * self.i, f.rows), Matrix(&self.weight, self.i, wide), self.i, &mut z, wide);
            }
            if gru {
                self.gru(f.rows, &z, &mut h, &mut more, |r| counts(r, time), s.dtype);
            } else {
                multiply(Matrix(&h, u, f.rows), Matrix(&self.recurrent, u, wide), u, &mut z, wide);
                for r in (0..f.rows).filter(|&r| counts(r, time)) {
                    let (z, h) = (&z[r * wide..][..wide], &mut h[r * u..][..u]);
                    for k in 0..u {
                        if !lstm {
                            h[k] = rounded(apply(self.of, z[k]), s.dtype);
                            continue;
                        }
                        let c = &mut c[r * u + k];
                        let next = apply(self.gate, z[u + k]) * *c + apply(self.gate, z[k]) * apply(self.of, z[2 * u + k]);
                        h[k] = rounded(apply(self.gate, z[3 * u + k]) * apply(self.of, next), s.dtype);
                        *c = rounded(next, s.dtype);
                    }
                }
            }
            for r in 0..f.rows {
                if self.sequence && (!self.zero_masked || counts(r, time)) {
                    y[(r * t + time) * u..][..u].copy_from_slice(&h[r * u..][..u]);
                }
            }
        }
        Data::floats(if self.sequence { y } else if self.cell { c } else { h })
    }
    /// All rows of gru: z holds weight x + bias; `more` gets what comes from h.
    fn gru(&self, rows: usize, z: &[f64], h: &mut [f64], more: &mut [f64], counts: impl Fn(usize) -> bool, dtype: DType) {
        let (u, wide) = (self.u, 3 * self.u);
        start(more, wide, &self.recurrent_bias);
        multiply(Matrix(h, u, rows), Matrix(&self.recurrent, u, if self.reset_after { wide } else { 2 * u }), u, more, wide);
        if !self.reset_after && rows > 0 {
            let reset = |k: usize| {
                let i = k / u * wide + u + k % u;
                apply(self.gate, z[i] + more[i]) * h[k]
            };
            let reset: Vec<f64> = (0..rows * u).map(reset).collect();
            multiply(Matrix(&reset, u, rows), Matrix(&self.recurrent[2 * u * u..], u, u), u, &mut more[2 * u..], wide);
        }
        for (k, h) in h.iter_mut().enumerate().filter(|(k, _)| counts(k / u)) {
            let i = k / u * wide + k % u;
            let update = apply(self.gate, z[i] + more[i]);
            let reset = if self.reset_after { apply(self.gate, z[i + u] + more[i + u]) } else { 1.0 };
            *h = rounded((1.0 - update) * apply(self.of, z[i + 2 * u] + reset * more[i + 2 * u]) + update * *h, dtype);
        }
    }
}

/// Fills the sums of every row with the bias, or with zeros.
fn start(z: &mut [f64], wide: usize, bias: &Option<Arc<Vec<f64>>>) {
    match bias {
        Some(bias) => z.chunks_exact_mut(wide).for_each(|z| z.copy_from_slice(bias)),
        None => z.fill(0.0),
    }
}

// ==== 8 Attention ====================================================================================================

/// attention: values weighted by the softmax of how queries and keys agree.
fn attention(a: &mut Args<'_>) -> Result<Step, Error> {
    a.arity(3, 4)?;
    a.dtype = a.floating("dtype")?;
    let q = ranked(a, a.input(0, FLOATS)?, 2, MANY)?;
    let k = ranked(a, a.input(1, FLOATS)?, 2, MANY)?;
    let v = ranked(a, a.input(2, FLOATS)?, 2, MANY)?;
    let (m, d, n, e) = (q.dims[q.rank() - 2], q.last(), k.dims[k.rank() - 2], v.last());
    if k.last() != d || v.dims[v.rank() - 2] != n {
        return a.refuse(format!("reads {}, {} and {}; [.., m, d], [.., n, d] and [.., n, e] are needed.", q, k, v));
    }
    let scale = finite(a, "scale", Some(1.0 / (d as f64).sqrt()))?;
    let causal = a.flag("causal", false)?;
    let wide = broadcast(a, &broadcast(a, front(&q), front(&k))?, front(&v))?;
    let ty = shaped(a, a.dtype, join(&[&wide, &[m, e]]))?;
    let scores = Type::new(a.dtype, join(&[&wide, &[m, n]]));
    let (i, j, l) = (spread(a, &q, &wide)?, spread(a, &k, &wide)?, spread(a, &v, &wide)?);
    a.multiplies(&[product(&wide), m, n, d.saturating_add(e).saturating_add(COSTLY)]);
    // Of bias: for every matrix where it begins, for every row of it where that begins, and how far its elements are apart.
    let mut bias = None;
    if a.types.len() == 4 {
        let b = a.input(3, FLOATS)?;
        onto(a, &b, &scores)?;
        let along = |axis: usize| b.along((axis + b.rank()).checked_sub(scores.rank()), scores.dims[axis]);
        let matrices = Places::new(a.guard, (0..wide.len()).map(along).collect())?;
        bias = Some((matrices, along(wide.len()), usize::from(b.rank() > 0 && b.last() > 1), b.width()));
    }
    let block = m.min(64.min((1 << 16) / n)).max(1);
    a.step(ty, move |s, f| {
        let (x, y, z) = (s.floats(f, 0), s.floats(f, 1), s.floats(f, 2));
        let given = if bias.is_some() { s.floats(f, 3) } else { Arc::default() };
        let (i, j, l) = (found(&i), found(&j), found(&l));
        let bias = bias.as_ref().map(|(matrices, rows, step, width)| (matrices.get(), rows, *step, *width));
        let mut out = vec![0.0; f.rows * s.ty.width()];
        let mut scores = vec![0.0; block * n];
        let lanes = s.ty.width() / (m * e);
        for (place, out) in out.chunks_exact_mut(m * e).enumerate() {
            let (r, p) = (place / lanes, place % lanes);
            let values = &z[r * v.width() + at(&l, p) * n * e..][..n * e];
            let keys = &y[r * k.width() + at(&j, p) * n * d..][..n * d];
            for first in (0..m).step_by(block) {
                let h = block.min(m - first);
                let counted = |row: usize| if causal { n.min(first + row + 1) } else { n };
                scores.fill(0.0);
                multiply(Matrix(&x[r * q.width() + (at(&i, p) * m + first) * d..], d, h), Matrix(keys, d, n), d, &mut scores, n);
                for (row, scores) in scores.chunks_exact_mut(n).enumerate().take(h) {
                    let scores = &mut scores[..counted(row)];
                    match &bias {
                        None => scores.iter_mut().for_each(|s| *s *= scale),
                        Some((matrices, rows, step, width)) => {
                            let b = &given[r * width + (matrices[p] + rows.at(first + row)) as usize..];
                            scores.iter_mut().enumerate().for_each(|(k, s)| *s = scale * *s + b[k * step]);
                        }
                    }
                    weights(scores);
                }
                let out = &mut out[first * e..(first + h) * e];
                if !causal || values.iter().all(|v| v.is_finite()) {
                    for (row, scores) in scores.chunks_exact_mut(n).enumerate().take(h) {
                        scores[counted(row)..].fill(0.0);
                    }
                    multiply_matrices(&scores, h, n, values, e, out);
                } else {
                    // without those that do not count, whatever they hold
                    for (row, out) in out.chunks_exact_mut(e).enumerate() {
                        (0..counted(row)).for_each(|key| add_scaled(out, &values[key * e..][..e], scores[row * n + key]));
                    }
                }
            }
        }
        round_all(&mut out, s.dtype);
        Ok(Data::floats(out))
    })
}

/// The softmax of scores.
fn weights(scores: &mut [f64]) {
    let max = scores.iter().fold(f64::NEG_INFINITY, |max, &s| larger(max, s));
    let mut sum = 0.0;
    for s in scores.iter_mut() {
        *s = (*s - max).exp();
        sum += *s;
    }
    scores.iter_mut().for_each(|s| *s /= sum);
}

/// cumsum: running sums along an axis.
fn cumsum(a: &mut Args<'_>) -> Result<Step, Error> {
    a.dtype = a.floating("dtype")?;
    let x = ranked(a, a.one(&[DType::F64, DType::F32, DType::I64])?, 1, MANY)?;
    let axis = a.integer("axis", 0, x.rank() as i64 - 1)?;
    let (n, behind) = (x.dims[axis], x.size(axis + 1, x.rank()));
    let (exclusive, reverse, whole) = (a.flag("exclusive", false)?, a.flag("reverse", false)?, x.dtype == DType::I64);
    // Where the s-th element of a lane lies.
    let place = move |lane: usize, s: usize| lane / behind * n * behind + lane % behind + (if reverse { n - 1 - s } else { s }) * behind;
    a.step(if whole { x } else { x.with(a.dtype) }, move |s, f| {
        let count = f.rows * s.ty.width();
        if whole {
            let x = s.input(f, 0).i();
            let mut out = vec![0; count];
            for lane in 0..count / n {
                let mut sum = 0i64;
                for k in (0..n).map(|s| place(lane, s)) {
                    let next = sum.wrapping_add(x[k]);
                    out[k] = if exclusive { sum } else { next };
                    sum = next;
                }
            }
            return Ok(Data::integers(out));
        }
        let x = s.floats(f, 0);
        let mut out = vec![0.0; count];
        for lane in 0..count / n {
            let mut sum = 0.0;
            for k in (0..n).map(|s| place(lane, s)) {
                let next = sum + x[k];
                out[k] = rounded(if exclusive { sum } else { next }, s.dtype);
                sum = next;
            }
        }
        Ok(Data::floats(out))
    })
}
