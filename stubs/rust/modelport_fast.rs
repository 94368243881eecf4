// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// The ops `tree_ensemble` and `linear` of modelport.rs once more, several times as fast on batches and on large models, and with the same
// bits: paste it beside that file, write `mod modelport_fast;` as well, and hand it over before other tables.
//
//     let model = Model::load_with(&bytes, &[&modelport_fast::OPS])?;
//
// Sections: 1 Deep trees (packed nodes, eight walks at a time), 2 Small trees (sets of leaves), 3 Ensembles, 4 Products (tiles).

#![forbid(unsafe_code)]

use crate::modelport::{read_trees, round_all, Args, DType, Data, Error, Frame, Ops, Step, Trees, Type, LEAF};
use std::mem::size_of;

/// The ops that take the place of those of modelport.rs.
pub static OPS: Ops = Ops(&[("linear", linear), ("tree_ensemble", tree_ensemble)]);

// ==== 1 Deep trees ===================================================================================================

/// The number of a column, as trees compare it: f32 where that is the dtype of the step.
trait Number: Copy + PartialOrd + Send + Sync + 'static {
    const LOWEST: Self;
    fn of(v: f64) -> Self;
    /// The largest number below a threshold that is no NaN; NaN, which no number reaches, where there is none.
    fn below(self) -> Self;
}
impl Number for f32 {
    const LOWEST: f32 = f32::NEG_INFINITY;
    fn of(v: f64) -> f32 { v as f32 }
    fn below(self) -> f32 {
        if self == f32::NEG_INFINITY { return f32::NAN; }
        let bits = self.to_bits();
        f32::from_bits(if self == 0.0 { 0x8000_0001 } else if self > 0.0 { bits - 1 } else { bits + 1 })
    }
}
impl Number for f64 {
    const LOWEST: f64 = f64::NEG_INFINITY;
    fn of(v: f64) -> f64 { v }
    fn below(self) -> f64 {
        if self == f64::NEG_INFINITY { return f64::NAN; }
        let bits = self.to_bits();
        f64::from_bits(if self == 0.0 { 0x8000_0000_0000_0001 } else if self > 0.0 { bits - 1 } else { bits + 1 })
    }
}
/// The threshold of a node as one of `<=`.
fn threshold<X: Number>(trees: &Trees, i: usize) -> X {
    let t = X::of(trees.nodes[i].threshold);
    if trees.strict { t.below() } else { t }
}

/// A node of a packed tree: the left child lies `step` nodes further on, the right child behind it. A leaf has the step 0, its number in the
/// place of the threshold, and asks for the column behind the last, which holds -infinity: so it leads to itself.
trait Node: Copy + Send + Sync + 'static {
    type X: Number;
    fn inner(threshold: Self::X, column: usize, step: usize) -> Self;
    fn leaf(number: usize, column: usize) -> Self;
    fn threshold(self) -> Self::X;
    fn column(self) -> usize;
    fn step(self) -> usize;
    fn number(self) -> usize;
}
/// 8 bytes: up to 255 columns, and 2^24 nodes in a tree.
#[derive(Clone, Copy)]
struct Narrow {
    threshold: f32,
    place: u32, // step << 8 | column
}
impl Node for Narrow {
    type X = f32;
    fn inner(threshold: f32, column: usize, step: usize) -> Narrow { Narrow { threshold, place: (step << 8 | column) as u32 } }
    fn leaf(number: usize, column: usize) -> Narrow { Narrow { threshold: f32::from_bits(number as u32), place: column as u32 } }
    fn threshold(self) -> f32 { self.threshold }
    fn column(self) -> usize { (self.place & 255) as usize }
    fn step(self) -> usize { (self.place >> 8) as usize }
    fn number(self) -> usize { self.threshold.to_bits() as usize }
}
/// 16 bytes: anything.
#[derive(Clone, Copy)]
struct Wide {
    threshold: f64,
    column: u32,
    step: u32,
}
impl Node for Wide {
    type X = f64;
    fn inner(threshold: f64, column: usize, step: usize) -> Wide { Wide { threshold, column: column as u32, step: step as u32 } }
    fn leaf(number: usize, column: usize) -> Wide { Wide { threshold: f64::from_bits(number as u64), column: column as u32, step: 0 } }
    fn threshold(self) -> f64 { self.threshold }
    fn column(self) -> usize { self.column as usize }
    fn step(self) -> usize { self.step as usize }
    fn number(self) -> usize { self.threshold.to_bits() as usize }
}

