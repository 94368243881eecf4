// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// Ops of the profiles kernel, text and solver, and the rare ones of profile tabular (docs/format.md, section 6), for modelport.rs: paste it
// beside that file, write `mod modelport_more;` as well, and hand them to it.
//
//     let model = Model::load_with(&bytes, &[&modelport_more::OPS])?;
//
// Sections: 1 Kernel, 2 Text, 3 Solver, 4 Rare ops. As in modelport.rs, an op checks its attributes and the types of what it reads, and returns a step.

#![forbid(unsafe_code)]

use crate::modelport::{dot, held, larger, quote, round_all, rounded, sigmoid, Args, DType, Data, Error, Frame, Ops, Step, Type, COSTLY, FLOATS, MOST_WHOLE};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

/// The table of ops of the profiles kernel, text and solver, in the order of docs/format.md, and of rare ones of profile tabular.
pub static OPS: Ops = Ops(&[
    ("pairwise", pairwise), ("smallest", smallest), ("knn", knn), ("ovo_vote", ovo_vote), ("count_terms", count_terms), ("term_ids", term_ids),
    ("hash_terms", hash_terms), ("nmf", nmf), ("lda_topics", lda_topics), ("sparse_code", sparse_code), ("bucketize", bucketize),
    ("normalize", normalize), ("poly", poly), ("interp", interp), ("gaussian_ll", gaussian_ll),
]);

// ==== 1 Kernel =======================================================================================================

const METRICS: &[&str] = &[
    "dot", "sqeuclidean", "euclidean", "manhattan", "chebyshev", "minkowski", "cosine", "canberra", "braycurtis", "hamming", "nan_euclidean", "chi2",
    "additive_chi2", "rbf", "laplacian", "poly", "sigmoid",
];
const PANEL: usize = 64;

/// Adds to the sums of a panel of points what one column makes: v in the row, q in the points.
fn add(kind: &str, v: f64, q: &[f64], sums: &mut [f64], p: f64) {
    fn each(sums: &mut [f64], q: &[f64], of: impl Fn(f64) -> f64) {
        sums.iter_mut().zip(q).for_each(|(sum, &q)| *sum += of(q));
    }
    let squares = |q: f64| (v - q) * (v - q);
    match kind {
        "dot" | "cosine" | "poly" | "sigmoid" => each(sums, q, |q| v * q),
        "sqeuclidean" | "euclidean" | "rbf" => each(sums, q, squares),
        "manhattan" | "braycurtis" | "laplacian" => each(sums, q, |q| (v - q).abs()),
        "chebyshev" => sums.iter_mut().zip(q).for_each(|(sum, q)| *sum = larger(*sum, (v - q).abs())),
        "minkowski" => each(sums, q, |q| (v - q).abs().powf(p)),
        "canberra" => each(sums, q, |q| if v != 0.0 || q != 0.0 { (v - q).abs() / (v.abs() + q.abs()) } else { 0.0 }),
        "sums" => each(sums, q, |q| (v + q).abs()),
        "hamming" => each(sums, q, |q| if v != q { 1.0 } else { 0.0 }),
        "nan_euclidean" => each(sums, q, |q| if !v.is_nan() && !q.is_nan() { squares(q) } else { 0.0 }),
        "known" => each(sums, q, |q| if !v.is_nan() && !q.is_nan() { 1.0 } else { 0.0 }),
        _ => each(sums, q, |q| if v + q != 0.0 { squares(q) / (v + q) } else { 0.0 }),
    }
}

/// pairwise: a distance or kernel between the row and each stored point; f32 is computed in f64 and rounded.
fn pairwise(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.rounded()?;
    let (n, points) = a.matrix("points", &x)?;
    let metric = a.choice("metric", METRICS)?;
    let (gamma, coef0) = (a.number("gamma", 1.0)?, a.number("coef0", 0.0)?);
    let (degree, p) = (a.number("degree", 3.0)?, a.number("p", 2.0)?);
    if !(p > 0.0) {
        return a.refuse(format!("has \"p\" {:?}; it is positive.", p));
    }
    if metric != "nan_euclidean" && points.iter().any(|v| v.is_nan()) {
        return a.refuse("has NaN in \"points\"; only the metric nan_euclidean takes it.".to_string());
    }
    let w = x.width();
    let count = (n + PANEL - 1) / PANEL;
    a.guard.take((count * PANEL).saturating_mul(w), 8)?;
    a.guard.take(n, 8)?;
    // Column j of point k is at [k / PANEL][j][k % PANEL]: sums of a panel run side by side.
    let mut panels = vec![0.0; count * PANEL * w];
    let mut norms = vec![0.0; if metric == "cosine" { n } else { 0 }];
    for k in 0..n {
        let point = &points[k * w..][..w];
        if metric == "cosine" {
            norms[k] = dot(point, point).sqrt();
        }
        for (j, &v) in point.iter().enumerate() {
            panels[(k / PANEL * w + j) * PANEL + k % PANEL] = v;
        }
    }
    let second = match metric {
        "braycurtis" => Some("sums"),
        "nan_euclidean" => Some("known"),
        _ => None,
    };
    let width = w as f64;
    // The distance or kernel that a sum over the columns stands for; `other` is the second sum, or the product of the norms.
    let finish = move |sum: f64, other: f64| match metric {
        "euclidean" => sum.sqrt(),
        "minkowski" => sum.powf(1.0 / p),
        "cosine" => if other == 0.0 { 1.0 } else { 1.0 - sum / other },
        "braycurtis" => sum / other,
        "hamming" => sum / width,
        "nan_euclidean" => if other == 0.0 { f64::NAN } else { (width / other * sum).sqrt() },
        "additive_chi2" => -sum,
        "chi2" | "rbf" | "laplacian" => (-gamma * sum).exp(),
        "poly" => (gamma * sum + coef0).powf(degree),
        "sigmoid" => (gamma * sum + coef0).tanh(),
        _ => sum,
    };
    a.multiplies(&[n, (if metric == "minkowski" { COSTLY * w } else { w }) + COSTLY]);
    a.step(Type::row(a.dtype, n), move |s, f| {
        let x = s.floats(f, 0);
        let mut y = vec![0.0; f.rows * n];
        for panel in 0..count {
            for r in 0..f.rows {
                let (row, first) = (&x[r * w..][..w], panel * PANEL);
                let (mut sums, mut others) = ([0.0; PANEL], [0.0; PANEL]);
                for (j, &v) in row.iter().enumerate() {
                    let q = &panels[(panel * w + j) * PANEL..][..PANEL];
                    add(metric, v, q, &mut sums, p);
                    if let Some(kind) = second {
                        add(kind, v, q, &mut others, p);
                    }
                }
                let norm = if metric == "cosine" { dot(row, row).sqrt() } else { 0.0 };
                for k in first..n.min(first + PANEL) {
                    let other = if metric == "cosine" { norm * norms[k] } else { others[k - first] };
                    y[r * n + k] = finish(sums[k - first], other);
                }
            }
        }
        round_all(&mut y, s.dtype);
        Ok(Data::floats(y))
    })
}

/// The order of elements: NaN is larger than any number.
fn order(v: f64, w: f64) -> Ordering {
    v.partial_cmp(&w).unwrap_or_else(|| v.is_nan().cmp(&w.is_nan()))
}

/// The positions of the k smallest of a row, the smallest first, ties to the lowest; NaN is larger than any number.
fn nearest(x: &[f64], k: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..x.len()).collect();
    let by = |i: &usize, j: &usize| order(x[*i], x[*j]).then(i.cmp(j));
    if k < places.len() {
        places.select_nth_unstable_by(k, by);
        places.truncate(k);
    }
    places.sort_unstable_by(by);
    places
}