const LINE: usize = 64; // bytes that come from memory together
const WALKS: usize = 8; // in flight at a time: each waits for memory

/// The nodes of all trees, packed so that siblings share a line of the cache with their children.
struct Packed<N> {
    nodes: Vec<N>,
    root: Vec<usize>,
}
impl<N: Node> Packed<N> {
    fn new(trees: &Trees, columns: usize) -> Packed<N> {
        let per_line = LINE / size_of::<N>();
        let blank = N::leaf(0, columns);
        let mut nodes: Vec<N> = Vec::with_capacity(trees.nodes.len() + trees.root.len() + per_line);
        // Padded to the beginning of a line; the elements never move, because there is room for all of them.
        let pad = nodes.as_ptr().align_offset(LINE);
        nodes.resize(pad.min(per_line - 1), blank);
        let base = nodes.len();
        let mut root = Vec::with_capacity(trees.root.len());
        for &top in &trees.root {
            root.push(nodes.len());
            // The first pair is the root and a blank. `pairs` are left children that wait for a place, with the place of their parent.
            nodes.extend([blank, blank]);
            let mut pairs = Vec::new();
            Self::put(&mut nodes, root[root.len() - 1], top, trees, columns, &mut pairs);
            let mut near = Vec::new(); // those that should share the line that is being filled
            loop {
                if (nodes.len() - base) % per_line == 0 { pairs.extend(near.drain(..).rev()); }
                let (parent, left) = if near.is_empty() { match pairs.pop() { Some(pair) => pair, None => break } } else { near.remove(0) };
                let place = nodes.len();
                let node = trees.nodes[left - 1]; // the parent: in preorder it stands before its left child
                nodes[parent] = N::inner(threshold(trees, left - 1), node.feature as usize, place - parent);
                nodes.extend([blank, blank]);
                Self::put(&mut nodes, place, left, trees, columns, &mut near);
                Self::put(&mut nodes, place + 1, node.next as usize, trees, columns, &mut near);
            }
        }
        Packed { nodes, root }
    }
    /// Puts a leaf into its place; the children of an inner node are still to be placed.
    fn put(nodes: &mut [N], place: usize, i: usize, trees: &Trees, columns: usize, pairs: &mut Vec<(usize, usize)>) {
        let node = &trees.nodes[i];
        if node.feature == LEAF { nodes[place] = N::leaf(node.next as usize, columns); } else { pairs.push((place, i + 1)); }
    }
    /// Eight walks from given nodes: the numbers of the leaves.
    #[inline]
    fn walk(&self, mut at: [usize; WALKS], rows: [&[N::X]; WALKS]) -> [usize; WALKS] {
        loop {
            let mut moving = 0;
            for w in 0..WALKS {
                let node = self.nodes[at[w]];
                moving |= node.step();
                // not (x <= t), so that NaN as a threshold sends every row to the right
                at[w] += node.step() + usize::from(!(rows[w][node.column()] <= node.threshold()));
            }
            if moving == 0 { return at.map(|at| self.nodes[at].number()); }
        }
    }
    fn run(&self, trees: &Trees, batch: &Batch<'_>, out: &mut [f64]) -> Result<(), Error> {
        const STRIP: usize = 1 << 13; // rows that go through a tree while its nodes are near
        let stride = batch.columns + 1;
        for from in (0..batch.rows).step_by(STRIP) {
            let n = STRIP.min(batch.rows - from);
            let mut x: Vec<N::X> = Vec::with_capacity(n * stride);
            for r in from..from + n { x.extend(batch.row(r).iter().map(|&v| N::X::of(v)).chain([N::X::LOWEST])); }
            let row = |k: usize| &x[k * stride..(k + 1) * stride];
            if n < WALKS {
                self.one_by_one(trees, batch, from, n, row, out)?;
                continue;
            }
            for (t, &root) in self.root.iter().enumerate() {
                for k in (0..n).step_by(WALKS) {
                    let m = WALKS.min(n - k);
                    if batch.clean(from + k, m) {
                        let mut rows = [row(k); WALKS];
                        for w in 1..m { rows[w] = row(k + w); }
                        let leaves = self.walk([root; WALKS], rows);
                        for (w, &leaf) in leaves[..m].iter().enumerate() { trees.add(out, batch.width, from + k + w, t, leaf); }
                    } else {
                        for r in from + k..from + k + m { batch.walk(trees, t, r, out)?; }
                    }
                }
            }
        }
        Ok(())
    }
    /// A few rows: eight trees at a time.
    fn one_by_one<'a>(
        &self, trees: &Trees, batch: &Batch<'_>, from: usize, n: usize, row: impl Fn(usize) -> &'a [N::X], out: &mut [f64]
    ) -> Result<(), Error> {
        for k in 0..n {
            if !batch.clean(from + k, 1) {
                for t in 0..self.root.len() { batch.walk(trees, t, from + k, out)?; }
                continue;
            }
            for first in (0..self.root.len()).step_by(WALKS) {
                let m = WALKS.min(self.root.len() - first);
                let mut at = [self.root[first]; WALKS];
                at[..m].copy_from_slice(&self.root[first..first + m]);
                let leaves = self.walk(at, [row(k); WALKS]);
                for (w, &leaf) in leaves[..m].iter().enumerate() { trees.add(out, batch.width, from + k, first + w, leaf); }
            }
        }
        Ok(())
    }
}

// ==== 2 Small trees ==================================================================================================

const BLOCK: usize = 128; // rows that are asked together

/// A set of the leaves of a tree.
trait Set: Copy + Send + Sync + 'static {
    const ALL: Self;
    const MOST: usize;
    fn of(bits: u64) -> Self;
    fn and(self, other: Self) -> Self;
    fn first(self) -> usize;
}
impl Set for u32 {
    const ALL: u32 = u32::MAX;
    const MOST: usize = 32;
    fn of(bits: u64) -> u32 { bits as u32 }
    fn and(self, other: u32) -> u32 { self & other }
    fn first(self) -> usize { self.trailing_zeros() as usize }
}
impl Set for u64 {
    const ALL: u64 = u64::MAX;
    const MOST: usize = 64;
    fn of(bits: u64) -> u64 { bits }
    fn and(self, other: u64) -> u64 { self & other }
    fn first(self) -> usize { self.trailing_zeros() as usize }
}

/// Trees of few leaves: every inner node is asked for all rows, and where the answer is "right" it takes away the leaves on its left. The
/// first leaf that is left over is the one that the row reaches.
struct Sets<X, S> {
    questions: Vec<(u32, X, S)>, // column, threshold, the leaves that stay where the row goes right
    ends: Vec<usize>,            // of the questions of every tree
    numbers: Vec<u32>,           // of the leaves, from the left
    values: Vec<f64>,            // and where a leaf is one number, that
    first_leaf: Vec<usize>,      // of every tree
}
impl<X: Number, S: Set> Sets<X, S> {
    /// None where a tree has too many leaves.
    fn new(trees: &Trees) -> Option<Sets<X, S>> {
        let mut sets = Sets { questions: Vec::new(), ends: Vec::new(), numbers: Vec::new(), values: Vec::new(), first_leaf: Vec::new() };
        for (t, &start) in trees.root.iter().enumerate() {
            let end = trees.root.get(t + 1).copied().unwrap_or(trees.nodes.len());
            if (end - start + 1) / 2 > S::MOST { return None; }
            sets.first_leaf.push(sets.numbers.len());
            // In preorder the leaves come from the left, and those between a node and its right child are on its left.
            let leaves_before: Vec<u32> = trees.nodes[start..end]
                .iter()
                .scan(0, |count, node| { let before = *count; *count += u32::from(node.feature == LEAF); Some(before) })
                .collect();
            for (i, node) in trees.nodes[start..end].iter().enumerate() {
                if node.feature == LEAF { sets.numbers.push(node.next); continue; }
                let (low, high) = (leaves_before[i], leaves_before[node.next as usize - start]);
                let left = (u64::MAX >> (64 - (high - low))) << low;
                sets.questions.push((node.feature, threshold(trees, start + i), S::of(!left)));
            }
            sets.ends.push(sets.questions.len());
        }
        if trees.leaf_width == 1 { sets.values = sets.numbers.iter().map(|&leaf| trees.leaf[leaf as usize]).collect(); }
        Some(sets)
    }
    fn run(&self, trees: &Trees, batch: &Batch<'_>, out: &mut [f64]) -> Result<(), Error> {
        let mut columns = vec![[X::LOWEST; BLOCK]; batch.columns];
        for from in (0..batch.rows).step_by(BLOCK) {
            let n = BLOCK.min(batch.rows - from);
            for r in 0..n { for (column, &v) in columns.iter_mut().zip(batch.row(from + r)) { column[r] = X::of(v); } }
            let clean = batch.clean(from, n);
            let mut begin = 0;
            for (t, &end) in self.ends.iter().enumerate() {
                let mut left = [S::ALL; BLOCK];
                for &(column, threshold, stay) in &self.questions[begin..end] {
                    for (left, &x) in left.iter_mut().zip(&columns[column as usize]) {
                        *left = left.and(if x <= threshold { S::ALL } else { stay });
                    }
                }
                begin = end;
                let numbers = &self.numbers[self.first_leaf[t]..];
                if clean && trees.leaf_width == 1 && trees.acc == DType::F64 {
                    let values = &self.values[self.first_leaf[t]..];
                    let sums = out[from * batch.width + trees.class_of.as_ref().map_or(0, |class| class[t])..].iter_mut();
                    for (sum, left) in sums.step_by(batch.width).zip(&left[..n]) { *sum += values[left.first()]; }
                    continue;
                }
                for (r, left) in left[..n].iter().enumerate() {
                    if clean || batch.clean(from + r, 1) {
                        trees.add(out, batch.width, from + r, t, numbers[left.first()] as usize);
                    } else {
                        batch.walk(trees, t, from + r, out)?;
                    }
                }
            }
        }
        Ok(())
    }
}