/// smallest: 1.0 at the k smallest elements, else 0.0.
fn smallest(a: &mut Args<'_>) -> Result<Step, Error> {
    let m = a.one(FLOATS)?.width();
    let k = a.integer("k", 1, m as i64)?;
    a.multiplies(&[m, 4 * COSTLY]);
    a.rows(Type::row(DType::F64, m), move |x, y| nearest(x, k).into_iter().for_each(|j| y[j] = 1.0))
}

/// knn: the weighted mean of the targets of the k smallest distances, or their class weights.
fn knn(a: &mut Args<'_>) -> Result<Step, Error> {
    let m = a.one(&[DType::F64])?.width();
    let k = a.integer("k", 1, m as i64)?;
    let classes = if a.has("classes") { a.integer("classes", 1, a.guard.limits.row_elements as i64)? } else { 0 };
    let by_distance = a.choice("weights", &["uniform", "distance"])? == "distance";
    let class_of = if classes > 0 { a.places("targets", Some(m), 0, classes - 1)? } else { Vec::new() };
    let mut targets = Arc::default();
    let mut width = classes;
    if classes == 0 {
        let t = a.tensor("targets", Some(DType::F64), 2, 2)?;
        a.expect("targets", t.rows(), Some(m))?;
        width = t.width();
        targets = held(&t);
    }
    a.multiplies(&[m, k + COSTLY]);
    a.rows(Type::row(DType::F64, width), move |d, y| {
        let near = nearest(d, k);
        let zero = near.iter().any(|&j| d[j] == 0.0);
        let mut sum = 0.0;
        for j in near {
            let weight = if !by_distance { 1.0 } else if !zero { 1.0 / d[j] } else if d[j] == 0.0 { 1.0 } else { 0.0 };
            sum += weight;
            if classes > 0 {
                y[class_of[j]] += weight;
            } else {
                y.iter_mut().zip(&targets[j * width..]).for_each(|(y, t)| *y += weight * t);
            }
        }
        y.iter_mut().for_each(|y| *y /= sum);
    })
}

/// ovo_vote: votes, their one-vs-rest shape, or coupled probabilities, from one decision per pair of classes (i, j), i < j.
fn ovo_vote(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.rounded()?;
    let c = a.integer("classes", 2, i64::try_from(a.guard.limits.tensor_elements).unwrap_or(i64::MAX))?;
    let mode = a.choice("mode", &["votes", "ovr", "coupling"])?;
    let pairs = c.saturating_mul(c - 1) / 2;
    if pairs != x.width() {
        return a.refuse(format!("reads {}; {} classes have {} pairs.", x, c, pairs));
    }
    let coupling = mode == "coupling";
    let (mut prob_a, mut prob_b) = (Arc::default(), Arc::default());
    if coupling {
        a.guard.take(c.saturating_mul(c), 8)?;
        prob_a = a.floats("prob_a", Some(pairs))?;
        prob_b = a.floats("prob_b", Some(pairs))?;
        a.multiplies(&[c, c, c.max(100)]);
    }
    a.rows(Type::row(a.dtype, c), move |d, y| {
        let all = (0..c).flat_map(|i| (i + 1..c).map(move |j| (i, j))).enumerate();
        if coupling {
            let mut r = vec![0.0; c * c]; // how probable i is among i and j
            for (pair, (i, j)) in all {
                let v = sigmoid(-(prob_a[pair] * d[pair] + prob_b[pair]));
                let v = if v < 1e-7 { 1e-7 } else if v > 1.0 - 1e-7 { 1.0 - 1e-7 } else { v };
                r[i * c + j] = v;
                r[j * c + i] = 1.0 - v;
            }
            y.copy_from_slice(&coupled(r, c));
            return;
        }
        let votes = mode == "votes";
        let mut sums = vec![0.0; c];
        for (pair, (i, j)) in all {
            let first = if votes { d[pair] > 0.0 } else { !(d[pair] < 0.0) };
            y[if first { i } else { j }] += 1.0;
            sums[i] += d[pair];
            sums[j] -= d[pair];
        }
        if !votes {
            y.iter_mut().zip(sums).for_each(|(y, s)| *y += s / (3.0 * (s.abs() + 1.0)));
        }
    })
}

/// Pairwise coupling of Wu, Lin and Weng (2004) as libsvm iterates it; r becomes their Q.
fn coupled(mut r: Vec<f64>, c: usize) -> Vec<f64> {
    if c == 2 {
        return vec![r[1], r[2]];
    }
    for t in 0..c {
        r[t * c + t] = (0..c).filter(|&j| j != t).fold(0.0, |sum, j| sum + r[j * c + t] * r[j * c + t]);
    }
    for t in 0..c {
        for j in t + 1..c {
            let q = -r[j * c + t] * r[t * c + j];
            r[t * c + j] = q;
            r[j * c + t] = q;
        }
    }
    let mut p = vec![1.0 / c as f64; c];
    for _ in 0..c.max(100) {
        let mut qp: Vec<f64> = r.chunks_exact(c).map(|row| dot(row, &p)).collect();
        let mut pqp = dot(&p, &qp);
        let error = qp.iter().fold(0.0, |error, q| larger(error, (q - pqp).abs()));
        if !(error >= 0.005 / c as f64) {
            break;
        }
        for t in 0..c {
            let own = r[t * c + t];
            let diff = (pqp - qp[t]) / own;
            p[t] += diff;
            pqp = (pqp + diff * (diff * own + 2.0 * qp[t])) / (1.0 + diff) / (1.0 + diff);
            for j in 0..c {
                qp[j] = (qp[j] + diff * r[t * c + j]) / (1.0 + diff);
                p[j] /= 1.0 + diff;
            }
        }
    }
    p
}

// ==== 2 Text =========================================================================================================

const LAST_POINT: i64 = 0x10ffff;
const MOST_UNITS: i64 = 64;
const SPACE: char = ' ';
const HANGUL: u32 = 0xac00;
const LAST_HANGUL: u32 = 0xd7a3;

/// MurmurHash3 x86 32-bit, seed 0 (Austin Appleby).
fn hash(bytes: &[u8]) -> i32 {
    let scramble = |k: u32| k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let word = |b: &[u8]| b.iter().rev().fold(0u32, |word, &byte| word << 8 | u32::from(byte));
    let chunks = bytes.chunks_exact(4);
    let rest = chunks.remainder();
    let mut h = 0u32;
    for chunk in chunks {
        h = (h ^ scramble(word(chunk))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    h ^= scramble(word(rest)) ^ bytes.len() as u32;
    h = (h ^ h >> 16).wrapping_mul(0x85eb_ca6b);
    h = (h ^ h >> 13).wrapping_mul(0xc2b2_ae35);
    (h ^ h >> 16) as i32
}

/// Strings by their place.
struct Dictionary(HashMap<Arc<str>, usize>, usize);

impl Dictionary {
    fn new(a: &mut Args<'_>, key: &'static str, different: bool) -> Result<Dictionary, Error> {
        let given = texts(a, key)?;
        a.guard.take(given.len(), 120)?;
        let mut places = HashMap::with_capacity(given.len());
        for (k, s) in given.iter().enumerate() {
            if places.insert(s.clone(), k).is_some() && different {
                return a.refuse(format!("has the same string twice in {}; they are all different.", quote(key)));
            }
        }
        Ok(Dictionary(places, given.len()))
    }
    fn find(&self, term: &str) -> Option<usize> {
        self.0.get(term).copied()
    }
}

/// Strings of rank 1, none of them null.
fn texts(a: &mut Args<'_>, key: &'static str) -> Result<Vec<Arc<str>>, Error> {
    let t = a.tensor(key, Some(DType::Str), 1, 1)?;
    a.guard.take(t.data.len(), 16)?;
    match t.data.s().iter().cloned().collect() {
        Some(strings) => Ok(strings),
        None => a.refuse(format!("has null in {}; a string is needed.", quote(key))),
    }
}

/// A set of code points: ranges lo, hi.
struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    fn new(a: &mut Args<'_>, key: &'static str) -> Result<Ranges, Error> {
        let all = a.ints(key, None, 0, LAST_POINT)?;
        let pairs: Vec<(u32, u32)> = all.chunks_exact(2).map(|pair| (pair[0] as u32, pair[1] as u32)).collect();
        let good = all.len() % 2 == 0 && pairs.iter().all(|(lo, hi)| lo <= hi) && pairs.windows(2).all(|two| two[0].1 < two[1].0);
        if !good {
            return a.refuse(format!("has {} that is not made of ascending ranges lo, hi.", quote(key)));
        }
        Ok(Ranges(pairs))
    }
    fn has(&self, c: char) -> bool {
        let point = u32::from(c);
        let below = self.0.partition_point(|&(lo, _)| lo <= point);
        below > 0 && point <= self.0[below - 1].1
    }
}

/// What becomes of the code points of a text before terms are found.
struct Folding {
    from: Vec<i64>, // ascending
    to: Vec<Arc<str>>,
    hangul: bool,
    ascii: bool,
    sigma: Option<(Ranges, Ranges)>, // what is cased, and what is case-ignorable
    limit: usize,
}

impl Folding {
    fn new(a: &mut Args<'_>) -> Result<Folding, Error> {
        let (table, sigma) = (both(a, "fold_from", "fold_to")?, both(a, "cased", "case_ignorable")?);
        let from = if table { a.ints("fold_from", None, 0, LAST_POINT)? } else { Vec::new() };
        let to = if table { texts(a, "fold_to")? } else { Vec::new() };
        a.expect("fold_to", to.len(), Some(from.len()))?;
        if let Some(k) = from.windows(2).position(|two| two[1] <= two[0]) {
            return a.refuse(format!("has \"fold_from\" that does not ascend at position {}.", k + 1));
        }
        let (hangul, ascii) = (a.flag("hangul", false)?, a.flag("ascii", false)?);
        let sigma = if sigma { Some((Ranges::new(a, "cased")?, Ranges::new(a, "case_ignorable")?)) } else { None };
        if ascii && (hangul || sigma.is_some()) {
            return a.refuse("has \"ascii\" beside \"hangul\" or \"cased\"; they do not go together.".to_string());
        }
        Ok(Folding { from, to, hangul, ascii, sigma, limit: a.guard.limits.tensor_elements })
    }
    /// The folded text; None if it grows beyond the limit of a tensor.
    fn fold(&self, text: &str) -> Option<Vec<char>> {
        let points: Vec<char> = text.chars().collect();
        if self.from.is_empty() && !self.hangul && !self.ascii && self.sigma.is_none() {
            return Some(points);
        }
        let behind = self.sigma.as_ref().map_or(Vec::new(), |sigma| marks(sigma, points.iter().rev()));
        let before = self.sigma.as_ref().map_or(Vec::new(), |sigma| marks(sigma, points.iter()));
        let mut folded = Vec::with_capacity(points.len());
        for (i, &c) in points.iter().enumerate() {
            let point = u32::from(c);
            if c == '\u{3a3}' && self.sigma.is_some() {
                folded.push(if before[i] && !behind[points.len() - 1 - i] { '\u{3c2}' } else { '\u{3c3}' });
            } else if let Ok(k) = self.from.binary_search(&i64::from(point)) {
                folded.extend(self.to[k].chars());
            } else if self.hangul && (HANGUL..=LAST_HANGUL).contains(&point) {
                let s = point - HANGUL;
                folded.extend(char::from_u32(0x1100 + s / 588));
                folded.extend(char::from_u32(0x1161 + s % 588 / 28));
                if s % 28 > 0 {
                    folded.extend(char::from_u32(0x11a7 + s % 28));
                }
            } else if !self.ascii || point < 128 {
                folded.push(c);
            }
            if folded.len() > self.limit {
                return None;
            }
        }
        Some(folded)
    }
}

/// For every code point, in the order they come, whether the last one before it that is not case-ignorable is cased.
fn marks<'a>((cased, ignorable): &(Ranges, Ranges), points: impl Iterator<Item = &'a char>) -> Vec<bool> {
    let mut last = false;
    points
        .map(|&c| {
            let mark = last;
            if !ignorable.has(c) {
                last = cased.has(c);
            }
            mark
        })
        .collect()
}

/// Whether two attributes are there; refuses one without the other.
fn both(a: &Args<'_>, one: &str, other: &str) -> Result<bool, Error> {
    if a.has(one) != a.has(other) {
        return a.refuse(format!("has only one of \"{}\" and \"{}\".", one, other));
    }
    Ok(a.has(one))
}

/// The columns in which terms are counted: those of a vocabulary, or of their hashes.
struct Counting {
    size: usize,
    vocabulary: Option<Dictionary>,
    alternate: bool,
}

impl Counting {
    fn new(a: &mut Args<'_>, by_hash: bool) -> Result<Counting, Error> {
        if !by_hash {
            let vocabulary = Dictionary::new(a, "vocabulary", true)?;
            return Ok(Counting { size: vocabulary.1, vocabulary: Some(vocabulary), alternate: false });
        }
        let size = a.integer("size", 1, i64::try_from(a.guard.limits.tensor_elements).unwrap_or(i64::MAX))?;
        Ok(Counting { size, vocabulary: None, alternate: a.flag("alternate", true)? })
    }
    /// Adds `value`, or sets 1.0 (binary), in the column of a term.
    fn add(&self, term: &str, value: f64, binary: bool, y: &mut [f64]) {
        let (column, sign) = match &self.vocabulary {
            Some(vocabulary) => (vocabulary.find(term), 1.0),
            None => {
                let (h, size) = (hash(term.as_bytes()), self.size as u32);
                let column = if h == i32::MIN { (i32::MAX as u32 - (size - 1)) % size } else { h.unsigned_abs() % size };
                (Some(column as usize), if self.alternate && h < 0 { -1.0 } else { 1.0 })
            }
        };
        if let Some(column) = column {
            y[column] = if binary { 1.0 } else { y[column] + sign * value };
        }
    }
}

/// A text in units, words or code points: unit i is text[begin[i]..end[i]], so that a term is a stretch of the text.
#[derive(Default)]
struct Units {
    text: String,
    spans: Vec<(usize, usize)>,
}

impl Units {
    fn add(&mut self, c: char) {
        let begin = self.text.len();
        self.text.push(c);
        self.spans.push((begin, self.text.len()));
    }
    /// Hands over all runs of n units; false when no more are wanted.
    fn runs(&self, n: usize, take: &mut dyn FnMut(&str) -> bool) -> bool {
        self.spans.windows(n).all(|run| take(&self.text[run[0].0..run[n - 1].1]))
    }
}