// ==== 3 Ensembles ====================================================================================================

/// The rows of one call, and which of them have NaN.
struct Batch<'a> {
    step: &'a Step,
    frame: &'a Frame,
    x: &'a [f64],
    rows: usize,
    columns: usize,
    width: usize,
    missing: Vec<bool>, // empty when no row has NaN
}
impl Batch<'_> {
    fn row(&self, r: usize) -> &[f64] { &self.x[r * self.columns..(r + 1) * self.columns] }
    fn clean(&self, from: usize, n: usize) -> bool { self.missing.is_empty() || !self.missing[from..from + n].contains(&true) }
    /// One row and one tree, with the care that NaN needs.
    fn walk(&self, trees: &Trees, t: usize, r: usize, out: &mut [f64]) -> Result<(), Error> {
        let leaf = trees.walk(t, self.row(r), self.step, self.frame, r)?;
        trees.add(out, self.width, r, t, leaf);
        Ok(())
    }
}
enum Deep {
    Narrow(Packed<Narrow>),
    Wide(Packed<Wide>),
}
enum Small {
    Single32(Sets<f32, u32>),
    Single64(Sets<f32, u64>),
    Double32(Sets<f64, u32>),
    Double64(Sets<f64, u64>),
}
fn small(trees: &Trees, single: bool) -> Option<Small> {
    if single { Sets::new(trees).map(Small::Single32).or_else(|| Sets::new(trees).map(Small::Single64)) }
    else { Sets::new(trees).map(Small::Double32).or_else(|| Sets::new(trees).map(Small::Double64)) }
}