/// Finds the terms of a text.
struct Analyzer {
    kind: &'static str,
    least: usize,
    most: usize,
    least_word: usize,
    folding: Folding,
    letters: Ranges, // of words, or spaces
    stop: Option<Dictionary>,
}

impl Analyzer {
    fn new(a: &mut Args<'_>) -> Result<Analyzer, Error> {
        let kind = a.choice("analyzer", &["word", "char", "char_wb"])?;
        let least = a.integer("min_n", 1, MOST_UNITS)?;
        let most = a.integer("max_n", least as i64, MOST_UNITS)?;
        let folding = Folding::new(a)?;
        let folded = folding.to.iter().map(|to| to.chars().count()).max().unwrap_or(0);
        let longest = folded.max(if folding.hangul { 3 } else { 1 }); // what a code point becomes
        a.strings = (longest * ((least + most) * (most - least + 1) / 2)) as f64;
        let words = kind == "word";
        let letters = Ranges::new(a, if words { "word" } else { "space" })?;
        let least_word = if words && a.has("min_word") { a.integer("min_word", 1, MOST_WHOLE)? } else { 2 };
        let stop = if words && a.has("stop") { Some(Dictionary::new(a, "stop", false)?) } else { None };
        Ok(Analyzer { kind, least, most, least_word, folding, letters, stop })
    }
    /// Hands over the terms of the text in row r, one after the other, until no more are wanted.
    fn analyze(&self, s: &Step, f: &Frame, r: usize, take: &mut dyn FnMut(&str) -> bool) -> Result<(), Error> {
        let text = match &s.input(f, 0).s()[r] {
            Some(text) => text,
            None => return s.refuse(f, r, "a text is missing.".to_string()),
        };
        let points = match self.folding.fold(text) {
            Some(points) => points,
            None => return s.refuse(f, r, "a text has more code points than a tensor may have elements when it is folded.".to_string()),
        };
        let mut units = Units::default();
        match self.kind {
            "word" => {
                for word in points.split(|&c| !self.letters.has(c)).filter(|word| !word.is_empty() && word.len() >= self.least_word) {
                    let before = units.text.len();
                    units.text.push(SPACE); // a term begins behind the space of its first word
                    units.text.extend(word);
                    if self.stop.as_ref().map_or(false, |stop| stop.find(&units.text[before + 1..]).is_some()) {
                        units.text.truncate(before);
                    } else {
                        units.spans.push((before + 1, units.text.len()));
                    }
                }
            }
            "char" => self.joined(&points).into_iter().for_each(|c| units.add(c)),
            _ => {
                for piece in self.joined(&points).split(|&c| self.letters.has(c)).filter(|piece| !piece.is_empty()) {
                    let mut units = Units::default();
                    units.add(SPACE);
                    piece.iter().for_each(|&c| units.add(c));
                    units.add(SPACE);
                    if !self.padded(&units, take) {
                        break;
                    }
                }
                return Ok(());
            }
        }
        let _ = (self.least..=self.most.min(units.spans.len())).all(|n| units.runs(n, take));
        Ok(())
    }
    /// Every run of two or more spaces becomes one U+0020.
    fn joined(&self, points: &[char]) -> Vec<char> {
        let mut out: Vec<char> = Vec::with_capacity(points.len());
        let mut spaces = 0;
        for &c in points {
            spaces = if self.letters.has(c) { spaces + 1 } else { 0 };
            match out.last_mut() {
                Some(last) if spaces > 1 => *last = SPACE,
                _ => out.push(c),
            }
        }
        out
    }
    /// The terms of a word between spaces; if it is shorter than n, it is a term itself, once. False when no more are wanted.
    fn padded(&self, units: &Units, take: &mut dyn FnMut(&str) -> bool) -> bool {
        let count = units.spans.len();
        for n in self.least..=self.most {
            if !units.runs(n, take) || n > count && !take(&units.text) {
                return false;
            }
            if n >= count {
                break;
            }
        }
        true
    }
}

fn one_text(a: &Args<'_>) -> Result<(), Error> {
    let x = a.one(&[DType::Str])?;
    if x.width() != 1 {
        return a.refuse(format!("reads {}; one text per row is needed.", x));
    }
    Ok(())
}

/// count_terms: how often the terms of a text occur.
fn count_terms(a: &mut Args<'_>) -> Result<Step, Error> {
    one_text(a)?;
    let counting = Counting::new(a, !a.has("vocabulary"))?;
    let binary = a.flag("binary", false)?;
    let analyzer = Analyzer::new(a)?;
    let n = counting.size;
    a.step(Type::row(DType::F64, n), move |s, f| {
        let mut y = vec![0.0; f.rows * n];
        for r in 0..f.rows {
            let row = &mut y[r * n..(r + 1) * n];
            analyzer.analyze(s, f, r, &mut |term| {
                counting.add(term, 1.0, binary, row);
                true
            })?;
        }
        Ok(Data::floats(y))
    })
}

/// term_ids: the terms of a text in order, as numbers.
fn term_ids(a: &mut Args<'_>) -> Result<Step, Error> {
    one_text(a)?;
    let vocabulary = Dictionary::new(a, "vocabulary", true)?;
    let length = a.integer("length", 1, a.guard.limits.row_elements as i64)?;
    let (first, unknown) = (a.integer("first", 0, MOST_WHOLE)? as i64, a.integer("unknown", 0, MOST_WHOLE)? as i64);
    let fill = a.integer("fill", 0, MOST_WHOLE)? as i64;
    let analyzer = Analyzer::new(a)?;
    a.step(Type::row(DType::I64, length), move |s, f| {
        let mut y = vec![fill; f.rows * length];
        for r in 0..f.rows {
            let row = &mut y[r * length..(r + 1) * length];
            let mut at = 0;
            analyzer.analyze(s, f, r, &mut |term| {
                row[at] = vocabulary.find(term).map_or(unknown, |place| first + place as i64);
                at += 1;
                at < length
            })?;
        }
        Ok(Data::integers(y))
    })
}

/// hash_terms: values at the places of the hashes of prefix + cell.
fn hash_terms(a: &mut Args<'_>) -> Result<Step, Error> {
    a.arity(1, 2)?;
    let w = a.input(0, &[DType::Str])?.width();
    let weighted = a.types.len() == 2;
    if weighted && a.input(1, &[DType::F64])?.width() != w {
        return a.refuse(format!("reads {} and {}; as many numbers as strings are needed.", a.types[0], a.types[1]));
    }
    let prefix = if a.has("prefix") { texts(a, "prefix")? } else { vec![Arc::from("")] };
    if prefix.len() != 1 {
        a.expect("prefix", prefix.len(), Some(w))?;
    }
    let counting = Counting::new(a, true)?;
    a.strings = a.types[0].counted() as f64;
    let n = counting.size;
    a.step(Type::row(DType::F64, n), move |s, f| {
        let mut y = vec![0.0; f.rows * n];
        let values = if weighted { s.input(f, 1).f() } else { &[] };
        for (k, cell) in s.input(f, 0).s().iter().enumerate() {
            if let Some(cell) = cell {
                let term = format!("{}{}", prefix[if prefix.len() == 1 { 0 } else { k % w }], cell);
                counting.add(&term, if weighted { values[k] } else { 1.0 }, false, &mut y[k / w * n..(k / w + 1) * n]);
            }
        }
        Ok(Data::floats(y))
    })
}

// ==== 3 Solver =======================================================================================================

const MOST_ROUNDS: i64 = 10_000;
const MOST_PAIRED: usize = 4096;
const MOST_WORK: usize = 1 << 30;
const ROUNDS_PER_ERROR: usize = 10;
const FLOAT_EPSILON: f64 = 1.1920928955078125e-7; // 2^-23
const DOUBLE_EPSILON: f64 = f64::EPSILON; // 2^-52

/// The table of an op of this section: k rows t of d numbers.
struct Table {
    k: usize,
    d: usize,
    data: Arc<Vec<f64>>, // [k, d]
    turned: Vec<f64>,    // [d, k]
}

impl Table {
    fn new(a: &mut Args<'_>, key: &'static str, negative: bool) -> Result<Table, Error> {
        let x = a.one(&[DType::F64])?;
        let (k, data) = a.matrix(key, &x)?;
        let d = x.width();
        if data.is_empty() {
            return a.refuse(format!("has no numbers in {}.", quote(key)));
        }
        a.guard.take(data.len(), 8)?;
        if let Some(v) = data.iter().find(|v| !v.is_finite() || **v < 0.0 && !negative) {
            let from = if negative { "" } else { " from 0 on" };
            return a.refuse(format!("has {:?} in {}; finite numbers{} are needed.", v, quote(key), from));
        }
        let turned = (0..data.len()).map(|i| data[i % k * d + i / k]).collect();
        Ok(Table { k, d, data, turned })
    }
    fn row(&self, t: usize) -> &[f64] {
        &self.data[t * self.d..(t + 1) * self.d]
    }
    /// y_t = sum_j x_j table_tj.
    fn multiply(&self, x: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; self.k];
        for (v, column) in x.iter().zip(self.turned.chunks_exact(self.k)) {
            y.iter_mut().zip(column).for_each(|(y, c)| *y += v * c);
        }
        y
    }
    /// y_j = sum_t w_t table_tj.
    fn combine(&self, w: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; self.d];
        for (w, row) in w.iter().zip(self.data.chunks_exact(self.d)) {
            y.iter_mut().zip(row).for_each(|(y, c)| *y += w * c);
        }
        y
    }
    /// The products of all pairs of rows.
    fn gram(&self, a: &Args<'_>) -> Result<Vec<Vec<f64>>, Error> {
        if self.k > MOST_PAIRED {
            return a.refuse(format!("has a table of {} rows, more than the limit of {}.", self.k, MOST_PAIRED));
        }
        need_work(a, &[self.k, self.k, self.d])?;
        a.guard.take(self.k, 8 * self.k + 32)?;
        Ok((0..self.k).map(|t| self.multiply(self.row(t))).collect())
    }
}

fn total(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |sum, v| sum + v)
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

/// An attribute that is a finite number; required without a default.
fn finite(a: &mut Args<'_>, key: &'static str, otherwise: Option<f64>, negative: bool) -> Result<f64, Error> {
    if let (Some(otherwise), false) = (otherwise, a.has(key)) {
        return Ok(otherwise);
    }
    a.attribute(key)?;
    let x = a.number(key, 0.0)?;
    if !x.is_finite() || x < 0.0 && !negative {
        let from = if negative { "." } else { " from 0 on." };
        return a.refuse(format!("has {} that is not a finite number{}", quote(key), from));
    }
    Ok(x)
}

fn max_iter(a: &mut Args<'_>) -> Result<usize, Error> {
    a.integer("max_iter", 0, MOST_ROUNDS)
}

/// Refuses factors that multiply to more than a row, or loading, may cost.
fn need_work(a: &Args<'_>, factors: &[usize]) -> Result<(), Error> {
    if !factors.contains(&0) && factors.iter().fold(1, |product, &n| usize::saturating_mul(product, n)) > MOST_WORK {
        return a.refuse("may need more than 2^30 operations for a row or when it is loaded, which is more than the limit.".to_string());
    }
    Ok(())
}