/// tree_ensemble, as in modelport.rs.
fn tree_ensemble(a: &mut Args<'_>) -> Result<Step, Error> {
    let (ty, trees) = read_trees(a)?;
    if !trees.category.is_empty() { return a.step(ty, move |s, f| trees.run(s, f)); }
    let (columns, count) = (a.types[0].width(), trees.nodes.len());
    a.guard.take(count + 2 * trees.root.len() + 8, 16 + 24 + size_of::<Wide>())?;
    let largest = (0..trees.root.len()).map(|t| trees.root.get(t + 1).unwrap_or(&count) - trees.root[t]).max().unwrap_or(0);
    let single = a.dtype == DType::F32;
    let narrow = single && columns <= 255 && largest < (1 << 24) - 2 && trees.leaf.len() < 1 << 30;
    let deep = if narrow { Deep::Narrow(Packed::new(&trees, columns)) } else { Deep::Wide(Packed::new(&trees, columns)) };
    let small = small(&trees, single);
    a.step(ty, move |s, f| {
        let x = s.floats(f, 0);
        let mut missing = Vec::new();
        if x.iter().any(|v| v.is_nan()) { missing = x.chunks(columns.max(1)).map(|row| row.iter().any(|v| v.is_nan())).collect(); }
        let batch = Batch { step: s, frame: f, x: &x, rows: f.rows, columns, width: s.ty.width(), missing };
        let mut out = trees.begin(s, f);
        match (&small, &deep) {
            (Some(Small::Single32(sets)), _) if f.rows >= BLOCK / 2 => sets.run(&trees, &batch, &mut out)?,
            (Some(Small::Single64(sets)), _) if f.rows >= BLOCK / 2 => sets.run(&trees, &batch, &mut out)?,
            (Some(Small::Double32(sets)), _) if f.rows >= BLOCK / 2 => sets.run(&trees, &batch, &mut out)?,
            (Some(Small::Double64(sets)), _) if f.rows >= BLOCK / 2 => sets.run(&trees, &batch, &mut out)?,
            (_, Deep::Narrow(packed)) => packed.run(&trees, &batch, &mut out)?,
            (_, Deep::Wide(packed)) => packed.run(&trees, &batch, &mut out)?,
        }
        trees.end(out)
    })
}

// ==== 4 Products =====================================================================================================

const PANEL: usize = 4; // columns of the result that are computed together
const ROWS: usize = 4; // and rows
const NEAR: usize = 64; // rows that stay in the cache while all panels pass