/// Counts, for every round, 64 multiplications for every row and column of the table.
fn add_rounds(a: &mut Args<'_>, rounds: usize, both: usize) { a.work += 64.0 * rounds as f64 * both as f64; }

/// Does so for the rounds of a row, which are its multiplications.
fn need_row_work(a: &mut Args<'_>, factors: &[usize]) -> Result<(), Error> {
    a.multiplies(factors);
    need_work(a, factors)
}

/// A step that solves for every row x the weights of the k rows of its table; `accepts` says of a finite number whether it may be in x.
fn solver(
    a: &Args<'_>, k: usize, accepts: impl Fn(f64) -> bool + Send + Sync + 'static, solve: impl Fn(&[f64]) -> Vec<f64> + Send + Sync + 'static,
) -> Result<Step, Error> {
    a.step(Type::row(DType::F64, k), move |s, f| {
        let mut y = Vec::with_capacity(f.rows * k);
        for (r, x) in s.input(f, 0).f().chunks_exact(s.from[0].width()).enumerate() {
            if let Some(v) = x.iter().find(|v| !v.is_finite() || !accepts(**v)) {
                return s.refuse(f, r, format!("the element {:?} is not accepted by this model.", v));
            }
            y.extend(solve(x));
        }
        Ok(Data::floats(y))
    })
}

/// nmf: weights from 0 on with which the components come near the row.
fn nmf(a: &mut Args<'_>) -> Result<Step, Error> {
    let name = a.choice("solver", &["cd", "mu", "minibatch"])?;
    let table = Table::new(a, "components", false)?;
    let (k, d) = (table.k, table.d);
    let rounds = max_iter(a)?;
    let tol = finite(a, "tol", None, false)?;
    let (l1, l2) = (finite(a, "l1", Some(0.0), false)?, finite(a, "l2", Some(0.0), false)?);
    if name == "cd" {
        need_row_work(a, &[rounds, k, k])?; add_rounds(a, rounds, k + d);
        let mut gram = table.gram(a)?;
        for (t, row) in gram.iter_mut().enumerate().filter(|_| l2 != 0.0) {
            row[t] += l2;
        }
        return solver(a, k, |x| x >= 0.0, move |x| descended(&table, &gram, x, rounds, tol, l1));
    }
    let beta = finite(a, "beta", Some(2.0), true)?;
    let gamma = if beta < 1.0 { 1.0 / (2.0 - beta) } else if beta > 2.0 { 1.0 / (beta - 1.0) } else { 1.0 };
    need_row_work(a, &[rounds, k, k + d])?; add_rounds(a, rounds, k + d);
    let gram = table.gram(a)?;
    let totals = (0..k).map(|t| total(table.row(t))).collect();
    let minibatch = name == "minibatch";
    let m = Multiplication { table, gram, totals, rounds, tol, l1, l2, beta, gamma };
    let accepts = move |x: f64| minibatch || x > 0.0 || x == 0.0 && beta > 0.0;
    solver(a, k, accepts, move |x| if minibatch { m.until_weights_stay(x) } else { m.until_error_stays(x) })
}

/// nmf by coordinate descent.
fn descended(table: &Table, gram: &[Vec<f64>], x: &[f64], rounds: usize, tol: f64, l1: f64) -> Vec<f64> {
    let mut w = vec![0.0; table.k];
    let mut target = table.multiply(x);
    if l1 != 0.0 {
        target.iter_mut().for_each(|t| *t -= l1);
    }
    let mut first = 0.0;
    for round in 0..rounds {
        let mut violation = 0.0;
        for t in 0..table.k {
            let q = &gram[t];
            let gradient = q.iter().zip(&w).fold(-target[t], |g, (q, w)| g + q * w);
            violation += (if w[t] != 0.0 || gradient < 0.0 { gradient } else { 0.0 }).abs();
            if q[t] != 0.0 {
                let moved = w[t] - gradient / q[t];
                w[t] = if 0.0 > moved { 0.0 } else { moved };
            }
        }
        first = if round == 0 { violation } else { first };
        if first == 0.0 || violation / first <= tol {
            break;
        }
    }
    w
}

/// nmf by multiplicative updates: as NMF's solver mu makes them, or as MiniBatchNMF does.
struct Multiplication {
    table: Table,
    gram: Vec<Vec<f64>>,
    totals: Vec<f64>,
    rounds: usize,
    tol: f64,
    l1: f64,
    l2: f64,
    beta: f64,
    gamma: f64,
}

fn floored(y: f64) -> f64 {
    if y < FLOAT_EPSILON { FLOAT_EPSILON } else { y }
}

impl Multiplication {
    fn begin(&self, x: &[f64]) -> Vec<f64> {
        vec![(total(x) / self.table.d as f64 / self.table.k as f64).sqrt(); self.table.k]
    }
    fn until_weights_stay(&self, x: &[f64]) -> Vec<f64> {
        let mut w = self.begin(x);
        for _ in 0..self.rounds {
            let old = w.clone();
            self.update(x, &mut w, &self.totals);
            let moved: Vec<f64> = w.iter().zip(&old).map(|(w, old)| w - old).collect();
            if self.tol > 0.0 && norm(&moved) / norm(&w) <= self.tol {
                break;
            }
        }
        w
    }
    /// scikit-learn keeps the denominators of beta 1 between rounds, so that l1 adds up in them.
    fn until_error_stays(&self, x: &[f64]) -> Vec<f64> {
        let mut w = self.begin(x);
        let mut sums = self.totals.clone();
        let first = if self.tol > 0.0 { self.error(x, &w) } else { 0.0 };
        let mut last = first;
        for round in 1..=self.rounds {
            self.update(x, &mut w, &sums);
            if self.l1 > 0.0 {
                sums.iter_mut().for_each(|s| *s += self.l1);
            }
            if self.beta < 1.0 {
                w.iter_mut().filter(|w| **w < DOUBLE_EPSILON).for_each(|w| *w = 0.0);
            }
            if self.tol > 0.0 && round % ROUNDS_PER_ERROR == 0 {
                let error = self.error(x, &w);
                if (last - error) / first < self.tol {
                    break;
                }
                last = error;
            }
        }
        w
    }
    fn update(&self, x: &[f64], w: &mut [f64], sums: &[f64]) {
        let (top, bottom) = if self.beta == 2.0 {
            (self.table.multiply(x), self.gram.iter().map(|row| dot(w, row)).collect())
        } else {
            self.divided_by_model(x, w, sums)
        };
        for (t, w) in w.iter_mut().enumerate() {
            let mut b: f64 = bottom[t];
            if self.l1 > 0.0 {
                b += self.l1;
            }
            if self.l2 > 0.0 {
                b += self.l2 * *w;
            }
            let factor = top[t] / (if b == 0.0 { FLOAT_EPSILON } else { b });
            *w *= if self.gamma == 1.0 { factor } else { factor.powf(self.gamma) };
        }
    }
    /// The numerators and denominators for a beta that is not 2.
    fn divided_by_model(&self, x: &[f64], w: &[f64], sums: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let beta = self.beta;
        let y = self.table.combine(w);
        let c = |(&x, &y): (&f64, &f64)| {
            let s = if beta < 2.0 { floored(y) } else { y };
            if beta == 1.0 { x / s } else if beta == 0.0 { 1.0 / s * (1.0 / s) * x } else { s.powf(beta - 2.0) * x }
        };
        let top = self.table.multiply(&x.iter().zip(&y).map(c).collect::<Vec<_>>());
        if beta == 1.0 {
            return (top, sums.to_vec());
        }
        let b = |&y: &f64| (if beta < 1.0 { floored(y) } else { y }).powf(beta - 1.0);
        (top, self.table.multiply(&y.iter().map(b).collect::<Vec<_>>()))
    }
    fn error(&self, x: &[f64], w: &[f64]) -> f64 {
        let y = self.table.combine(w);
        if self.beta == 2.0 {
            return norm(&x.iter().zip(&y).map(|(x, y)| x - y).collect::<Vec<_>>());
        }
        let r = self.divergence(x, w, &y);
        (2.0 * (if r < 0.0 { 0.0 } else { r })).sqrt()
    }
    /// The divergence of x from the model y, for a beta that is not 2.
    fn divergence(&self, x: &[f64], w: &[f64], y: &[f64]) -> f64 {
        let beta = self.beta;
        let (mut given, mut ratios, mut logarithms, mut powers, mut mixed, mut modelled) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
        for (&x, &y) in x.iter().zip(y) {
            let u = floored(y);
            let ratio = x / u;
            modelled += y.powf(beta);
            if x > FLOAT_EPSILON {
                given += x;
                ratios += ratio;
                logarithms += if beta == 1.0 { x * ratio.ln() } else { ratio.ln() };
                powers += x.powf(beta);
                mixed += x * u.powf(beta - 1.0);
            }
        }
        if beta == 1.0 {
            logarithms + (dot(w, &self.totals) - given)
        } else if beta == 0.0 {
            ratios - self.table.d as f64 - logarithms
        } else {
            (powers - beta * mixed + modelled * (beta - 1.0)) / (beta * (beta - 1.0))
        }
    }
}

/// lda_topics: the shares of topics in a row of counts.
fn lda_topics(a: &mut Args<'_>) -> Result<Step, Error> {
    let table = Table::new(a, "components", false)?;
    let prior = finite(a, "prior", None, false)?;
    let rounds = max_iter(a)?;
    let tol = finite(a, "tol", None, false)?;
    let k = table.k;
    need_work(a, &[rounds, k, table.d])?; a.multiplies(&[rounds + 1, 4 * k, table.d]); add_rounds(a, rounds + 1, k + table.d);
    solver(a, k, |x| x >= 0.0, move |x| {
        let columns: Vec<usize> = (0..x.len()).filter(|&j| x[j] != 0.0).collect();
        let mut w = vec![1.0; k];
        let mut e = vec![(psi(1.0) - psi(k as f64)).exp(); k];
        for _ in 0..rounds {
            // The counts over what the topics, weighted by e, give them.
            let mut ratio = vec![0.0; columns.len()];
            for (t, e) in e.iter().enumerate() {
                let row = table.row(t);
                ratio.iter_mut().zip(&columns).for_each(|(ratio, &j)| *ratio += e * row[j]);
            }
            ratio.iter_mut().zip(&columns).for_each(|(ratio, &j)| *ratio = x[j] / (*ratio + DOUBLE_EPSILON));
            let mut change = 0.0;
            for t in 0..k {
                let row = table.row(t);
                let sum = ratio.iter().zip(&columns).fold(0.0, |sum, (ratio, &j)| sum + ratio * row[j]);
                let next = e[t] * sum + prior;
                change += f64::abs(w[t] - next);
                w[t] = next;
            }
            let all = psi(total(&w));
            e.iter_mut().zip(&w).for_each(|(e, &w)| *e = (psi(w) - all).exp());
            if change / (k as f64) < tol {
                break;
            }
        }
        let sum = total(&w);
        w.iter_mut().for_each(|w| *w /= sum);
        w
    })
}

/// The derivative of log gamma, as scikit-learn computes it (J. M. Bernardo, Algorithm AS 103, 1976).
fn psi(mut z: f64) -> f64 {
    if z <= 1e-6 {
        return -0.5772156649015329 - 1.0 / z;
    }
    let mut r = 0.0;
    while z < 6.0 {
        r -= 1.0 / z;
        z += 1.0;
    }
    let mut q = 1.0 / z;
    r += z.ln() - 0.5 * q;
    q *= q;
    r - q * (1.0 / 12.0 - q * (1.0 / 120.0 - q * (1.0 / 252.0)))
}

/// sparse_code: few weights with which the atoms come near the row.
fn sparse_code(a: &mut Args<'_>) -> Result<Step, Error> {
    let omp = a.choice("algorithm", &["omp", "lasso_cd"])? == "omp";
    let table = Table::new(a, "atoms", true)?;
    let k = table.k;
    if omp {
        let nonzero = a.integer("nonzero", 1, k as i64)?;
        need_row_work(a, &[nonzero, k, nonzero + 1])?;
        let gram = table.gram(a)?;
        return solver(a, k, |_| true, move |x| Pursuit::new(&gram, table.multiply(x)).weights(nonzero));
    }
    let alpha = finite(a, "alpha", None, false)?;
    let rounds = max_iter(a)?;
    let tol = finite(a, "tol", Some(1e-8), false)?;
    let positive = a.flag("positive", false)?;
    need_row_work(a, &[rounds, k, k])?; add_rounds(a, rounds, k + table.d);
    let gram = table.gram(a)?;
    solver(a, k, |_| true, move |x| {
        let zeros = vec![0.0; k];
        let lasso = Lasso {
            gram: &gram, alpha, tol, positive, square: dot(x, x), products: table.multiply(x), w: zeros.clone(), fitted: zeros.clone(), rest: zeros,
            out: vec![false; k], gap: 0.0, largest: 0.0,
        };
        lasso.weights(rounds)
    })
}

/// Orthogonal matching pursuit for one row: the first atoms of `order` are chosen, a row of `lower`, the Cholesky factor of their
/// products, for each.
struct Pursuit<'a> {
    gram: &'a [Vec<f64>],
    products: Vec<f64>,
    residual: Vec<f64>, // what is left of the products of all atoms with the row
    order: Vec<usize>,
    lower: Vec<Vec<f64>>,
    w: Vec<f64>,
}

impl<'a> Pursuit<'a> {
    fn new(gram: &'a [Vec<f64>], products: Vec<f64>) -> Pursuit<'a> {
        let order = (0..gram.len()).collect();
        Pursuit { gram, residual: products.clone(), products, order, lower: Vec::new(), w: Vec::new() }
    }
    fn weights(mut self, nonzero: usize) -> Vec<f64> {
        while self.lower.len() < nonzero {
            let m = self.most_alike();
            let c = self.residual[self.order[m]];
            if m < self.lower.len() || c * c < DOUBLE_EPSILON || !self.choose(m) {
                break;
            }
            self.fit();
        }
        let mut all = vec![0.0; self.gram.len()];
        for (i, &w) in self.w.iter().enumerate() {
            all[self.order[i]] = w;
        }
        all
    }
    /// The place in the order of the first atom with the largest residual; NaN is largest.
    fn most_alike(&self) -> usize {
        let mut best = 0;
        for m in 1..self.order.len() {
            let (held, found) = (self.residual[self.order[best]].abs(), self.residual[self.order[m]].abs());
            if held.is_nan() {
                break;
            }
            if found.is_nan() || found > held {
                best = m;
            }
        }
        best
    }
    /// Adds the atom at place m of the order to those chosen; false if they already span it.
    fn choose(&mut self, m: usize) -> bool {
        let (n, atom) = (self.lower.len(), self.order[m]);
        let row = &self.gram[atom];
        let mut last: Vec<f64> = Vec::with_capacity(n + 1);
        for (i, lower) in self.lower.iter().enumerate() {
            last.push((row[self.order[i]] - dot(&lower[..i], &last)) / lower[i]);
        }
        let length = dot(&last, &last);
        if n > 0 && row[atom] - length <= DOUBLE_EPSILON {
            return false;
        }
        last.push((if n > 0 { row[atom] - length } else { row[atom] }).sqrt());
        self.lower.push(last);
        self.order.swap(m, n);
        true
    }
    /// The weights of the chosen atoms that fit the row best, and what is left of the products of all.
    fn fit(&mut self) {
        let n = self.lower.len();
        let mut z: Vec<f64> = Vec::with_capacity(n);
        for (i, lower) in self.lower.iter().enumerate() {
            z.push((self.products[self.order[i]] - dot(&lower[..i], &z)) / lower[i]);
        }
        self.w = vec![0.0; n];
        for i in (0..n).rev() {
            let sum = (i + 1..n).fold(0.0, |sum, j| sum + self.lower[j][i] * self.w[j]);
            self.w[i] = (z[i] - sum) / self.lower[i][i];
        }
        let mut fitted = vec![0.0; self.gram.len()];
        for (i, w) in self.w.iter().enumerate() {
            fitted.iter_mut().zip(&self.gram[self.order[i]]).for_each(|(fitted, g)| *fitted += g * w);
        }
        self.residual = self.products.iter().zip(fitted).map(|(p, fitted)| p - fitted).collect();
    }
}

/// Lasso by coordinate descent, with gap safe screening, for one row. `fitted` are the products of all atoms with the sum of the weighted
/// atoms; an atom that is `out` has weight 0 at the optimum.
struct Lasso<'a> {
    gram: &'a [Vec<f64>],
    alpha: f64,
    tol: f64,
    positive: bool,
    square: f64,
    products: Vec<f64>,
    w: Vec<f64>,
    fitted: Vec<f64>,
    rest: Vec<f64>,
    out: Vec<bool>,
    gap: f64,
    largest: f64, // of rest
}

impl<'a> Lasso<'a> {
    fn weights(mut self, rounds: usize) -> Vec<f64> {
        let enough = self.tol * self.square;
        self.measure_gap();
        if self.gap >= 0.0 && self.gap <= enough {
            return self.w;
        }
        self.out = self.gram.iter().enumerate().map(|(a, row)| row[a] == 0.0).collect();
        self.screen();
        for round in 1..=rounds {
            if self.descend() || round == rounds {
                self.measure_gap();
                if self.gap <= enough {
                    break;
                }
                self.screen();
            }
        }
        self.w
    }
    fn set(&mut self, a: usize, weight: f64) {
        let change = weight - self.w[a];
        self.fitted.iter_mut().zip(&self.gram[a]).for_each(|(fitted, g)| *fitted += change * g);
        self.w[a] = weight;
    }
    /// The duality gap, with what screening needs.
    fn measure_gap(&mut self) {
        let alike = dot(&self.w, &self.products);
        let left = self.square + dot(&self.w, &self.fitted) - 2.0 * alike;
        let (mut squares, mut weights) = (0.0, 0.0);
        for a in 0..self.w.len() {
            let rest = self.products[a] - self.fitted[a];
            let size = if self.positive { rest } else { rest.abs() };
            self.largest = if a == 0 || size > self.largest { size } else { self.largest };
            self.rest[a] = rest;
            squares += rest * rest;
            weights += self.w[a].abs();
        }
        let s = if self.largest > self.alpha { self.alpha / self.largest } else { 1.0 };
        self.gap = if self.alpha == 0.0 {
            squares
        } else {
            0.5 * left + self.alpha * weights - (-0.5 * (s * s) * left + s * (self.square - alike))
        };
    }
    /// Drops the atoms that the gap shows to have weight 0.
    fn screen(&mut self) {
        if self.alpha == 0.0 {
            return;
        }
        let radius = (2.0 * self.gap.abs()).sqrt() / self.alpha;
        let most = if self.alpha > self.largest { self.alpha } else { self.largest };
        for a in 0..self.w.len() {
            if !self.out[a] && !((1.0 - (self.rest[a] / most).abs()) / self.gram[a][a].sqrt() <= radius) {
                self.out[a] = true;
                if self.w[a] != 0.0 {
                    self.set(a, 0.0);
                }
            }
        }
    }
    /// One round over the atoms; true if it changed little.
    fn descend(&mut self) -> bool {
        let (mut most_change, mut most_weight) = (0.0, 0.0);
        for a in 0..self.w.len() {
            if self.out[a] {
                continue;
            }
            let own = self.gram[a][a];
            let t = self.products[a] - self.fitted[a] + self.w[a] * own;
            let sign = if t > 0.0 { 1.0 } else if t < 0.0 { -1.0 } else { t };
            let weight = if self.positive && t < 0.0 { 0.0 } else { sign * larger(t.abs() - self.alpha, 0.0) / own };
            let change = (weight - self.w[a]).abs();
            if weight != self.w[a] {
                self.set(a, weight);
            }
            most_change = if change > most_change { change } else { most_change };
            most_weight = if weight.abs() > most_weight { weight.abs() } else { most_weight };
        }
        most_weight == 0.0 || most_change / most_weight <= self.tol
    }
}