/// linear, as in modelport.rs: every sum runs in ascending index, in f64; sixteen of them stand side by side.
fn linear(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.deep().rounded()?;
    let (n, weight) = a.matrix("weight", &x)?;
    let m = x.last();
    a.guard.take(weight.len().saturating_add(PANEL.saturating_mul(m)), 8)?;
    let bias = a.optional("bias", a.dtype, Some(n))?;
    let ty = if x.rank() == 0 { Type::row(a.dtype, n) } else { x.resized(x.rank() - 1, n) };
    a.multiplies(&[ty.width(), m]);
    // Panels of columns, each [k][column of the panel]; f32 weights take half the memory.
    let at = move |p: usize| {
        let (panel, k, c) = (p / (m * PANEL), p / PANEL % m, p % PANEL);
        if panel * PANEL + c < n { weight[(panel * PANEL + c) * m + k] } else { 0.0 }
    };
    let size = (n + PANEL - 1) / PANEL * PANEL * m;
    let panels = if a.dtype == DType::F32 { Panels::Single((0..size).map(|p| at(p) as f32).collect()) } else { Panels::Double((0..size).map(at).collect()) };
    a.step(ty, move |s, f| {
        let x = s.floats(f, 0);
        let mut y = vec![0.0; f.rows * s.ty.width()];
        if n > 0 && m > 0 {
            match &panels {
                Panels::Single(panels) => products(&x, panels, m, n, &mut y),
                Panels::Double(panels) => products(&x, panels, m, n, &mut y),
            }
        }
        if let Some(bias) = &bias { for y in y.chunks_exact_mut(n.max(1)) { y.iter_mut().zip(bias.iter()).for_each(|(y, b)| *y += b); } }
        round_all(&mut y, s.ty.dtype);
        Ok(Data::floats(y))
    })
}
enum Panels {
    Single(Vec<f32>),
    Double(Vec<f64>),
}
fn products<W: Copy + Into<f64>>(x: &[f64], panels: &[W], m: usize, n: usize, y: &mut [f64]) {
    let whole = x.len() / (m * ROWS) * ROWS; // rows that fill tiles
    let mut wide = vec![0.0; if whole > 0 { m * PANEL } else { 0 }];
    for (x, y) in x[..whole * m].chunks(m * NEAR).zip(y[..whole * n].chunks_mut(n * NEAR)) {
        for (p, panel) in panels.chunks_exact(m * PANEL).enumerate() {
            let columns = p * PANEL..n.min((p + 1) * PANEL);
            wide.iter_mut().zip(panel).for_each(|(wide, &w)| *wide = w.into());
            for (x, y) in x.chunks_exact(m * ROWS).zip(y.chunks_exact_mut(n * ROWS)) {
                let sums = tile(x, &wide, m);
                for (y, sums) in y.chunks_exact_mut(n).zip(&sums) { y[columns.clone()].copy_from_slice(&sums[..columns.len()]); }
            }
        }
    }
    for (x, y) in x[whole * m..].chunks_exact(m).zip(y[whole * n..].chunks_exact_mut(n)) {
        for (panels, y) in panels.chunks(m * PANEL * 4).zip(y.chunks_mut(PANEL * 4)) {
            if panels.len() == m * PANEL * 4 {
                y.iter_mut().zip(abreast(x, panels, m).iter().flatten()).for_each(|(y, sum)| *y = *sum);
            } else {
                for (panel, y) in panels.chunks_exact(m * PANEL).zip(y.chunks_mut(PANEL)) {
                    let mut sums = [0.0; PANEL];
                    for (w, v) in panel.chunks_exact(PANEL).zip(x) { sums.iter_mut().zip(w).for_each(|(sum, &w)| *sum += v * w.into()); }
                    y.copy_from_slice(&sums[..y.len()]);
                }
            }
        }
    }
}
/// Four rows times one panel.
fn tile(x: &[f64], panel: &[f64], m: usize) -> [[f64; PANEL]; ROWS] {
    let mut sums = [[0.0; PANEL]; ROWS];
    let (x0, x) = x.split_at(m);
    let (x1, x) = x.split_at(m);
    let (x2, x3) = x.split_at(m);
    for ((((w, v0), v1), v2), v3) in panel.chunks_exact(PANEL).zip(x0).zip(x1).zip(x2).zip(x3) {
        for (sums, v) in sums.iter_mut().zip([v0, v1, v2, v3]) {
            for (sum, w) in sums.iter_mut().zip(w) { *sum += v * w; }
        }
    }
    sums
}
/// One row times four panels.
fn abreast<W: Copy + Into<f64>>(x: &[f64], panels: &[W], m: usize) -> [[f64; PANEL]; 4] {
    let mut sums = [[0.0; PANEL]; 4];
    let mut parts = panels.chunks_exact(m * PANEL).map(|panel| panel.chunks_exact(PANEL));
    if let (Some(w0), Some(w1), Some(w2), Some(w3)) = (parts.next(), parts.next(), parts.next(), parts.next()) {
        for ((((v, w0), w1), w2), w3) in x.iter().zip(w0).zip(w1).zip(w2).zip(w3) {
            for (sums, w) in sums.iter_mut().zip([w0, w1, w2, w3]) {
                for (sum, &w) in sums.iter_mut().zip(w) { *sum += v * w.into(); }
            }
        }
    }
    sums
}