// ==== 4 Rare ops of profile tabular ==================================================================================

/// bucketize: the number of edges e of the column with not (x <= e) (left) or not (x < e) (right); NaN counts all.
fn bucketize(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.one(FLOATS)?; let edges = a.floats_of("edges", x.dtype, None)?;
    let sizes = a.places("sizes", Some(x.width()), 0, edges.len())?;
    let left = a.choice("side", &["left", "right"])? == "left"; let mut start = vec![0];
    for (j, &n) in sizes.iter().enumerate() {
        let end = usize::min(start[j] + n, edges.len() + 1);
        let column = &edges[start[j].min(edges.len())..end.min(edges.len())];
        if column.iter().any(|e| e.is_nan()) || column.windows(2).any(|pair| !(pair[1] >= pair[0])) {
            return a.refuse(format!("has edges of column {} that do not ascend.", j));
        }
        start.push(end);
    }
    a.expect("edges", edges.len(), Some(start[sizes.len()]))?; a.multiplies(&[x.width(), COSTLY]);
    a.step(x.with(DType::I64), move |s, f| {
        let width = s.ty.width();
        let count = |(k, &v): (usize, &f64)| {
            let column = &edges[start[k % width]..start[k % width + 1]];
            column.partition_point(|&e| if left { !(v <= e) } else { !(v < e) }) as i64
        };
        Ok(Data::integers(s.input(f, 0).f().iter().enumerate().map(count).collect()))
    })
}

/// poly: products of powers of columns, multiplied from the last factor to the first.
fn poly(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.rounded()?; let matrix = a.integers("powers", 2)?; a.fitting("powers", &matrix, &x)?;
    let powers = a.within("powers", matrix.data.i(), 0, 255)?; let (n, width, dtype) = (matrix.shape[0], x.width(), a.dtype);
    let count = powers.iter().filter(|&&p| p > 0).count(); a.guard.take(count, 16)?; a.guard.take(n, 24)?;
    a.work = powers.iter().map(|&p| p as f64).sum();
    // The factors of every term, last column first, with how often they are taken.
    let terms: Vec<Vec<(usize, i64)>> = (0..n)
        .map(|k| (0..width).rev().map(|j| (j, powers[k * width + j])).filter(|factor| factor.1 > 0).collect())
        .collect();
    a.rows(Type::row(a.dtype, n), move |x, y| {
        for (y, term) in y.iter_mut().zip(&terms) {
            let mut product = 1.0;
            for &(j, times) in term { for _ in 0..times { product = rounded(product * x[j], dtype); } }
            *y = product;
        }
    })
}

/// interp: piecewise linear through the knots (x, y).
fn interp(a: &mut Args<'_>) -> Result<Step, Error> {
    let ty = a.deep().rounded()?; let x = a.floats("x", None)?; let y = a.floats("y", Some(x.len()))?;
    let outside = a.choice("outside", &["clip", "nan", "extend"])?;
    if x.len() < if outside == "extend" { 2 } else { 1 } { return a.refuse("has too few knots in \"x\"; one is needed, two to extend a line.".to_string()); }
    for k in 0..x.len() {
        if !(x[k].is_finite() && y[k].is_finite()) || k > 0 && !(x[k] > x[k - 1]) {
            return a.refuse(format!("has a knot at position {} that is not finite, or not above the one before it.", k));
        }
    }
    let (dtype, last) = (a.dtype, x.len() - 1); a.multiplies(&[ty.width(), COSTLY]);
    a.each(ty, move |v| {
        if v.is_nan() || v == x[last] { return if v.is_nan() { v } else { y[last] }; }
        if (v < x[0] || v > x[last]) && outside != "extend" { return if outside == "nan" { f64::NAN } else if v < x[0] { y[0] } else { y[last] }; }
        let k = x.partition_point(|&knot| knot <= v).saturating_sub(1).min(last - 1);
        let slope = rounded(rounded(y[k + 1] - y[k], dtype) / rounded(x[k + 1] - x[k], dtype), dtype);
        rounded(slope * rounded(v - x[k], dtype), dtype) + y[k]
    })
}

/// gaussian_ll: log_prior - sum(log(2 pi var)) / 2 - sum((x - mean)^2 / var) / 2.
fn gaussian_ll(a: &mut Args<'_>) -> Result<Step, Error> {
    let t = a.rounded()?; let ((classes, mean), (others, var)) = (a.matrix("mean", &t)?, a.matrix("var", &t)?);
    a.expect("var", others, Some(classes))?; let prior = a.optional("log_prior", a.dtype, Some(classes))?;
    let width = t.width(); a.guard.take(classes, 8)?; a.multiplies(&[classes, width + COSTLY]);
    let base: Vec<f64> = (0..classes).map(|k| {
            let sum = var[k * width..(k + 1) * width].iter().fold(0.0, |sum, v| sum + (2.0 * std::f64::consts::PI * v).ln());
            prior.as_ref().map_or(0.0, |prior| prior[k]) - 0.5 * sum
        })
        .collect();
    a.rows(Type::row(a.dtype, classes), move |x, y| {
        for (k, y) in y.iter_mut().enumerate() {
            let (mean, var) = (&mean[k * width..(k + 1) * width], &var[k * width..(k + 1) * width]);
            let sum = x.iter().zip(mean).zip(var).fold(0.0, |sum, ((x, m), v)| sum + (x - m) * (x - m) / v);
            *y = base[k] - 0.5 * sum;
        }
    })
}
/// normalize: rows divided by their norm; an all-zero row is unchanged.
fn normalize(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.deep().rounded()?; let norm = a.choice("norm", &["l1", "l2", "max"])?; let dtype = a.dtype;
    a.rows(x, move |x, y| {
        let by = match norm {
            "l1" => rounded(x.iter().fold(0.0, |sum, v| sum + v.abs()), dtype), "l2" => rounded(dot(x, x).sqrt(), dtype),
            _ => x.iter().fold(0.0, |max, v| larger(max, v.abs())),
        };
        y.iter_mut().zip(x).for_each(|(y, &v)| *y = if by == 0.0 { v } else { v / by });
    })
}
