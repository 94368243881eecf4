// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// modelport for Rust: runs modelport JSON artifacts, format 1 (docs/format.md), without any machine-learning framework. One file, Rust 2021
// (1.63 or later), the standard library only, no unsafe code: paste it into a project and write `mod modelport;`.
//
//     let model = Model::load(&bytes)?;                          // replays the vectors that the artifact carries
//     let p = model.predict_rows(&[[5.1, 3.5]])?;                // p.get("probability") is a Tensor
//
// Sections: 1 Errors, 2 JSON, 3 Tensors, 4 Special functions, 5 Ops, 6 Trees, 7 Model. Floats of both dtypes are held as f64 (an f32 is an
// f64 that a float can hold), integers and booleans as i64, strings as Option<Arc<str>>; arrays are row-major.

#![forbid(unsafe_code)]
#![allow(dead_code)] // a program uses what it needs

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

/// What a document may cost at most (docs/format.md, section 5).
#[derive(Clone, Debug)]
pub struct Limits {
    pub document_bytes: usize, pub depth: usize, pub steps: usize,
    pub rank: usize, pub tensor_elements: usize, pub row_elements: usize, pub total_row_elements: usize,
    pub carried_rows: usize, pub multiplications: u64,
    /// Operations that a replay of the carried rows takes, beside 4,096 for every byte of the document.
    pub work: u64,
    /// Bytes that one load or one prediction may allocate.
    pub memory: usize,
    /// Threads that share the rows of a large batch; 0: as many as the machine has. The answers do not depend on it.
    pub threads: usize,
}
impl Default for Limits {
    fn default() -> Self {
        let memory = usize::try_from(1u64 << 32).unwrap_or(usize::MAX / 2);
        Limits {
            document_bytes: 512 << 20, depth: 16, steps: 10_000, rank: 6, tensor_elements: 1 << 28, row_elements: 1 << 22,
            total_row_elements: 1 << 25, carried_rows: 4096, multiplications: 1 << 34, work: 1 << 30, memory, threads: 0,
        }
    }
}
/// The limits of one load or prediction, and what is left of its memory: asked before anything large is allocated.
pub(crate) struct Guard {
    pub(crate) limits: Limits, left: Cell<usize>, longest: Cell<usize>, // code points of the longest string among the elements
}
impl Guard {
    fn new(limits: &Limits) -> Guard { Guard { limits: limits.clone(), left: Cell::new(limits.memory), longest: Cell::new(0) } }
    /// A guard over what is left, for an attempt of which nothing is kept.
    fn attempt(&self) -> Guard { Guard { limits: self.limits.clone(), left: self.left.clone(), longest: Cell::new(0) } }
    fn measure(&self, s: &str) { if s.len() > self.longest.get() { self.longest.set(s.chars().count().max(self.longest.get())); } }
    /// Counts n things of so many bytes.
    pub(crate) fn take(&self, n: usize, bytes: usize) -> Result<(), Error> {
        let wanted = n.saturating_mul(bytes);
        if wanted > self.left.get() {
            refuse!("More than the {} MB of memory that this reader may use would be needed; raise Limits.memory.", self.limits.memory >> 20);
        }
        self.left.set(self.left.get() - wanted); Ok(())
    }
}

// ==== 1 Errors =======================================================================================================

/// Why there is no answer, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The artifact, or the rows, are not acceptable.
    Refused(String),
    /// The numbers are not those of the original model.
    Mismatch(String),
    /// The document needs an op or a version that this reader does not have.
    Unsupported(String),
}
impl Error {
    /// What a command line answers with.
    pub fn exit_code(&self) -> i32 { match self { Error::Mismatch(_) => 1, Error::Refused(_) => 2, Error::Unsupported(_) => 3, } }
}
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Error::Refused(sentence) | Error::Mismatch(sentence) | Error::Unsupported(sentence)) = self; f.write_str(sentence)
    }
}
impl std::error::Error for Error {}
/// Returns a refusal from the function around it.
macro_rules! refuse {
    ($($sentence:tt)*) => { return Err($crate::modelport::Error::Refused(format!($($sentence)*))) };
}
pub(crate) use refuse;
/// A name as it appears in a sentence: in quotes, on one line, not longer than 60 characters.
pub(crate) fn quote(name: &str) -> String {
    let mut text = String::new();
    match name.char_indices().nth(60) { Some((end, _)) => spell(&format!("{}...", &name[..end]), &mut text), None => spell(name, &mut text), }
    text
}

// ==== 2 JSON =========================================================================================================

/// A checked JSON value: where it stands in the text. Scalars and the elements of an array are decoded when they are asked for, so that
/// large arrays cost nothing until their dtype is known, and numbers keep their spelling. Only an object, and an array that begins with an
/// object, have children. The kind is the first character, b'0' for every number. An array `holds` numbers (1), strings or null (2).
#[derive(Clone)]
pub(crate) struct Json {
    doc: Arc<Vec<u8>>, start: usize, end: usize, count: usize, holds: u8, kind: u8, members: BTreeMap<String, Json>, items: Vec<Json>,
}
/// b'{', b'[', b'"', b'0', b't', b'f' or b'n'; b' ' where no value begins.
fn kind_of(first: u8) -> u8 {
    match first {
        b'-' | b'0'..=b'9' => b'0',
        b'{' | b'[' | b'"' | b't' | b'f' | b'n' => first,
        _ => b' ',
    }
}
fn called(kind: u8) -> &'static str {
    match kind {
        b'{' => "an object",
        b'[' => "an array", b'"' => "a string", b'0' => "a number", b't' => "true", b'f' => "false",
        _ => "null",
    }
}
fn ignored(key: &str) -> bool { key.starts_with("x-") || key == "name" || key == "doc" || key == "provenance" }
impl Json {
    fn get(&self, key: &str) -> Option<&Json> { self.members.get(key) }
    fn expect(&self, wanted: u8, at: &str) -> Result<&Json, Error> {
        if self.kind != wanted { refuse!("{} is {}; {} is needed.", at, called(self.kind), called(wanted)); }
        Ok(self)
    }
    fn object(&self, at: &str) -> Result<&BTreeMap<String, Json>, Error> { Ok(&self.expect(b'{', at)?.members) }
    fn string(&self, at: &str) -> Result<String, Error> { self.expect(b'"', at)?; Ok(unescaped(&self.doc[self.start..self.end]).unwrap_or_default()) }
    /// A cursor before the first element of this array.
    fn elements<'a>(&'a self, at: &'a str) -> Result<Cursor<'a>, Error> { self.expect(b'[', at)?; Ok(Cursor { b: &self.doc, i: self.start + 1, at }) }
    /// A cursor on this one value.
    fn scalar<'a>(&'a self, at: &'a str) -> Cursor<'a> { Cursor { b: &self.doc, i: self.start, at } }
    fn need(&self, key: &str, at: &str) -> Result<&Json, Error> {
        match self.object(at)?.get(key) { Some(value) => Ok(value), None => refuse!("{} lacks the key {}; it is required.", at, quote(key)), }
    }
    /// Refuses every key but those listed and those that evaluators ignore.
    fn only(&self, at: &str, keys: &[&str]) -> Result<(), Error> {
        for key in self.object(at)?.keys() {
            if !ignored(key) && !keys.contains(&key.as_str()) { refuse!("{} has the unknown key {}; remove it or begin it with x-.", at, quote(key)); }
        }
        Ok(())
    }
    fn strings(&self, at: &str, guard: &Guard) -> Result<Vec<String>, Error> {
        guard.take(self.count, 64)?; guard.take(self.end - self.start, 1)?; let mut list = Vec::new(); let mut c = self.elements(at)?;
        while c.next() { list.push(c.string()?); }
        Ok(list)
    }
    fn objects(&self, at: &str) -> Result<&[Json], Error> {
        self.expect(b'[', at)?;
        if self.items.len() != self.count || self.items.iter().any(|item| item.kind != b'{') {
            refuse!("{} hold something else than objects; a list of objects is needed.", at);
        }
        Ok(&self.items)
    }
}
/// The text of a checked string literal, quotes included; None when it holds half of a surrogate pair, or is no UTF-8.
fn unescaped(literal: &[u8]) -> Option<String> {
    let raw = std::str::from_utf8(literal.get(1..literal.len().checked_sub(1)?)?).ok()?;
    if !raw.contains('\\') { return Some(raw.to_string()); }
    let mut text = String::with_capacity(raw.len()); let mut rest = raw;
    while let Some(k) = rest.find('\\') {
        text.push_str(&rest[..k]); let escape = *rest.as_bytes().get(k + 1)?; rest = &rest[k + 2..];
        let plain = match escape {
            b'b' => '\u{8}', b'f' => '\u{c}', b'n' => '\n', b'r' => '\r', b't' => '\t',
            b'u' => {
                let mut code = u32::from_str_radix(rest.get(..4)?, 16).ok()?; rest = &rest[4..];
                if (0xD800..0xDC00).contains(&code) {
                    let low = u32::from_str_radix(rest.strip_prefix("\\u")?.get(..4)?, 16).ok()?;
                    if !(0xDC00..0xE000).contains(&low) { return None; }
                    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00); rest = &rest[6..];
                }
                char::from_u32(code)?
            }
            other => char::from(other),
        };
        text.push(plain);
    }
    text.push_str(rest); Some(text)
}
/// The strict parser: one pass that checks what RFC 8259 demands, and duplicate keys, depth and overflow.
struct Parser<'a> { doc: Arc<Vec<u8>>, what: &'a str, guard: &'a Guard, i: usize, depth: usize }
const LONGEST_NUMBER: usize = 4096;
const BYTES_PER_MEMBER: usize = 320;
impl<'a> Parser<'a> {
    /// The text as one value; `what` begins a sentence.
    fn parse(text: &[u8], what: &str, guard: &Guard) -> Result<Json, Error> {
        if text.len() > guard.limits.document_bytes { refuse!("{} has {} bytes, more than the limit of {}.", what, text.len(), guard.limits.document_bytes); }
        guard.take(text.len(), 1)?; let mut p = Parser { doc: Arc::new(text.to_vec()), what, guard, i: 0, depth: 0 };
        p.space(); let value = p.value()?; p.space();
        if p.i < text.len() { return p.fail("something follows the end of the value; a document is one JSON value"); }
        Ok(value)
    }
    fn fail<T>(&self, reason: &str) -> Result<T, Error> {
        let reason = if self.i < self.doc.len() { reason } else { "the text ends too early" };
        refuse!("{} is not acceptable JSON at byte {}: {}.", self.what, self.i, reason)
    }
    fn peek(&self) -> Option<u8> { self.doc.get(self.i).copied() }
    fn at(&self, c: u8) -> bool { self.peek() == Some(c) }
    fn space(&mut self) { while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() { self.i += 1; } }
    fn json(&self, start: usize, count: usize, holds: u8, members: BTreeMap<String, Json>, items: Vec<Json>) -> Json {
        Json { doc: self.doc.clone(), start, end: self.i, count, holds, kind: kind_of(self.doc[start]), members, items }
    }
    fn value(&mut self) -> Result<Json, Error> {
        let start = self.i;
        match kind_of(self.peek().unwrap_or(0)) {
            b'{' => self.object(),
            b'[' => self.array(),
            kind => { self.scalar(kind)?; Ok(self.json(start, 0, 0, BTreeMap::new(), Vec::new())) }
        }
    }
    fn scalar(&mut self, kind: u8) -> Result<(), Error> {
        match kind {
            b'"' => self.string(), b'0' => self.number(),
            b' ' if self.at(b'N') || self.at(b'I') => self.fail("a bare NaN or Infinity is no JSON; write it in quotes"),
            b' ' => self.fail("no value begins here"),
            _ => {
                for c in called(kind).bytes() {
                    if !self.at(c) { return self.fail("a value is none of true, false and null"); }
                    self.i += 1;
                }
                Ok(())
            }
        }
    }
    fn open(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > self.guard.limits.depth { return self.fail(&format!("the values are nested deeper than the limit of {}", self.guard.limits.depth)); }
        self.i += 1; self.space(); Ok(())
    }
    /// True when another element follows; false after the closing bracket.
    fn more(&mut self, close: u8, first: bool) -> Result<bool, Error> {
        self.space(); let closed = self.at(close);
        if first && !closed { return Ok(true); }
        if !closed && !self.at(b',') { return self.fail(&format!("a comma or '{}' is needed here", char::from(close))); }
        self.i += 1;
        if closed { self.depth -= 1; } else { self.space(); }
        Ok(!closed)
    }
    fn object(&mut self) -> Result<Json, Error> {
        let start = self.i; let mut members = BTreeMap::new(); let mut seen = HashSet::new(); self.open()?;
        let mut more = self.more(b'}', true)?;
        while more {
            if !self.at(b'"') { return self.fail("a key in double quotes is needed here"); }
            let from = self.i; self.string()?; self.guard.take(4 * (self.i - from) + BYTES_PER_MEMBER, 1)?;
            let key = unescaped(&self.doc[from..self.i]).unwrap_or_default();
            if !seen.insert(key.to_ascii_lowercase()) {
                return self.fail(&format!("the key {} stands twice in one object, or in spellings that differ by case only", quote(&key)));
            }
            self.space();
            if !self.at(b':') { return self.fail("a colon is needed after a key"); }
            self.i += 1; self.space(); let value = self.value()?; members.insert(key, value);
            more = self.more(b'}', false)?;
        }
        Ok(self.json(start, members.len(), 0, members, Vec::new()))
    }
    fn array(&mut self) -> Result<Json, Error> {
        let start = self.i; let (mut count, mut holds) = (0, 0); let mut items = Vec::new(); self.open()?;
        let keep = self.at(b'{'); let mut more = self.more(b']', true)?;
        while more {
            let kind = kind_of(self.peek().unwrap_or(0));
            holds |= match kind { b'0' => 1, b'"' | b'n' => 2, _ => 0, };
            if !keep && kind != b'{' && kind != b'[' {
                self.scalar(kind)?;
            } else {
                let item = self.value()?; holds |= item.holds;
                if keep { self.guard.take(1, BYTES_PER_MEMBER)?; items.push(item); }
            }
            count += 1; more = self.more(b']', false)?;
        }
        Ok(self.json(start, count, holds, BTreeMap::new(), items))
    }
    fn number(&mut self) -> Result<(), Error> {
        let start = self.i;
        if self.at(b'-') { self.i += 1; }
        let leading = self.i; let digits = self.digits()?;
        if digits > 1 && self.doc[leading] == b'0' { return self.fail("a number begins with a needless zero"); }
        let mut large = digits > 200;
        if self.at(b'.') { self.i += 1; self.digits()?; }
        if self.at(b'e') || self.at(b'E') {
            self.i += 1;
            if self.at(b'+') || self.at(b'-') { self.i += 1; }
            large |= self.digits()? > 2;
        }
        if self.i - start > LONGEST_NUMBER { return self.fail("a number has more than 4096 characters"); }
        if large && !parsed(&self.doc[start..self.i]).is_finite() { return self.fail("a number overflows a 64-bit float; infinity is written \"Infinity\""); }
        Ok(())
    }
    fn digits(&mut self) -> Result<usize, Error> {
        let start = self.i;
        while let Some(b'0'..=b'9') = self.peek() { self.i += 1; }
        if self.i == start { return self.fail("a digit is needed here"); }
        Ok(self.i - start)
    }
    /// Checks a string; one with bytes beyond ASCII or \u escapes must be text when it is decoded.
    fn string(&mut self) -> Result<(), Error> {
        let start = self.i; let mut plain = true; self.i += 1;
        loop {
            match self.peek() {
                None => return self.fail(""), Some(b'"') => break,
                Some(b'\\') => {
                    self.i += 1;
                    match self.peek() {
                        Some(b'u') => {
                            plain = false;
                            for _ in 0..4 {
                                self.i += 1;
                                if !self.peek().map_or(false, |c| c.is_ascii_hexdigit()) { return self.fail("\\u needs four hexadecimal digits"); }
                            }
                        }
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {}
                        _ => return self.fail("an unknown escape stands in a string"),
                    }
                }
                Some(c) if c < b' ' => return self.fail("a control character stands in a string; write it as an escape"), Some(c) => plain &= c < 128,
            }
            self.i += 1;
        }
        self.i += 1;
        if plain { return Ok(()); } self.guard.take(self.i - start, 2)?; let literal = &self.doc[start..self.i];
        if std::str::from_utf8(literal).is_err() { return self.fail("a string is not UTF-8"); }
        if unescaped(literal).is_none() { return self.fail("a string holds half of a surrogate pair"); }
        Ok(())
    }
}
/// A checked decimal as the nearest f64.
fn parsed(decimal: &[u8]) -> f64 { std::str::from_utf8(decimal).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN) }
/// Decodes the elements of a checked array one after the other, without an object for each.
struct Cursor<'a> { b: &'a [u8], i: usize, at: &'a str }
const SAFE: i128 = (1 << 53) - 1;
pub(crate) const MOST_WHOLE: i64 = 1 << 28; // the largest integer that is an attribute
impl<'a> Cursor<'a> {
    fn byte(&self) -> u8 { self.b.get(self.i).copied().unwrap_or(b']') }
    /// Moves to the next element; false at the closing bracket, which is passed.
    fn next(&mut self) -> bool {
        while let b' ' | b',' | b'\n' | b'\r' | b'\t' = self.byte() { self.i += 1; }
        if self.byte() != b']' { return true; }
        self.i += 1; false
    }
    fn kind(&self) -> u8 { kind_of(self.byte()) }
    /// Enters the array that is the current element; next() then moves through it.
    fn enter(&mut self) -> Result<(), Error> {
        if self.byte() != b'[' { return self.needed("an array"); }
        self.i += 1; Ok(())
    }
    fn needed<T>(&self, what: &str) -> Result<T, Error> { refuse!("{} holds {}; {} is needed there.", self.at, called(self.kind()), what) }
    /// The number of elements of the array that is the current element; it is passed.
    fn length(&mut self) -> Result<usize, Error> {
        let mut length = 0; self.enter()?;
        while self.next() {
            if let b'[' | b'{' = self.byte() { refuse!("{} is nested deeper than two levels; write it in the object form.", self.at); }
            self.skip(); length += 1;
        }
        Ok(length)
    }
    /// Passes an element that is neither an array nor an object, and returns its spelling.
    fn skip(&mut self) -> &'a [u8] {
        let start = self.i;
        if self.byte() == b'"' {
            self.i += 1;
            while self.i < self.b.len() && self.byte() != b'"' { self.i += if self.byte() == b'\\' { 2 } else { 1 }; }
            self.i += 1;
        } else {
            while !matches!(self.byte(), b',' | b']' | b'}' | 0..=b' ') { self.i += 1; }
        }
        self.b.get(start..self.i).unwrap_or(&[])
    }
    fn number(&mut self, dtype: DType) -> Result<f64, Error> {
        let value = match self.kind() {
            b'"' => self.named()?, b'0' => parsed(self.skip()),
            _ => return self.needed("a number"),
        };
        if dtype != DType::F32 { return Ok(value); }
        let single = value as f32;
        if single.is_infinite() && !value.is_infinite() {
            refuse!("{} holds {:?}, which overflows a 32-bit float; infinity is written \"Infinity\".", self.at, value);
        }
        Ok(f64::from(single))
    }
    fn named(&mut self) -> Result<f64, Error> {
        let name = self.string()?;
        match name.as_str() {
            "NaN" => Ok(f64::NAN), "Infinity" => Ok(f64::INFINITY), "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => refuse!("{} holds the string {}; a number is needed there.", self.at, quote(&name)),
        }
    }
    /// An integer within the dtype: a number without fraction and exponent or, beyond 2^53-1, a string of digits.
    fn integer(&mut self, dtype: DType) -> Result<i64, Error> {
        let quoted = self.byte() == b'"';
        if !quoted && self.kind() != b'0' { return self.needed(&format!("an integer ({})", dtype)); }
        let spelled = self.skip();
        let plain = if quoted { spelled.get(1..spelled.len().saturating_sub(1)).unwrap_or(&[]) } else { spelled };
        let digits = plain.strip_prefix(b"-").unwrap_or(plain);
        let canonical = matches!(digits, [b'0'] | [b'1'..=b'9', ..]) && digits.len() < 20 && digits.iter().all(u8::is_ascii_digit);
        let value: Option<i128> = if canonical { std::str::from_utf8(plain).ok().and_then(|text| text.parse().ok()) } else { None };
        let (low, high) = dtype.range();
        match value {
            Some(v) if (v > SAFE || v < -SAFE) == quoted && v >= i128::from(low) && v <= i128::from(high) => Ok(v as i64),
            _ => refuse!(
                "{} holds {}; an integer of {} is needed there, without fraction and exponent, and in quotes exactly when it is beyond 2^53-1.",
                self.at, quote(&String::from_utf8_lossy(&spelled[..spelled.len().min(80)])), dtype
            ),
        }
    }
    fn bool(&mut self) -> Result<bool, Error> {
        let kind = self.kind();
        if kind != b't' && kind != b'f' { return self.needed("true or false"); }
        self.skip(); Ok(kind == b't')
    }
    fn string(&mut self) -> Result<String, Error> {
        if self.byte() != b'"' { return self.needed("a string"); }
        Ok(unescaped(self.skip()).unwrap_or_default())
    }
    /// A string, or None where it is null.
    fn missing(&mut self) -> Result<Option<Arc<str>>, Error> {
        if self.kind() == b'n' { self.skip(); return Ok(None); }
        Ok(Some(Arc::from(self.string()?)))
    }
}
/// Appends a string as JSON.
fn spell(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\0'..='\u{1f}' | '\u{7f}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
}
/// Appends a float as a decimal that reads back as the same number, or as its name.
fn spell_float(v: f64, dtype: DType, out: &mut String) {
    use fmt::Write;
    if v.is_nan() {
        out.push_str("\"NaN\"");
    } else if v.is_infinite() {
        out.push_str(if v > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else {
        let length = out.len();
        if dtype == DType::F32 {
            let _ = write!(out, "{:?}", v as f32);
            if out[length..].parse::<f64>().map_or(false, |read| f64::from(read as f32) == v) { return; }
            out.truncate(length);
        }
        let _ = write!(out, "{:?}", v);
    }
}
/// Appends an integer, in quotes beyond 2^53-1.
fn spell_integer(v: i64, out: &mut String) {
    let quotes = if i128::from(v) > SAFE || i128::from(v) < -SAFE { "\"" } else { "" }; out.push_str(&format!("{}{}{}", quotes, v, quotes));
}

// ==== 3 Tensors ======================================================================================================

/// The dtypes, under the names of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    F64,
    F32,
    I64,
    I32,
    I16,
    I8,
    U32,
    U16,
    U8,
    Bool,
    Str,
}
pub(crate) const ANY: &[DType] = &[
    DType::F64, DType::F32, DType::I64, DType::I32, DType::I16, DType::I8, DType::U32, DType::U16, DType::U8, DType::Bool, DType::Str,
];
pub(crate) const FLOATS: &[DType] = &[DType::F64, DType::F32];
pub(crate) const INTEGERS: &[DType] = &[DType::I64, DType::I32, DType::I16, DType::I8, DType::U32, DType::U16, DType::U8];
const CAN_BE_MISSING: &[DType] = &[DType::F64, DType::F32, DType::Str];
const NAMES: [&str; 11] = ["f64", "f32", "i64", "i32", "i16", "i8", "u32", "u16", "u8", "bool", "str"];
impl DType {
    pub fn name(self) -> &'static str { NAMES[self as usize] }
    pub fn is_float(self) -> bool { self == DType::F64 || self == DType::F32 }
    pub fn is_integer(self) -> bool { INTEGERS.contains(&self) }
    pub(crate) fn range(self) -> (i64, i64) {
        match self {
            DType::I64 => (i64::MIN, i64::MAX), DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
            DType::I16 => (-32768, 32767), DType::I8 => (-128, 127), DType::U32 => (0, i64::from(u32::MAX)), DType::U16 => (0, 65535),
            DType::U8 => (0, 255), DType::Bool => (0, 1),
            _ => (0, 0),
        }
    }
    fn bytes(self) -> usize {
        match self {
            DType::F64 | DType::I64 => 8, DType::F32 | DType::I32 | DType::U32 => 4,
            DType::I16 | DType::U16 => 2, DType::I8 | DType::U8 | DType::Bool => 1, DType::Str => 0,
        }
    }
    fn named(name: &str, at: &str) -> Result<DType, Error> {
        match NAMES.iter().position(|known| *known == name) {
            Some(k) => Ok(ANY[k]), None => refuse!("{} has the unknown dtype {}; it is one of {}.", at, quote(name), NAMES.join(", ")),
        }
    }
}
impl fmt::Display for DType { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.name()) } }
/// dtype and row shape of a value. Lengths that overflow are as good as infinite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Type {
    pub(crate) dtype: DType, pub(crate) dims: Vec<usize>,
}
impl Type {
    pub(crate) fn new(dtype: DType, dims: Vec<usize>) -> Type { Type { dtype, dims } }
    pub(crate) fn row(dtype: DType, width: usize) -> Type { Type { dtype, dims: vec![width] } }
    pub(crate) fn rank(&self) -> usize { self.dims.len() }
    /// The number of elements of a row.
    pub(crate) fn width(&self) -> usize { self.size(0, self.rank()) }
    /// The same, for limits: an axis of length 0 counts as 1.
    pub(crate) fn counted(&self) -> usize { self.dims.iter().fold(1, |size, &n| usize::saturating_mul(size, n.max(1))) }
    /// The length of the last axis, 1 for rank 0.
    pub(crate) fn last(&self) -> usize { self.dims.last().copied().unwrap_or(1) }
    /// How many rows along the last axis there are.
    pub(crate) fn lanes(&self) -> usize { self.size(0, self.rank().saturating_sub(1)) }
    /// The same row shape with another dtype.
    pub(crate) fn with(&self, dtype: DType) -> Type { Type { dtype, dims: self.dims.clone() } }
    /// The same row shape with another length of one axis.
    pub(crate) fn resized(&self, axis: usize, length: usize) -> Type { let mut changed = self.clone(); changed.dims[axis] = length; changed }
    /// The product of the lengths of some axes.
    pub(crate) fn size(&self, from: usize, to: usize) -> usize { product(&self.dims[from.min(to)..to]) }
    /// The offsets of the positions along an axis: all of them, or as many zeros where the axis has length 1, or is not there.
    pub(crate) fn along(&self, axis: Option<usize>, n: usize) -> Offsets {
        Offsets::Even { first: 0, step: axis.filter(|&axis| self.dims[axis] > 1).map_or(0, |axis| self.size(axis + 1, self.rank())) as isize, n }
    }
    /// Where the elements of a row of shape `wide` are found in a row of this one, which broadcasts to it; None where at the same place.
    pub(crate) fn spread(&self, wide: &Type, guard: &Guard) -> Result<Option<Places>, Error> {
        if self.width() == wide.width() { return Ok(None); }
        let along = |k: usize| self.along((k + self.rank()).checked_sub(wide.rank()), wide.dims[k]);
        Places::new(guard, (0..wide.rank()).map(along).collect()).map(Some)
    }
    /// The shape of n rows.
    pub(crate) fn shape(&self, n: usize) -> Vec<usize> { let mut shape = vec![n]; shape.extend(&self.dims); shape }
}
impl fmt::Display for Type { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{}{:?}", self.dtype, self.dims) } }
/// The product of a shape, saturating; 0 where a length is 0.
pub(crate) fn product(shape: &[usize]) -> usize {
    if shape.contains(&0) { return 0; }
    shape.iter().fold(1, |size, &n| usize::saturating_mul(size, n))
}
/// The offsets along an axis.
pub(crate) enum Offsets { Even { first: isize, step: isize, n: usize }, Given(Vec<isize>) }
impl Offsets {
    fn len(&self) -> usize { match self { Offsets::Even { n, .. } => *n, Offsets::Given(v) => v.len() } }
    pub(crate) fn at(&self, k: usize) -> isize { match self { Offsets::Even { first, step, .. } => first + k as isize * step, Offsets::Given(v) => v[k] } }
}
/// The sums of one offset for each axis, in row-major order; -1 where one of them is negative. They are found when a row first needs them: there may
/// be many, in a document that is refused for what comes later.
pub(crate) struct Places { axes: Vec<Offsets>, size: usize, found: Mutex<Option<Arc<Vec<isize>>>> }
impl Places {
    pub(crate) fn new(guard: &Guard, axes: Vec<Offsets>) -> Result<Places, Error> {
        let size = product(&axes.iter().map(Offsets::len).collect::<Vec<_>>()); guard.take(size, 16)?;
        Ok(Places { axes, size, found: Mutex::default() })
    }
    pub(crate) fn get(&self) -> Arc<Vec<isize>> {
        let mut found = self.found.lock().unwrap_or_else(|broken| broken.into_inner());
        let make = || self.axes.iter().fold(vec![0; self.size.min(1)], |places: Vec<isize>, axis| {
            let mut sums = Vec::with_capacity(places.len() * axis.len());
            for p in places { sums.extend((0..axis.len()).map(|k| axis.at(k)).map(|o| if p < 0 || o < 0 { -1 } else { p + o })); }
            sums
        });
        Arc::clone(found.get_or_insert_with(|| Arc::new(make())))
    }
}
/// The places of a value that broadcasts; None where they are the same.
pub(crate) fn found(spread: &Option<Places>) -> Option<Arc<Vec<isize>>> { spread.as_ref().map(Places::get) }
/// The elements of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Of f64 and f32.
    Floats(Arc<Vec<f64>>),
    /// Of the integers, and bool as 0 and 1.
    Integers(Arc<Vec<i64>>),
    /// Of str; None is missing.
    Strings(Arc<Vec<Option<Arc<str>>>>),
}
impl Data {
    pub(crate) fn floats(v: Vec<f64>) -> Data { Data::Floats(Arc::new(v)) }
    pub(crate) fn integers(v: Vec<i64>) -> Data { Data::Integers(Arc::new(v)) }
    pub(crate) fn none() -> Data { Data::integers(Vec::new()) }
    pub(crate) fn len(&self) -> usize { match self { Data::Floats(v) => v.len(), Data::Integers(v) => v.len(), Data::Strings(v) => v.len(), } }
    pub(crate) fn f(&self) -> &[f64] { if let Data::Floats(v) = self { v } else { &[] } }
    pub(crate) fn i(&self) -> &[i64] { if let Data::Integers(v) = self { v } else { &[] } }
    pub(crate) fn s(&self) -> &[Option<Arc<str>>] { if let Data::Strings(v) = self { v } else { &[] } }
    /// Elements in stretches, each from a place of one of several arrays of one kind.
    pub(crate) fn join(parts: &[&Data], stretches: impl Iterator<Item = (usize, usize, usize)>) -> Data {
        fn copied<'a, T: Clone + 'a>(parts: &[&'a [T]], stretches: impl Iterator<Item = (usize, usize, usize)>) -> Arc<Vec<T>> {
            let mut out = Vec::new();
            for (part, from, to) in stretches { out.extend_from_slice(&parts[part][from..to]); }
            Arc::new(out)
        }
        match parts.first() {
            Some(Data::Floats(_)) => Data::Floats(copied(&parts.iter().map(|p| p.f()).collect::<Vec<_>>(), stretches)),
            Some(Data::Strings(_)) => Data::Strings(copied(&parts.iter().map(|p| p.s()).collect::<Vec<_>>(), stretches)),
            _ => Data::Integers(copied(&parts.iter().map(|p| p.i()).collect::<Vec<_>>(), stretches)),
        }
    }
    /// n elements, each from where `source` says: k >= 0 is x[k], k < 0 is y[-1 - k].
    pub(crate) fn pick(n: usize, x: &Data, y: &Data, source: impl FnMut(usize) -> Result<isize, Error>) -> Result<Data, Error> {
        fn picked<T: Clone>(n: usize, x: &[T], y: &[T], mut source: impl FnMut(usize) -> Result<isize, Error>) -> Result<Arc<Vec<T>>, Error> {
            let mut out = Vec::with_capacity(n);
            for k in 0..n { let s = source(k)?; out.push(if s >= 0 { x[s as usize].clone() } else { y[(-1 - s) as usize].clone() }); }
            Ok(Arc::new(out))
        }
        Ok(match x {
            Data::Floats(x) => Data::Floats(picked(n, x, y.f(), source)?), Data::Integers(x) => Data::Integers(picked(n, x, y.i(), source)?),
            Data::Strings(x) => Data::Strings(picked(n, x, y.s(), source)?),
        })
    }
    fn slice(&self, from: usize, to: usize) -> Data { Data::join(&[self], std::iter::once((0, from, to))) }
    /// The key under which an element is found in a map: NaN equals NaN, null equals null, -0.0 equals 0.0.
    fn key(&self, k: usize) -> Key {
        match self { Data::Floats(v) => float_key(v[k]), Data::Integers(v) => Key::Integer(v[k]), Data::Strings(v) => Key::Text(v[k].clone()), }
    }
    /// One element as it appears in a sentence.
    fn shown(&self, k: usize, dtype: DType) -> String {
        match self {
            Data::Floats(v) => format!("{:?}", v[k]), Data::Integers(v) if dtype == DType::Bool => format!("{}", v[k] != 0),
            Data::Integers(v) => format!("{}", v[k]), Data::Strings(v) => v[k].as_ref().map_or("null".to_string(), |s| quote(s)),
        }
    }
}
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Float(u64),
    Integer(i64),
    Text(Option<Arc<str>>),
}
fn float_key(v: f64) -> Key { Key::Float(if v.is_nan() { f64::NAN.to_bits() } else if v == 0.0 { 0 } else { v.to_bits() }) }
/// An array with its dtype and shape, row-major; for rows, the first axis counts them.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub dtype: DType, pub(crate) shape: Vec<usize>,
    pub(crate) data: Data,
}
impl From<Vec<f64>> for Tensor {
    fn from(v: Vec<f64>) -> Tensor { Tensor { dtype: DType::F64, shape: vec![v.len()], data: Data::floats(v) } }
}
impl From<Vec<f32>> for Tensor {
    fn from(v: Vec<f32>) -> Tensor { Tensor { dtype: DType::F32, shape: vec![v.len()], data: Data::floats(v.into_iter().map(f64::from).collect()) } }
}
impl From<Vec<i64>> for Tensor {
    fn from(v: Vec<i64>) -> Tensor { Tensor { dtype: DType::I64, shape: vec![v.len()], data: Data::integers(v) } }
}
impl From<Vec<bool>> for Tensor {
    fn from(v: Vec<bool>) -> Tensor { Tensor { dtype: DType::Bool, shape: vec![v.len()], data: Data::integers(v.into_iter().map(i64::from).collect()) } }
}
impl From<Vec<&str>> for Tensor {
    fn from(v: Vec<&str>) -> Tensor { Tensor::from(v.into_iter().map(Some).collect::<Vec<_>>()) }
}
impl From<Vec<Option<&str>>> for Tensor {
    fn from(v: Vec<Option<&str>>) -> Tensor {
        let data = v.into_iter().map(|s| s.map(Arc::from)).collect::<Vec<_>>();
        Tensor { dtype: DType::Str, shape: vec![data.len()], data: Data::Strings(Arc::new(data)) }
    }
}
impl Tensor {
    /// Rows of equal length.
    pub fn matrix<R: AsRef<[f64]>>(rows: &[R]) -> Result<Tensor, Error> {
        let width = rows.first().map_or(0, |row| row.as_ref().len());
        if let Some(r) = rows.iter().position(|row| row.as_ref().len() != width) { refuse!("The matrix is ragged in row {}; rows are equally long.", r); }
        let data: Vec<f64> = rows.iter().flat_map(|row| row.as_ref().iter().copied()).collect();
        Ok(Tensor { dtype: DType::F64, shape: vec![rows.len(), width], data: Data::floats(data) })
    }
    /// The same elements in another shape, batch axis first: `Tensor::from(pixels).shaped(&[2, 3, 32, 32])`.
    pub fn shaped(mut self, shape: &[usize]) -> Result<Tensor, Error> {
        if product(shape) != self.data.len() { refuse!("A tensor of {} elements cannot have the shape {:?}; they must agree.", self.data.len(), shape); }
        self.shape = shape.to_vec(); Ok(self)
    }
    pub fn shape(&self) -> &[usize] { &self.shape }
    /// The length of the first axis.
    pub fn rows(&self) -> usize { self.shape.first().copied().unwrap_or(1) }
    /// Elements of one row.
    pub fn width(&self) -> usize { product(self.shape.get(1..).unwrap_or(&[])) }
    /// All elements of a float tensor.
    pub fn floats(&self) -> Option<&[f64]> { if let Data::Floats(v) = &self.data { Some(v) } else { None } }
    /// All elements of an integer tensor, or of booleans as 0 and 1.
    pub fn integers(&self) -> Option<&[i64]> { if let Data::Integers(v) = &self.data { Some(v) } else { None } }
    /// All elements of a str tensor; None is missing.
    pub fn strings(&self) -> Option<&[Option<Arc<str>>]> { if let Data::Strings(v) = &self.data { Some(v) } else { None } }
    /// The data as another dtype: floats from floats, integers and booleans; anything else only as it is.
    fn as_dtype(&self, wanted: DType, at: &str) -> Result<Data, Error> {
        if self.dtype == wanted || self.dtype == DType::F32 && wanted == DType::F64 { return Ok(self.data.clone()); }
        match (&self.data, wanted) {
            (Data::Floats(v), DType::F32) => Ok(Data::floats(v.iter().map(|&v| rounded(v, wanted)).collect())),
            (Data::Integers(v), DType::F32) => Ok(Data::floats(v.iter().map(|&v| rounded(v as f64, wanted)).collect())),
            (Data::Integers(v), DType::F64) => Ok(Data::floats(v.iter().map(|&v| v as f64).collect())),
            _ => refuse!("{} holds {}; {} is needed.", at, self.dtype, wanted),
        }
    }
    /// Appends the object form of the format.
    fn write(&self, out: &mut String) {
        out.push_str(&format!("{{\"dtype\": \"{}\", \"shape\": {:?}, \"data\": [", self.dtype, self.shape));
        for k in 0..self.data.len() {
            if k > 0 { out.push_str(", "); }
            match &self.data {
                Data::Floats(v) => spell_float(v[k], self.dtype, out),
                Data::Integers(v) if self.dtype == DType::Bool => out.push_str(if v[k] != 0 { "true" } else { "false" }),
                Data::Integers(v) => spell_integer(v[k], out),
                Data::Strings(v) => match &v[k] { Some(s) => spell(s, out), None => out.push_str("null"), },
            }
        }
        out.push_str("]}");
    }
    /// A tensor in any of its three forms. `bare` is the dtype of a bare array; None lets its elements decide (f64 or str).
    fn read(json: &Json, bare: Option<DType>, at: &str, guard: &Guard) -> Result<Tensor, Error> {
        if json.kind == b'{' { return Tensor::read_object(json, at, guard); }
        let dtype = bare.unwrap_or(if json.holds == 2 { DType::Str } else { DType::F64 }); let mut c = json.elements(at)?;
        let width = if c.next() && c.kind() == b'[' { Some(c.length()?) } else { None };
        let total = json.count.saturating_mul(width.unwrap_or(1));
        // Every element takes two bytes of text at least: more than that is ragged, whatever the counts promise.
        let mut even = total <= (json.end - json.start) / 2;
        let mut filler = Filler::new(dtype, if even { total } else { 0 }, at, guard)?; c = json.elements(at)?;
        match width {
            None => { filler.fill(&mut c, total)?; }
            Some(width) => { while even && c.next() { c.enter()?; even = filler.fill(&mut c, width)?; } }
        }
        if !even { refuse!("{} is ragged: its first row has {} elements, another has not; rows are equally long.", at, width.unwrap_or(0)); }
        let shape = width.map_or(vec![json.count], |width| vec![json.count, width]); Ok(Tensor { dtype, shape, data: filler.done() })
    }
    fn read_object(json: &Json, at: &str, guard: &Guard) -> Result<Tensor, Error> {
        json.only(at, &["dtype", "shape", "enc", "scale", "mask", "data"])?;
        if let Some(key) = json.object(at)?.keys().find(|key| ignored(key)) { refuse!("{} has the key {}; a tensor has none such.", at, quote(key)); }
        let dtype = DType::named(&json.need("dtype", at)?.string(&format!("{} dtype", at))?, at)?;
        let shape = read_shape(json.need("shape", at)?, at, guard)?; let size = product(&shape); let data = json.need("data", at)?;
        let (scale, mask) = (json.get("scale"), json.get("mask"));
        let enc = json.get("enc").map(|e| e.string(&format!("{} enc", at))).transpose()?;
        let good = match enc.as_deref() { None => true, Some("b64") => dtype != DType::Str, Some("i8") => dtype.is_float(), Some(_) => false, };
        if !good { refuse!("{} has an encoding that {} does not have; \"b64\" is one, not for str, and \"i8\" for floats.", at, dtype); }
        if scale.is_some() != (enc.as_deref() == Some("i8")) || mask.is_some() && (enc.is_none() || dtype == DType::Bool) {
            refuse!("{} has \"scale\" without \"enc\" \"i8\", or without it, or a \"mask\" without \"enc\" or of bool.", at);
        }
        if enc.is_some() { let data = encoded(data, scale, mask, dtype, &shape, size, at, guard)?; return Ok(Tensor { dtype, shape, data }); }
        let name = format!("{} data", at); let mut elements = data.elements(&name)?;
        if data.count != size { refuse!("{} holds {} elements for the shape {:?}; they must agree.", at, data.count, shape); }
        let mut filler = Filler::new(dtype, size, at, guard)?; filler.fill(&mut elements, size)?;
        Ok(Tensor { dtype, shape, data: filler.done() })
    }
}
/// Refuses a tensor beyond the limits before it is allocated.
fn allowed(size: usize, at: &str, guard: &Guard) -> Result<(), Error> {
    if size > guard.limits.tensor_elements { refuse!("{} has more than {} elements, the limit of a tensor.", at, guard.limits.tensor_elements); }
    guard.take(size, 8)
}
/// A tensor while its decimal elements are being read.
struct Filler<'a> { dtype: DType, floats: Vec<f64>, integers: Vec<i64>, strings: Vec<Option<Arc<str>>>, guard: &'a Guard }
impl<'a> Filler<'a> {
    fn new(dtype: DType, size: usize, at: &str, guard: &'a Guard) -> Result<Filler<'a>, Error> {
        allowed(size, at, guard)?; let mut filler = Filler { dtype, floats: Vec::new(), integers: Vec::new(), strings: Vec::new(), guard };
        if dtype.is_float() {
            filler.floats.reserve(size);
        } else if dtype == DType::Str { guard.take(size, 16)?; filler.strings.reserve(size); } else { filler.integers.reserve(size); }
        Ok(filler)
    }
    /// Decodes the rest of an array; whether it has just so many elements.
    fn fill(&mut self, c: &mut Cursor<'_>, needed: usize) -> Result<bool, Error> {
        let mut n = 0;
        while c.next() {
            if n == needed { return Ok(false); }
            if self.dtype.is_float() {
                self.floats.push(c.number(self.dtype)?);
            } else if self.dtype == DType::Str {
                let s = c.missing()?; self.guard.measure(s.as_deref().unwrap_or("")); self.guard.take(s.as_ref().map_or(0, |s| 32 + s.len()), 1)?; self.strings.push(s);
            } else if self.dtype == DType::Bool { self.integers.push(i64::from(c.bool()?)); } else { self.integers.push(c.integer(self.dtype)?); }
            n += 1;
        }
        Ok(n == needed)
    }
    fn done(self) -> Data {
        if self.dtype.is_float() {
            Data::floats(self.floats)
        } else if self.dtype == DType::Str { Data::Strings(Arc::new(self.strings)) } else { Data::integers(self.integers) }
    }
}
fn read_shape(json: &Json, at: &str, guard: &Guard) -> Result<Vec<usize>, Error> {
    let name = format!("{} shape", at); let mut c = json.elements(&name)?;
    if json.count > guard.limits.rank { refuse!("{} has rank {}, more than the limit of {}.", at, json.count, guard.limits.rank); }
    let mut shape = Vec::new();
    while c.next() {
        let n = c.integer(DType::I64)?;
        if !(0..=i64::from(i32::MAX)).contains(&n) { refuse!("{} has the length {} in its shape; lengths run from 0 to 2^31-1.", at, n); }
        shape.push(n as usize);
    }
    Ok(shape)
}
/// Elements in base64: little-endian or, with a scale, signed bytes to be multiplied by it; with a mask, only those that it has.
#[allow(clippy::too_many_arguments)]
fn encoded(data: &Json, scale: Option<&Json>, mask: Option<&Json>, dtype: DType, shape: &[usize], size: usize, at: &str, guard: &Guard) -> Result<Data, Error> {
    if size > guard.limits.tensor_elements { allowed(size, at, guard)?; }
    let scale = scale.map(|json| scales(json, dtype, shape, &format!("{} scale", at), guard)).transpose()?;
    let mask = mask.map(|json| base64(json, (size + 7) / 8, &format!("{} mask", at), guard)).transpose()?;
    let written = mask.as_ref().map_or(size, |mask| mask.iter().map(|byte| byte.count_ones() as usize).sum());
    if let Some(last) = mask.as_ref().and_then(|mask| mask.last()) {
        if size % 8 != 0 && last >> (size % 8) != 0 { refuse!("{} mask goes beyond the last element; the bits behind it are 0.", at); }
    }
    let bytes_each = if scale.is_some() { 1 } else { dtype.bytes() };
    let bytes = base64(data, written.saturating_mul(bytes_each), &format!("{} data", at), guard)?;
    allowed(size, at, guard)?; let mut chunks = bytes.chunks_exact(bytes_each.max(1));
    let mut next = |k: usize| match &mask {
        Some(mask) if mask[k >> 3] >> (k & 7) & 1 == 0 => None,
        _ => chunks.next(),
    };
    if let Some(scale) = scale {
        let per = if scale.len() == 1 { usize::MAX } else { size / shape[0].max(1) };
        return Ok(Data::floats((0..size).map(|k| next(k).map_or(0.0, |b| rounded(f64::from(b[0] as i8) * scale[k / per], dtype))).collect()));
    }
    let bits = |b: &[u8]| b.iter().rev().fold(0u64, |bits, &byte| bits << 8 | u64::from(byte));
    if dtype.is_float() {
        let float = |b: &[u8]| if dtype == DType::F64 { f64::from_bits(bits(b)) } else { f64::from(f32::from_bits(bits(b) as u32)) };
        return Ok(Data::floats((0..size).map(|k| next(k).map_or(0.0, float)).collect()));
    }
    let unused = if dtype.range().0 < 0 { 64 - 8 * bytes_each as u32 } else { 0 }; // of a signed integer: filled with the sign
    let integers: Vec<i64> = (0..size).map(|k| next(k).map_or(0, |b| ((bits(b) << unused) as i64) >> unused)).collect();
    if dtype == DType::Bool { if let Some(wrong) = integers.iter().find(|&&v| v > 1) { refuse!("{} holds the byte {} for a bool; it is 0 or 1.", at, wrong); } }
    Ok(Data::integers(integers))
}
fn scales(json: &Json, dtype: DType, shape: &[usize], at: &str, guard: &Guard) -> Result<Vec<f64>, Error> {
    let mut c = json.elements(at)?;
    if json.count != 1 && shape.first() != Some(&json.count) {
        refuse!("{} has {} numbers; one is needed, or one for each index of the first axis.", at, json.count);
    }
    allowed(json.count, at, guard)?; let mut scale = Vec::with_capacity(json.count);
    while c.next() {
        let v = c.number(dtype)?;
        if !(v > 0.0 && v <= f64::MAX) { refuse!("{} holds {:?}; it is positive and finite.", at, v); }
        scale.push(v);
    }
    Ok(scale)
}
/// So many bytes in standard base64, padded. The length is checked before anything is allocated.
fn base64(json: &Json, needed: usize, at: &str, guard: &Guard) -> Result<Vec<u8>, Error> {
    json.expect(b'"', at)?; guard.take(json.end - json.start, 2)?; let literal = &json.doc[json.start + 1..json.end - 1];
    let text = if literal.contains(&b'\\') { Cow::Owned(json.string(at)?.into_bytes()) } else { Cow::Borrowed(literal) };
    let n = text.len(); let padding = if text.ends_with(b"==") { 2 } else { usize::from(text.ends_with(b"=")) };
    if n % 4 != 0 || n / 4 * 3 != needed.saturating_add(padding) {
        refuse!("{} holds {} characters of base64 with padding; its shape and dtype need another number.", at, n);
    }
    let mut value = [255u8; 256];
    for (k, &c) in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().enumerate() { value[usize::from(c)] = k as u8; }
    let mut out = Vec::with_capacity(needed); let (mut wrong, mut bits, mut held) = (false, 0u32, 0u32);
    for &c in &text[..n - padding] {
        let v = value[usize::from(c)]; wrong |= v == 255; bits = (bits << 6 | u32::from(v & 63)) & 0xffff; held += 6;
        if held >= 8 { held -= 8; out.push((bits >> held) as u8); }
    }
    if wrong || bits & ((1 << held) - 1) != 0 { refuse!("{} is not standard base64 with padding.", at); }
    Ok(out)
}
/// The nearest number of a dtype of floats.
pub(crate) fn rounded(v: f64, dtype: DType) -> f64 { if dtype == DType::F32 { f64::from(v as f32) } else { v } }
/// Rounds all of them.
pub(crate) fn round_all(values: &mut [f64], dtype: DType) { if dtype == DType::F32 { values.iter_mut().for_each(|v| *v = f64::from(*v as f32)); } }

// ==== 4 Special functions ============================================================================================

// erf: W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969).
const ERF_A: [f64; 5] = [3.16112374387056560e0, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3, 1.85777706184603153e-1];
const ERF_B: [f64; 4] = [2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3];
const ERF_C: [f64; 9] = [
    5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1, 2.98635138197400131e2, 8.81952221241769090e2,
    1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3, 2.15311535474403846e-8,
];
const ERF_D: [f64; 8] = [
    1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3, 3.29079923573345963e3,
    4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
];
const ERF_P: [f64; 6] = [
    3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4,
    1.63153871373020978e-2,
];
const ERF_Q: [f64; 5] = [2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1, 6.05183413124413191e-2, 2.33520497626869185e-3];
const SQRPI: f64 = 5.6418958354775628695e-1;
// norm_ppf: M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied Statistics 37 (1988); PPND16.
const PPF_A: [f64; 8] = [
    3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4, 4.5921953931549871457e4,
    6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3,
];
const PPF_B: [f64; 8] = [
    1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3, 2.1213794301586595867e4, 3.9307895800092710610e4,
    2.8729085735721942674e4, 5.2264952788528545610e3,
];
const PPF_C: [f64; 8] = [
    1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0, 1.27045825245236838258e0,
    2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4,
];
const PPF_D: [f64; 8] = [
    1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1, 1.48103976427480074590e-1,
    1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9,
];
const PPF_E: [f64; 8] = [
    6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1, 2.65321895265761230930e-2,
    1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7,
];
const PPF_F: [f64; 8] = [
    1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2, 7.86869131145613259100e-4,
    1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15,
];
pub(crate) fn erf(x: f64) -> f64 {
    let y = x.abs(); let z = 1.0 / (y * y);
    if !(y > 0.46875) { return x * cody(&ERF_A, &ERF_B, 3, y * y); }
    let rest = if y <= 4.0 { cody(&ERF_C, &ERF_D, 7, y) } else { (SQRPI - z * cody(&ERF_P, &ERF_Q, 4, z)) / y };
    let coarse = (y * 16.0).floor() / 16.0;
    let erfc = if y > 26.6 { 0.0 } else { (-coarse * coarse).exp() * (-(y - coarse) * (y + coarse)).exp() * rest };
    if x < 0.0 { erfc - 1.0 } else { 1.0 - erfc }
}
/// Cody's ratio of two polynomials of degree n + 1: the leading coefficient of the numerator is its last entry.
fn cody(top: &[f64], bottom: &[f64], n: usize, z: f64) -> f64 {
    let (mut a, mut b) = (top[n + 1] * z, z);
    for k in 0..n { a = (a + top[k]) * z; b = (b + bottom[k]) * z; }
    (a + top[n]) / (b + bottom[n])
}
fn norm_ppf(p: f64) -> f64 {
    if !(p > 0.0 && p < 1.0) { return if p == 0.0 { f64::NEG_INFINITY } else if p == 1.0 { f64::INFINITY } else { f64::NAN }; }
    let q = p - 0.5;
    if q.abs() <= 0.425 { return q * ratio(&PPF_A, &PPF_B, 0.180625 - q * q); }
    let r = (-(if q < 0.0 { p } else { 1.0 - p }).ln()).sqrt();
    let tail = if r <= 5.0 { ratio(&PPF_C, &PPF_D, r - 1.6) } else { ratio(&PPF_E, &PPF_F, r - 5.0) };
    if q < 0.0 { -tail } else { tail }
}
fn ratio(top: &[f64], bottom: &[f64], r: f64) -> f64 {
    let horner = |c: &[f64]| c.iter().rev().fold(0.0, |a, c| a * r + c); horner(top) / horner(bottom)
}
/// Where exp overflows the quotient is 0.
pub(crate) fn sigmoid(x: f64) -> f64 { 1.0 / (1.0 + (-x).exp()) }
pub(crate) fn softplus(x: f64) -> f64 { larger(x, 0.0) + (-x.abs()).exp().ln_1p() }
/// The larger of two; NaN when one of them is.
pub(crate) fn larger(x: f64, y: f64) -> f64 { if x.is_nan() || x > y || x == y && y.is_sign_negative() { x } else { y } }
/// The smaller of two; NaN when one of them is.
pub(crate) fn smaller(x: f64, y: f64) -> f64 { if x.is_nan() || x < y || x == y && x.is_sign_negative() { x } else { y } }
/// The nearest integer, half to even (f64::round_ties_even is younger than 1.63).
fn half_even(x: f64) -> f64 {
    const WHOLE: f64 = 4503599627370496.0; // 2^52: from here on every number is an integer
    if x.abs() < WHOLE { (x.abs() + WHOLE - WHOLE).copysign(x) } else { x }
}

// ==== 5 Ops ==========================================================================================================

/// Checks the attributes of a step and the types of what it reads.
pub(crate) type Check = fn(&mut Args<'_>) -> Result<Step, Error>;
/// A table of ops: those of this file, `modelport_more::OPS` (profiles kernel, text, solver), `modelport_nn::OPS` (profile nn).
pub struct Ops(pub(crate) &'static [(&'static str, Check)]);
/// The table of ops of profile tabular, in the order of docs/format.md.
static TABULAR: Ops = Ops(&[
    ("concat", concat), ("select", select), ("cast", cast), ("constant", constant), ("impute", impute), ("is_missing", is_missing),
    ("lookup", lookup), ("onehot", onehot), ("scale", scale), ("clip", clip), ("unary", unary), ("binary", binary),
    ("where", choose), ("linear", linear), ("softmax", softmax), ("log_softmax", log_softmax), ("reduce", reduce),
    ("two_class", two_class), ("take", take), ("tree_ensemble", tree_ensemble),
]);
/// The entry of an op. A further table comes first: it may do an op of this file in another way.
fn entry(op: &str, more: &[&'static Ops]) -> Option<Check> {
    more.iter().chain([&&TABULAR]).flat_map(|table| table.0).find(|(name, _)| *name == op).map(|(_, check)| *check)
}
/// The names of the ops that this reader implements, alone or with further ones, sorted.
pub fn ops(more: &[&'static Ops]) -> Vec<&'static str> {
    let names: BTreeSet<&str> = more.iter().chain([&&TABULAR]).flat_map(|table| table.0).map(|(name, _)| *name).collect();
    names.into_iter().collect()
}
/// What attributes and steps have become, when steps are checked more than once: by their place in the document.
#[derive(Default)]
struct Memo { tensors: Mutex<HashMap<usize, Arc<Tensor>>>, steps: Mutex<HashMap<usize, Arc<Step>>> }
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> { mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) }
/// A step while it is being checked: its attributes, read one by one, and the types of what it reads.
pub(crate) struct Args<'a> {
    pub(crate) at: String, pub(crate) types: Vec<Type>,
    pub(crate) guard: &'a Guard,
    /// Of ops marked d.
    pub(crate) dtype: DType,
    /// Multiplications per row (docs/format.md: mul); strings per row beside those that are read and defined.
    pub(crate) work: f64, pub(crate) strings: f64, inputs: Vec<usize>, json: &'a Json, memo: Option<&'a Memo>, read: Vec<&'static str>, deep: bool,
}
impl<'a> Args<'a> {
    /// Accepts values of any rank; without it, only rows.
    pub(crate) fn deep(&mut self) -> &mut Self { self.deep = true; self }
    pub(crate) fn refuse<T>(&self, sentence: String) -> Result<T, Error> { refuse!("{} {}", self.at, sentence) }
    /// Refuses attributes that the op has not read.
    fn finish(&self) -> Result<(), Error> {
        for key in self.json.members.keys() {
            if !self.read.contains(&key.as_str()) && !ignored(key) && !["op", "in", "out"].contains(&key.as_str()) {
                return self.refuse(format!("has the unknown attribute {}, which may change its meaning.", quote(key)));
            }
        }
        Ok(())
    }
    pub(crate) fn arity(&self, low: usize, high: usize) -> Result<(), Error> {
        let n = self.types.len();
        if n < low || n > high {
            let exactly = if low == high { "exactly" } else { "at least" };
            return self.refuse(format!("reads {} values; {} {} are needed.", n, exactly, low));
        }
        Ok(())
    }
    pub(crate) fn input(&self, k: usize, allowed: &[DType]) -> Result<Type, Error> {
        let t = &self.types[k];
        if t.rank() > 1 && !self.deep { return self.refuse(format!("reads {}; a row of rank 0 or 1 is needed.", t)); }
        if !allowed.contains(&t.dtype) {
            let names: Vec<&str> = allowed.iter().map(|d| d.name()).collect();
            return self.refuse(format!("reads {}; one of {} is needed, a cast step may help.", t, names.join(", ")));
        }
        Ok(t.clone())
    }
    /// The only input, of one of the dtypes.
    pub(crate) fn one(&self, allowed: &[DType]) -> Result<Type, Error> {
        self.arity(1, 1)?; self.input(0, allowed)
    }
    /// The only input of an op marked d: floats, as they are after rounding to the step's dtype.
    pub(crate) fn rounded(&mut self) -> Result<Type, Error> { self.dtype = self.floating("dtype")?; Ok(self.one(FLOATS)?.with(self.dtype)) }
    pub(crate) fn floating(&mut self, key: &'static str) -> Result<DType, Error> {
        Ok(if self.choice_or(key, &["f64", "f32"])? == "f32" { DType::F32 } else { DType::F64 })
    }
    pub(crate) fn has(&self, key: &str) -> bool { self.json.get(key).is_some() }
    pub(crate) fn attribute(&mut self, key: &'static str) -> Result<&'a Json, Error> {
        self.read.push(key); let json: &'a Json = self.json;
        match json.get(key) { Some(value) => Ok(value), None => self.refuse(format!("lacks the required attribute {}.", quote(key))), }
    }
    fn named(&self, key: &str) -> String { format!("{} attribute {}", self.at, quote(key)) }
    /// One of the options.
    pub(crate) fn choice(&mut self, key: &'static str, options: &[&'static str]) -> Result<&'static str, Error> {
        let value = self.attribute(key)?.string(&self.named(key))?;
        match options.iter().find(|option| **option == value) {
            Some(option) => Ok(option), None => self.refuse(format!("has {} {}; it is one of {}.", quote(key), quote(&value), options.join(", "))),
        }
    }
    /// The same; the first is the default.
    pub(crate) fn choice_or(&mut self, key: &'static str, options: &[&'static str]) -> Result<&'static str, Error> {
        if self.has(key) { self.choice(key, options) } else { Ok(options[0]) }
    }
    pub(crate) fn flag(&mut self, key: &'static str, otherwise: bool) -> Result<bool, Error> {
        if !self.has(key) { return Ok(otherwise); }
        self.attribute(key)?.scalar(&self.named(key)).bool()
    }
    pub(crate) fn integer(&mut self, key: &'static str, low: i64, high: i64) -> Result<usize, Error> {
        let (value, high) = (self.attribute(key)?.scalar(&self.named(key)).integer(DType::I64)?, high.min(MOST_WHOLE));
        if value < low || value > high || value < 0 {
            return self.refuse(format!("has {} {}; it lies between {} and {}.", quote(key), value, low, high));
        }
        Ok(value as usize)
    }
    pub(crate) fn number(&mut self, key: &'static str, otherwise: f64) -> Result<f64, Error> {
        if !self.has(key) { return Ok(otherwise); }
        self.attribute(key)?.scalar(&self.named(key)).number(DType::F64)
    }
    /// One JSON element of the dtype; null only where a missing string is an element.
    fn element(&mut self, key: &'static str, dtype: DType, missing: bool) -> Result<Data, Error> {
        let name = self.named(key); let mut c = self.attribute(key)?.scalar(&name);
        let data = match dtype {
            DType::F64 | DType::F32 => Data::floats(vec![c.number(dtype)?]), DType::Str if missing => Data::Strings(Arc::new(vec![c.missing()?])),
            DType::Str => Data::Strings(Arc::new(vec![Some(Arc::from(c.string()?))])), DType::Bool => Data::integers(vec![i64::from(c.bool()?)]),
            _ => Data::integers(vec![c.integer(dtype)?]),
        };
        if let Some(Some(s)) = data.s().first() { self.guard.measure(s); } Ok(data)
    }
    /// The tensor of an attribute; decoded once.
    fn decoded(&mut self, key: &'static str, bare: Option<DType>) -> Result<Arc<Tensor>, Error> {
        let value = self.attribute(key)?;
        if let Some(known) = self.memo.and_then(|memo| locked(&memo.tensors).get(&value.start).cloned()) { return Ok(known); }
        let tensor = Arc::new(Tensor::read(value, bare, &self.named(key), self.guard)?);
        if let Some(memo) = self.memo { locked(&memo.tensors).insert(value.start, tensor.clone()); }
        Ok(tensor)
    }
    /// A row shape, held against the limits before anything is allocated by it.
    pub(crate) fn shaped(&self, dtype: DType, dims: Vec<usize>) -> Result<Type, Error> {
        let t = Type::new(dtype, dims); let limits = &self.guard.limits;
        if t.counted() > limits.row_elements || t.rank() > limits.rank {
            return self.refuse(format!("gives {}, more than the limit of {} elements, or of rank {}.", t, limits.row_elements, limits.rank));
        }
        Ok(t)
    }
    /// A tensor of the dtype (None: any) and of one of the lowest..highest ranks.
    pub(crate) fn tensor(&mut self, key: &'static str, dtype: Option<DType>, lowest: usize, highest: usize) -> Result<Arc<Tensor>, Error> {
        let t = self.decoded(key, dtype)?;
        if dtype.map_or(false, |dtype| t.dtype != dtype) || t.shape.len() < lowest || t.shape.len() > highest {
            let wanted = dtype.map_or(String::new(), |dtype| format!("{} and ", dtype));
            return self.refuse(format!("has {} of dtype {} and rank {}; {}rank {} is needed.", quote(key), t.dtype, t.shape.len(), wanted, highest));
        }
        Ok(t)
    }
    /// Floats of the step's dtype, rank 1, so many (None: any number).
    pub(crate) fn floats(&mut self, key: &'static str, length: Option<usize>) -> Result<Arc<Vec<f64>>, Error> { self.floats_of(key, self.dtype, length) }
    pub(crate) fn floats_of(&mut self, key: &'static str, dtype: DType, length: Option<usize>) -> Result<Arc<Vec<f64>>, Error> {
        let t = self.tensor(key, Some(dtype), 1, 1)?; self.expect(key, t.data.len(), length)?; Ok(held(&t))
    }
    /// The same, or None when absent.
    pub(crate) fn optional(&mut self, key: &'static str, dtype: DType, length: Option<usize>) -> Result<Option<Arc<Vec<f64>>>, Error> {
        if self.has(key) { self.floats_of(key, dtype, length).map(Some) } else { Ok(None) }
    }
    /// One element for each column, or one for all (then repeated); None when absent.
    fn per_column(&mut self, key: &'static str, x: &Type) -> Result<Option<Vec<f64>>, Error> {
        let values = match self.optional(key, x.dtype, None)? { None => return Ok(None), Some(values) => values, };
        self.guard.take(x.last(), 8)?;
        if values.len() == 1 { return Ok(Some(vec![values[0]; x.last()])); }
        self.expect(key, values.len(), Some(x.last()))?; Ok(Some(values.to_vec()))
    }
    pub(crate) fn expect(&self, key: &str, found: usize, needed: Option<usize>) -> Result<(), Error> {
        match needed {
            Some(needed) if found != needed => { self.refuse(format!("has {} with {} elements; {} are needed.", quote(key), found, needed)) }
            _ => Ok(()),
        }
    }
    /// A float matrix with a column for each of the row's: its rows and its elements.
    pub(crate) fn matrix(&mut self, key: &'static str, x: &Type) -> Result<(usize, Arc<Vec<f64>>), Error> {
        let t = self.tensor(key, Some(x.dtype), 2, 2)?; self.fitting(key, &t, x)?; Ok((t.shape[0], held(&t)))
    }
    pub(crate) fn fitting(&self, key: &str, t: &Tensor, x: &Type) -> Result<(), Error> {
        if t.shape[1] != x.last() || t.shape[0] > self.guard.limits.row_elements {
            return self.refuse(format!(
                "has {} of shape {:?}; {} columns and at most {} rows are needed.", quote(key), t.shape, x.last(), self.guard.limits.row_elements
            ));
        }
        Ok(())
    }
    /// A tensor of any integer dtype.
    pub(crate) fn integers(&mut self, key: &'static str, rank: usize) -> Result<Arc<Tensor>, Error> {
        let t = self.decoded(key, Some(DType::I64))?;
        if !t.dtype.is_integer() || t.shape.len() != rank {
            return self.refuse(format!("has {} of dtype {} and rank {}; integers of rank {} are needed.", quote(key), t.dtype, t.shape.len(), rank));
        }
        Ok(t)
    }
    /// Integers of rank 1, so many (None: any number), each within low..high.
    pub(crate) fn ints(&mut self, key: &'static str, length: Option<usize>, low: i64, high: i64) -> Result<Vec<i64>, Error> {
        let t = self.integers(key, 1)?; self.expect(key, t.data.len(), length)?; self.within(key, t.data.i(), low, high)
    }
    /// The same, of which none may be negative.
    pub(crate) fn places(&mut self, key: &'static str, length: Option<usize>, low: usize, high: usize) -> Result<Vec<usize>, Error> {
        Ok(self.ints(key, length, low as i64, i64::try_from(high).unwrap_or(i64::MAX))?.into_iter().map(|v| v as usize).collect())
    }
    pub(crate) fn within(&self, key: &str, values: &[i64], low: i64, high: i64) -> Result<Vec<i64>, Error> {
        self.guard.take(values.len(), 16)?;
        if let Some(k) = values.iter().position(|&v| v < low || v > high) {
            return self.refuse(format!("has {} in {} at position {}; it lies between {} and {}.", values[k], quote(key), k, low, high));
        }
        Ok(values.to_vec())
    }
    /// The row shape to which those of all inputs broadcast.
    pub(crate) fn broadcast(&self, dtype: DType) -> Result<Type, Error> {
        let rank = self.types.iter().map(Type::rank).max().unwrap_or(0); let mut dims = vec![1; rank];
        for t in &self.types {
            for (wide, &n) in dims[rank - t.rank()..].iter_mut().zip(&t.dims) {
                if n != *wide && n != 1 && *wide != 1 {
                    let all: Vec<String> = self.types.iter().map(Type::to_string).collect();
                    return self.refuse(format!("joins {}; the lengths of every axis must be equal, or 1.", all.join(", ")));
                }
                *wide = if *wide == 1 { n } else { *wide };
            }
        }
        self.shaped(dtype, dims)
    }
    /// Says how many multiplications a row takes, if not none: the product of the factors.
    pub(crate) fn multiplies(&mut self, factors: &[usize]) { self.work = factors.iter().map(|&n| n as f64).product(); }
    /// The checked step, whose value is what `run` returns.
    pub(crate) fn step(&self, ty: Type, run: impl Fn(&Step, &Frame) -> Result<Data, Error> + Send + Sync + 'static) -> Result<Step, Error> {
        Ok(Step { at: self.at.clone(), inputs: self.inputs.clone(), from: self.types.clone(), ty, dtype: self.dtype, work: self.work, strings: self.strings, run: Box::new(run), })
    }
    /// A step that computes floats row by row, along the last axis: from a row of its first input, into a row of zeros. Results are
    /// rounded to the dtype of the value.
    pub(crate) fn rows(&self, ty: Type, row: impl Fn(&[f64], &mut [f64]) + Send + Sync + 'static) -> Result<Step, Error> {
        self.step(ty, move |s, f| {
            let x = s.floats(f, 0); let mut y = vec![0.0; f.rows * s.ty.width()];
            let (n, m) = (s.from[0].last(), s.ty.last());
            for r in 0..f.rows * s.from[0].lanes() { row(&x[r * n..(r + 1) * n], &mut y[r * m..(r + 1) * m]); }
            round_all(&mut y, s.ty.dtype); Ok(Data::floats(y))
        })
    }
    /// A step that computes floats element by element.
    pub(crate) fn each(&self, ty: Type, of: impl Fn(f64) -> f64 + Send + Sync + 'static) -> Result<Step, Error> {
        self.step(ty, move |s, f| { let to = s.ty.dtype; Ok(Data::floats(s.floats(f, 0).iter().map(|&v| rounded(of(v), to)).collect())) })
    }
}
/// The elements of a float tensor.
pub(crate) fn held(t: &Tensor) -> Arc<Vec<f64>> { if let Data::Floats(v) = &t.data { v.clone() } else { Arc::default() } }
/// The values of one block of rows; `first` is the number of the block's first row in the batch.
pub(crate) struct Frame {
    pub(crate) rows: usize, first: usize, values: Vec<Data>,
}
type Run = Box<dyn Fn(&Step, &Frame) -> Result<Data, Error> + Send + Sync>;
/// A checked step. `run` returns the rows of its value.
pub(crate) struct Step {
    at: String, inputs: Vec<usize>, pub(crate) from: Vec<Type>,
    pub(crate) ty: Type, pub(crate) dtype: DType,
    work: f64, strings: f64, run: Run,
}
impl Step {
    /// The k-th input.
    pub(crate) fn input<'a>(&self, f: &'a Frame, k: usize) -> &'a Data { &f.values[self.inputs[k]] }
    /// The k-th input, rounded to the step's dtype.
    pub(crate) fn floats(&self, f: &Frame, k: usize) -> Arc<Vec<f64>> {
        match self.input(f, k) {
            Data::Floats(x) if self.dtype == DType::F32 && self.from[k].dtype == DType::F64 => { Arc::new(x.iter().map(|&v| rounded(v, DType::F32)).collect()) }
            Data::Floats(x) => x.clone(),
            _ => Arc::default(),
        }
    }
    pub(crate) fn refuse<T>(&self, f: &Frame, row: usize, sentence: String) -> Result<T, Error> {
        refuse!("{} refuses row {}: {}", self.at, f.first + row, sentence)
    }
}
/// concat: joins rows, or values of one rank along an axis.
fn concat(a: &mut Args<'_>) -> Result<Step, Error> {
    a.deep().arity(1, usize::MAX)?; let x = a.input(0, ANY)?;
    let axis = if a.has("axis") { Some(a.integer("axis", 0, x.rank() as i64 - 1)?) } else { None }; let mut width = 0usize;
    for k in 0..a.types.len() {
        let t = a.input(k, &[x.dtype])?;
        let good = axis.map_or(t.rank() < 2, |axis| t.rank() == x.rank() && t.resized(axis, 1) == x.resized(axis, 1));
        if !good {
            let all: Vec<String> = a.types.iter().map(Type::to_string).collect();
            return a.refuse(format!("joins {}; rows are needed or, with \"axis\", shapes that are equal but for that axis.", all.join(", ")));
        }
        width = width.saturating_add(axis.map_or(t.width(), |axis| t.dims[axis]));
    }
    let ty = axis.map_or(Type::row(x.dtype, width), |axis| x.resized(axis, width));
    a.step(ty, move |s, f| {
        let lanes = axis.map_or(1, |axis| s.ty.size(0, axis));
        let parts: Vec<&Data> = (0..s.from.len()).map(|k| s.input(f, k)).collect();
        let lengths: Vec<usize> = s.from.iter().map(|t| t.width() / lanes.max(1)).collect();
        let stretches = (0..f.rows * lanes).flat_map(|r| lengths.iter().enumerate().map(move |(k, n)| (k, r * n, (r + 1) * n)));
        Ok(Data::join(&parts, stretches))
    })
}
/// select: columns by position.
fn select(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.one(ANY)?; let width = x.width(); let index = a.ints("index", None, 0, width as i64 - 1)?;
    a.step(Type::row(x.dtype, index.len()), move |s, f| {
        let (data, n) = (s.input(f, 0), index.len());
        Data::pick(f.rows * n, data, data, |k| Ok((k / n * width) as isize + index[k % n] as isize))
    })
}
/// cast: changes the dtype; what does not fit an integer is refused. An integer becomes an f32 in one rounding, not by way of f64.
fn cast(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.deep().one(&ANY[..ANY.len() - 1])?; let to = DType::named(a.choice("to", &NAMES[..NAMES.len() - 1])?, &a.at)?;
    a.step(x.with(to), move |s, f| {
        let (low, high) = to.range(); let width = s.ty.width();
        let misfit = |k: usize, given: String| s.refuse(f, k / width, format!("{} does not fit the dtype {}.", given, to));
        match s.input(f, 0) {
            Data::Floats(x) if to.is_float() => Ok(Data::floats(x.iter().map(|&v| rounded(v, to)).collect())),
            Data::Floats(x) if to == DType::Bool => Ok(Data::integers(x.iter().map(|&v| i64::from(v != 0.0)).collect())),
            Data::Floats(x) => {
                let mut out = Vec::with_capacity(x.len());
                let above = if to == DType::I64 { 9223372036854775808.0 } else { high as f64 + 1.0 }; // exact also where high is not
                for (k, &v) in x.iter().enumerate() {
                    let whole = v.trunc();
                    if !(whole >= low as f64 && whole < above) { return misfit(k, format!("{:?}", v)); }
                    out.push(whole as i64);
                }
                Ok(Data::integers(out))
            }
            other => {
                let x = other.i();
                match to {
                    DType::F64 => Ok(Data::floats(x.iter().map(|&v| v as f64).collect())),
                    DType::F32 => Ok(Data::floats(x.iter().map(|&v| f64::from(v as f32)).collect())),
                    DType::Bool => Ok(Data::integers(x.iter().map(|&v| i64::from(v != 0)).collect())),
                    _ => match x.iter().position(|&v| v < low || v > high) { Some(k) => misfit(k, format!("{}", x[k])), None => Ok(other.clone()), },
                }
            }
        }
    })
}
/// constant: the same row for every row of the batch.
fn constant(a: &mut Args<'_>) -> Result<Step, Error> {
    a.deep().arity(0, 0)?;
    if a.attribute("value")?.kind != b'{' { return a.refuse("has a bare \"value\"; write it in the object form, which states its dtype.".to_string()); }
    let value = a.tensor("value", None, 0, a.guard.limits.rank)?;
    a.step(Type::new(value.dtype, value.shape.clone()), move |_, f| { Ok(Data::join(&[&value.data], (0..f.rows).map(|_| (0, 0, value.data.len())))) })
}
/// What counts as missing in impute and is_missing: elements that equal `match`; by default NaN among floats, null among strings.
fn matched(a: &mut Args<'_>, x: &Type) -> Result<Key, Error> {
    if a.has("match") { return Ok(a.element("match", x.dtype, false)?.key(0)); }
    Ok(if x.dtype == DType::Str { Key::Text(None) } else { float_key(f64::NAN) })
}
/// impute: elements that match are replaced by the column's value.
fn impute(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.one(CAN_BE_MISSING)?; let missing = matched(a, &x)?;
    let values = a.tensor("values", Some(x.dtype), 1, 1)?; let n = values.data.len();
    if n != 1 { a.expect("values", n, Some(x.width()))?; }
    a.step(x, move |s, f| {
        let data = s.input(f, 0);
        Data::pick(data.len(), data, &values.data, |k| Ok(if data.key(k) == missing { -1 - (k % n) as isize } else { k as isize }))
    })
}
/// is_missing: 1.0 where an element matches, else 0.0.
fn is_missing(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.one(CAN_BE_MISSING)?; let missing = matched(a, &x)?;
    a.step(x.with(DType::F64), move |s, f| {
        let data = s.input(f, 0); Ok(Data::floats((0..data.len()).map(|k| if data.key(k) == missing { 1.0 } else { 0.0 }).collect()))
    })
}
/// lookup: the value of the equal key; the default, or a refusal, for an unknown one.
fn lookup(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.deep().one(&[DType::F64, DType::F32, DType::I64, DType::Bool, DType::Str])?;
    let keys = a.tensor("keys", Some(x.dtype), 1, 1)?; let values = a.tensor("values", None, 1, 1)?;
    let otherwise = if a.has("default") { Some(a.element("default", values.dtype, true)?) } else { None };
    let n = keys.data.len(); a.expect("values", values.data.len(), Some(n))?;
    a.guard.take(n, 96)?; let mut known = HashMap::with_capacity(n);
    for k in 0..n {
        if known.insert(keys.data.key(k), k as isize).is_some() {
            return a.refuse(format!("has one key twice in \"keys\", at position {}; keys are all different.", k));
        }
    }
    a.multiplies(&[x.width(), COSTLY]);
    a.step(x.with(values.dtype), move |s, f| {
        let data = s.input(f, 0);
        Data::pick(data.len(), &values.data, otherwise.as_ref().unwrap_or(&values.data), |k| match known.get(&data.key(k)) {
            Some(&place) => Ok(place), None if otherwise.is_some() => Ok(-1),
            None => s.refuse(f, k / s.ty.width(), format!("{} is none of the known categories.", data.shown(k, s.from[0].dtype))),
        })
    })
}
/// onehot: per column a unit vector; -1 gives zeros.
fn onehot(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.one(INTEGERS)?; let size = a.integer("size", 1, i64::try_from(a.guard.limits.tensor_elements).unwrap_or(i64::MAX))?;
    let width = x.width();
    a.step(Type::row(DType::F64, width.saturating_mul(size)), move |s, f| {
        let mut out = vec![0.0; f.rows * s.ty.width()];
        for (k, &code) in s.input(f, 0).i().iter().enumerate() {
            if code < -1 || code >= size as i64 { return s.refuse(f, k / width, format!("the code {} lies outside 0..{}.", code, size - 1)); }
            if code >= 0 { out[k * size + code as usize] = 1.0; }
        }
        Ok(Data::floats(out))
    })
}
/// scale: ((x - sub) / div) * mul + add, absent parts skipped.
fn scale(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.deep().rounded()?; let (sub, div) = (a.per_column("sub", &x)?, a.per_column("div", &x)?);
    let (mul, add) = (a.per_column("mul", &x)?, a.per_column("add", &x)?); let dtype = a.dtype;
    a.rows(x, move |x, y| {
        for (j, v) in y.iter_mut().enumerate() {
            *v = x[j];
            if let Some(p) = &sub { *v = rounded(*v - p[j], dtype); }
            if let Some(p) = &div { *v = rounded(*v / p[j], dtype); }
            if let Some(p) = &mul { *v = rounded(*v * p[j], dtype); }
            if let Some(p) = &add { *v += p[j]; }
        }
    })
}
/// clip: bounds per column; NaN passes.
fn clip(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.deep().rounded()?; let (min, max) = (a.per_column("min", &x)?, a.per_column("max", &x)?);
    a.rows(x, move |x, y| {
        for (j, v) in y.iter_mut().enumerate() {
            *v = match (&min, &max) {
                (Some(min), _) if x[j] < min[j] => min[j],
                (_, Some(max)) if x[j] > max[j] => max[j],
                _ => x[j],
            };
        }
    })
}
/// How many multiplications a function or a search counts as.
pub(crate) const COSTLY: usize = 16; const MOVED: f64 = 8.0;
type Unary = fn(f64) -> f64;
/// The functions of unary, spelled as in the format.
fn unary_named(name: &str) -> Unary {
    match name {
        "neg" => |x| -x, "abs" => f64::abs, "sign" => |x| if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { x + 0.0 },
        "sqrt" => f64::sqrt, "square" => |x| x * x, "reciprocal" => |x| 1.0 / x,
        "floor" => f64::floor, "ceil" => f64::ceil, "round" => half_even, "trunc" => f64::trunc,
        "relu" => |x| if x > 0.0 || x.is_nan() { x } else { 0.0 }, "exp" => f64::exp, "expm1" => f64::exp_m1, "log" => f64::ln,
        "log1p" => f64::ln_1p, "log2" => f64::log2, "log10" => f64::log10, "sin" => f64::sin, "cos" => f64::cos, "tan" => f64::tan,
        "arcsin" => f64::asin, "arccos" => f64::acos, "arctan" => f64::atan,
        "sinh" => f64::sinh, "cosh" => f64::cosh, "tanh" => f64::tanh, "sigmoid" => sigmoid,
        "log_sigmoid" => |x| if x >= 0.0 { -(-x).exp().ln_1p() } else { x - x.exp().ln_1p() }, "softplus" => softplus, "erf" => erf,
        _ => norm_ppf,
    }
}
const EXACT: usize = 12; // so many, from the first on
const UNARY: &[&str] = &[
    "neg", "abs", "sign", "sqrt", "square", "reciprocal", "floor", "ceil", "round", "trunc", "relu", "not", "exp", "expm1", "log", "log1p",
    "log2", "log10", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "sigmoid", "log_sigmoid", "softplus", "erf",
    "norm_ppf",
];
/// unary: a function, element by element; f32 is computed in f64 and rounded.
fn unary(a: &mut Args<'_>) -> Result<Step, Error> {
    a.deep(); let name = a.choice("fn", UNARY)?; a.dtype = a.floating("dtype")?;
    if name == "not" {
        let x = a.one(&[DType::Bool])?;
        return a.step(x, |s, f| Ok(Data::integers(s.input(f, 0).i().iter().map(|v| 1 - v).collect())));
    }
    let of = unary_named(name); let x = a.rounded()?;
    if !UNARY[..EXACT].contains(&name) { a.multiplies(&[x.width(), COSTLY]); }
    a.each(x, of)
}
/// The comparisons of binary: whether they hold for an order, which is None when two are unequal without one.
fn compares(name: &str, order: Option<std::cmp::Ordering>) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    match name {
        "eq" => order == Some(Equal), "ne" => order != Some(Equal), "lt" => order == Some(Less),
        "le" => matches!(order, Some(Less | Equal)), "gt" => order == Some(Greater),
        _ => matches!(order, Some(Greater | Equal)),
    }
}
const BINARY: &[&str] = &["add", "sub", "mul", "div", "min", "max", "pow", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor"];
/// binary: arithmetic, comparison or logic of two values that broadcast.
fn binary(a: &mut Args<'_>) -> Result<Step, Error> {
    a.deep().arity(2, 2)?; a.dtype = a.floating("dtype")?; let name = a.choice("fn", BINARY)?;
    let (x, y) = (a.types[0].clone(), a.types[1].clone()); let logic = ["and", "or", "xor"].contains(&name);
    let comparison = ["eq", "ne", "lt", "le", "gt", "ge"].contains(&name); let equality = name == "eq" || name == "ne";
    let compared = comparison && x.dtype == y.dtype && (x.dtype == DType::I64 || equality && (x.dtype == DType::Bool || x.dtype == DType::Str));
    let good = if logic { x.dtype == DType::Bool && y.dtype == x.dtype } else { compared || x.dtype.is_float() && y.dtype.is_float() };
    if !good { return a.refuse(format!("cannot compute {} of {} and {}; a cast step may help.", name, x, y)); }
    let wide = a.broadcast(if logic || comparison { DType::Bool } else { a.dtype })?;
    let (i, j) = (x.spread(&wide, a.guard)?, y.spread(&wide, a.guard)?);
    let (xw, yw, width) = (x.width(), y.width(), wide.width()); if name == "pow" { a.multiplies(&[width, COSTLY]); }
    if x.dtype == DType::Str { a.strings = wide.counted() as f64; }
    let pairs = Pairs { i, j, xw, yw, width };
    if !logic && !comparison {
        let of: fn(f64, f64) -> f64 = match name {
            "add" => |x, y| x + y, "sub" => |x, y| x - y, "mul" => |x, y| x * y, "div" => |x, y| x / y, "min" => smaller, "max" => larger,
            _ => f64::powf,
        };
        return a.step(wide, move |s, f| {
            let (x, y, to) = (s.floats(f, 0), s.floats(f, 1), s.dtype);
            Ok(Data::floats(pairs.map(f.rows, |v, w| rounded(of(x[v], y[w]), to))))
        });
    }
    a.step(wide, move |s, f| {
        let out = match (s.input(f, 0), s.input(f, 1)) {
            (Data::Strings(x), Data::Strings(y)) => { pairs.map(f.rows, |v, w| compares(name, if x[v] == y[w] { Some(std::cmp::Ordering::Equal) } else { None })) }
            (Data::Integers(x), Data::Integers(y)) => pairs.map(f.rows, |v, w| match name {
                "and" => x[v] != 0 && y[w] != 0, "or" => x[v] != 0 || y[w] != 0, "xor" => x[v] != y[w],
                _ => compares(name, Some(x[v].cmp(&y[w]))),
            }),
            _ => { let (x, y) = (s.floats(f, 0), s.floats(f, 1)); pairs.map(f.rows, |v, w| compares(name, x[v].partial_cmp(&y[w]))) }
        };
        Ok(Data::integers(out.into_iter().map(i64::from).collect()))
    })
}
/// How two values broadcast: where element e of a row is found in a row of each.
struct Pairs { i: Option<Places>, j: Option<Places>, xw: usize, yw: usize, width: usize }
impl Pairs {
    fn map<T>(&self, rows: usize, mut of: impl FnMut(usize, usize) -> T) -> Vec<T> {
        let mut out = Vec::with_capacity(rows * self.width); let (i, j) = (found(&self.i), found(&self.j));
        for r in 0..rows {
            let (p, q) = (r * self.xw, r * self.yw);
            for e in 0..self.width {
                let v = i.as_ref().map_or(p + e, |i| p + i[e] as usize);
                let w = j.as_ref().map_or(q + e, |j| q + j[e] as usize); out.push(of(v, w));
            }
        }
        out
    }
}
/// where: the second value where the first is true, else the third.
fn choose(a: &mut Args<'_>) -> Result<Step, Error> {
    a.deep().arity(3, 3)?; a.input(0, &[DType::Bool])?; let dtype = a.input(2, &[a.types[1].dtype])?.dtype; let wide = a.broadcast(dtype)?;
    let spread = a.types.iter().map(|t| t.spread(&wide, a.guard)).collect::<Result<Vec<_>, _>>()?; let width = wide.width();
    a.step(wide, move |s, f| {
        let spread: Vec<_> = spread.iter().map(found).collect();
        let place = |j: usize, k: usize| match &spread[j] { None => k as isize, Some(places) => (k / width * s.from[j].width()) as isize + places[k % width], };
        let test = s.input(f, 0).i();
        Data::pick(f.rows * width, s.input(f, 1), s.input(f, 2), |k| { Ok(if test[place(0, k) as usize] != 0 { place(1, k) } else { -1 - place(2, k) }) })
    })
}
/// linear: sum_j x_j * weight[k][j] in ascending j, then + bias[k], rounded once.
fn linear(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.deep().rounded()?; let (n, weight) = a.matrix("weight", &x)?;
    a.guard.take(weight.len(), 8)?; let bias = a.optional("bias", a.dtype, Some(n))?; let m = x.last();
    // [j, k]: the inner loop has no chain of sums
    let turned: Vec<f64> = (0..weight.len()).map(|p| weight[p % n * m + p / n]).collect();
    let ty = if x.rank() == 0 { Type::row(a.dtype, n) } else { x.resized(x.rank() - 1, n) }; a.multiplies(&[ty.width(), m]);
    a.rows(ty, move |x, y| {
        if n == 0 { return; }
        for (&v, w) in x.iter().zip(turned.chunks_exact(n)) { y.iter_mut().zip(w).for_each(|(y, w)| *y += v * w); }
        if let Some(bias) = &bias { y.iter_mut().zip(bias.iter()).for_each(|(y, b)| *y += b); }
    })
}
/// softmax: exp(x - max) / sum.
fn softmax(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.deep().rounded()?; let dtype = a.dtype; a.multiplies(&[x.width(), COSTLY]); a.rows(x, move |x, y| exponentials(x, y, dtype, false))
}
/// log_softmax: x - max - log(sum).
fn log_softmax(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.deep().rounded()?; let dtype = a.dtype; a.multiplies(&[x.width(), COSTLY]); a.rows(x, move |x, y| exponentials(x, y, dtype, true))
}
fn exponentials(x: &[f64], y: &mut [f64], dtype: DType, log: bool) {
    let max = if x.is_empty() { 0.0 } else { x[extreme(x, true)] }; let mut sum = 0.0;
    for (y, v) in y.iter_mut().zip(x) {
        let shifted = rounded(v - max, dtype); let e = rounded(shifted.exp(), dtype);
        *y = if log { shifted } else { e }; sum += e;
    }
    sum = rounded(sum, dtype);
    if log { sum = rounded(sum.ln(), dtype); }
    y.iter_mut().for_each(|y| *y = if log { *y - sum } else { *y / sum });
}
/// The position of the largest (or smallest) of a row: ties go to the lowest index, the first NaN wins.
pub(crate) fn extreme(x: &[f64], max: bool) -> usize {
    let mut best = 0;
    for (j, &v) in x.iter().enumerate() {
        if x[best].is_nan() { break; }
        if v.is_nan() || (if max { v > x[best] } else { v < x[best] }) { best = j; }
    }
    best
}
pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 { x.iter().zip(y).fold(0.0, |sum, (x, y)| sum + x * y) }
const REDUCTIONS: &[&str] = &["sum", "prod", "mean", "min", "max", "l2", "logsumexp", "argmax", "argmin"];
/// reduce: one number per row, or over some axes; f32 is computed in f64 and rounded.
fn reduce(a: &mut Args<'_>) -> Result<Step, Error> {
    let t = a.deep().rounded()?; let name = a.choice("fn", REDUCTIONS)?; let position = name == "argmax" || name == "argmin";
    let keep = a.flag("keep", false)?; let rank = t.rank(); let given = a.has("axes");
    let axes = if given { a.ints("axes", None, 0, rank as i64 - 1)? } else { (0..rank.min(1) as i64).collect() };
    let ascend = axes.windows(2).all(|pair| pair[1] > pair[0]);
    let good = if given { !axes.is_empty() && ascend && (axes.len() == 1 || !position) } else { rank < 2 };
    if !good || t.width() == 0 {
        let over = if given { format!(" over {:?}", axes) } else { String::new() };
        return a.refuse(format!("reduces {}{}; ascending axes (one for argmax, argmin) are needed.", t, over));
    }
    let reduced = |axis: &usize| axes.contains(&(*axis as i64));
    let stay: Vec<usize> = (0..rank).filter(|axis| !reduced(axis)).collect();
    let dims: Vec<usize> = if !keep {
        stay.iter().map(|&axis| t.dims[axis]).collect()
    } else if rank == 0 { vec![1] } else { (0..rank).map(|axis| if reduced(&axis) { 1 } else { t.dims[axis] }).collect() };
    // The axes that stay, then those that are reduced.
    let order: Vec<usize> = stay.iter().copied().chain((0..rank).filter(reduced)).collect();
    let moved = if order.windows(2).all(|pair| pair[1] > pair[0]) {
        None
    } else {
        Some(Places::new(a.guard, order.iter().map(|&axis| t.along(Some(axis), t.dims[axis])).collect())?)
    };
    let ty = Type::new(if position { DType::I64 } else { a.dtype }, dims);
    let w = t.width() / ty.width(); let width = t.width(); if name == "logsumexp" { a.multiplies(&[width, COSTLY]); }
    a.step(ty, move |s, f| {
        let mut x = s.floats(f, 0);
        if let Some(places) = found(&moved) { x = Arc::new((0..x.len()).map(|k| x[k / width * width + places[k % width] as usize]).collect()); }
        if position { return Ok(Data::integers(x.chunks_exact(w).map(|x| extreme(x, name == "argmax") as i64).collect())); }
        Ok(Data::floats(x.chunks_exact(w).map(|x| rounded(reduction(name, x), s.dtype)).collect()))
    })
}
fn reduction(name: &str, x: &[f64]) -> f64 {
    let sum = |of: fn(f64) -> f64| x.iter().fold(0.0, |sum, &v| sum + of(v));
    match name {
        "sum" => sum(|v| v), "prod" => x.iter().fold(1.0, |product, v| product * v),
        "mean" => sum(|v| v) / x.len() as f64, "min" => x[extreme(x, false)], "max" => x[extreme(x, true)], "l2" => sum(|v| v * v).sqrt(),
        _ => { let m = x[extreme(x, true)]; if m.is_infinite() { m } else { m + x.iter().fold(0.0, |sum, v| sum + (v - m).exp()).ln() } }
    }
}
/// two_class: [1 - p, p].
fn two_class(a: &mut Args<'_>) -> Result<Step, Error> {
    if a.rounded()?.width() != 1 { return a.refuse(format!("reads {}; one probability per row is needed.", a.types[0])); }
    a.rows(Type::row(a.dtype, 2), |p, y| y.copy_from_slice(&[1.0 - p[0], p[0]]))
}
/// take: table rows by index.
fn take(a: &mut Args<'_>) -> Result<Step, Error> {
    let x = a.deep().one(INTEGERS)?; let table = a.tensor("table", None, 1, 2)?; let w = table.width();
    if table.shape.len() == 2 && x.width() != 1 { return a.refuse(format!("reads {} with a table of rows; one index per row is needed.", x)); }
    let ty = if table.shape.len() == 1 { x.with(table.dtype) } else { Type::row(table.dtype, w) };
    a.step(ty, move |s, f| {
        let (index, width) = (s.input(f, 0).i(), s.ty.width());
        Data::pick(f.rows * width, &table.data, &table.data, |k| {
            let place = index[k / w];
            if place < 0 || place >= table.shape[0] as i64 {
                return s.refuse(f, k / width, format!("the index {} lies outside the table of {} entries.", place, table.shape[0]));
            }
            Ok(place as isize * w as isize + (k % w) as isize)
        })
    })
}

// ==== 6 Trees ========================================================================================================

/// A node: an inner one has a column, or !column of a node whose way is not decided by a plain comparison; its left child is the next
/// node, its right child `next`. A leaf has the column LEAF, and its row of leaf values in `next`.
#[derive(Clone, Copy)]
pub(crate) struct TreeNode {
    pub(crate) threshold: f64, pub(crate) feature: u32, pub(crate) next: u32,
}
pub(crate) const LEAF: u32 = u32::MAX;
/// tree_ensemble: the sum (or mean) of the leaves that a row reaches, tree by tree in order. Nodes are in preorder: left is i + 1.
pub(crate) struct Trees {
    pub(crate) nodes: Vec<TreeNode>, pub(crate) root: Vec<usize>, pub(crate) strict: bool, missing: &'static str,
    missing_left: Vec<bool>,                // of every node; empty unless missing is "node"
    pub(crate) category: Vec<Option<u32>>,  // set of a categorical node; empty without categories
    sets: Vec<(usize, usize)>,              // where they begin and end in `set`
    set: Vec<i64>, pub(crate) leaf_width: usize, pub(crate) leaf: Arc<Vec<f64>>,
    pub(crate) class_of: Option<Vec<usize>>, // the column that a tree adds to
    init: Option<Arc<Vec<f64>>>, mean: bool, pub(crate) acc: DType,
}
fn tree_ensemble(a: &mut Args<'_>) -> Result<Step, Error> {
    let (ty, trees) = read_trees(a)?; a.step(ty, move |s, f| trees.run(s, f))
}
pub(crate) fn read_trees(a: &mut Args<'_>) -> Result<(Type, Trees), Error> {
    a.arity(1, 2)?; a.dtype = a.floating("dtype")?; let columns = a.input(0, FLOATS)?.width();
    let strict = a.choice_or("cmp", &["le", "lt"])? == "lt";
    let missing = a.choice_or("missing", &["error", "left", "right", "node"])?; let acc = a.floating("acc")?;
    let mean = a.choice_or("aggregate", &["sum", "mean"])? == "mean";
    let feature = a.ints("feature", None, -1, columns as i64 - 1)?; let count = feature.len();
    if count >= LEAF as usize { return a.refuse("has more nodes than this reader takes.".to_string()); }
    let root = a.places("start", None, 0, count.saturating_sub(1))?;
    let inner = feature.iter().filter(|&&column| column >= 0).count();
    a.guard.take(count, 48)?; let right = a.places("right", Some(inner), 0, count)?;
    let mut next = children(a, &feature, &root, &right)?; let given = a.floats("threshold", Some(inner))?;
    if let Some(k) = given.iter().position(|t| t.is_nan()) { return a.refuse(format!("has NaN in \"threshold\" at position {}.", k)); }
    let missing_left = if missing == "node" { a.ints("missing_left", Some(inner), 0, 1)? } else { Vec::new() };
    let (category, sets, set) = categories(a, inner, &given)?;
    let leaf_width = if a.has("leaf_width") { a.integer("leaf_width", 1, a.guard.limits.row_elements as i64)? } else { 1 }; a.multiplies(&[root.len(), leaf_width]);
    let table = a.has("leaf_table"); let leaf = a.floats_of(if table { "leaf_table" } else { "leaf" }, acc, None)?;
    if leaf.len() % leaf_width != 0 { return a.refuse(format!("has leaf values that do not make rows of {}.", leaf_width)); }
    if table {
        let place = a.ints("leaf", Some(count - inner), 0, (leaf.len() / leaf_width) as i64 - 1)?;
        for i in (0..count).filter(|&i| feature[i] < 0) { next[i] = place[next[i]] as usize; }
    } else {
        a.expect("leaf", leaf.len() / leaf_width, Some(count - inner))?;
    }
    let by_class = a.has("class");
    if a.has("size") != by_class || by_class && leaf_width != 1 {
        return a.refuse("has only one of \"class\" and \"size\", or a leaf_width with them.".to_string());
    }
    let width = if by_class { a.integer("size", 1, a.guard.limits.row_elements as i64)? } else { leaf_width };
    let class_of = if by_class { Some(a.places("class", Some(root.len()), 0, width - 1)?) } else { None };
    let ty = Type::row(acc, width); let init = a.optional("init", acc, Some(width))?;
    if a.types.len() == 2 && (a.input(1, &[acc])?.width() != width || init.is_some()) {
        return a.refuse(format!("reads {} as the start of its sum; {} is needed, and no \"init\".", a.types[1], ty));
    }
    let mut k = 0;
    let spread: Vec<Option<usize>> = feature.iter().map(|&column| { k += usize::from(column >= 0); if column >= 0 { Some(k - 1) } else { None } }).collect();
    let nodes = (0..count)
        .map(|i| TreeNode { threshold: spread[i].map_or(0.0, |k| given[k]), feature: spread[i].map_or(LEAF, |_| feature[i] as u32), next: next[i] as u32 })
        .collect();
    let of_nodes = |values: &[i64]| -> Vec<i64> { if values.is_empty() { Vec::new() } else { spread.iter().map(|k| k.map_or(-1, |k| values[k])).collect() } };
    let trees = Trees {
        nodes, root, strict, missing, sets, set, leaf_width, leaf, class_of, init, mean, acc,
        missing_left: of_nodes(&missing_left).into_iter().map(|left| left == 1).collect(),
        category: of_nodes(&category).into_iter().map(|s| u32::try_from(s).ok()).collect(),
    };
    Ok((ty, trees))
}
/// Checks that the nodes form one tree in preorder for each start, so that every walk ends; the right child of every inner node, and the
/// number of every leaf.
fn children(a: &Args<'_>, feature: &[i64], root: &[usize], right: &[usize]) -> Result<Vec<usize>, Error> {
    let mut next = vec![0; feature.len()];
    if root.first() != Some(&0) || feature.is_empty() { return a.refuse("has \"start\" that does not begin with 0.".to_string()); }
    let mut inner = 0;
    for (t, &start) in root.iter().enumerate() {
        let end = root.get(t + 1).copied().unwrap_or(feature.len()); let mut open = Vec::new();
        if start >= end { return a.refuse("has \"start\" that does not ascend strictly.".to_string()); }
        for i in start..end {
            let good = if feature[i] >= 0 {
                next[i] = start + right[inner]; inner += 1; open.push(next[i]);
                next[i] > i + 1 && next[i] < end
            } else {
                next[i] = i - inner;
                open.pop().map_or(i + 1 == end, |right| right == i + 1)
            };
            if !good { return a.refuse(format!("has nodes that do not form one tree in preorder: tree {}, node {}.", t, i - start)); }
        }
    }
    Ok(next)
}
type Categories = (Vec<i64>, Vec<(usize, usize)>, Vec<i64>);
/// The set of every inner node (-1: none), where the sets begin and end, and their elements.
fn categories(a: &mut Args<'_>, inner: usize, threshold: &[f64]) -> Result<Categories, Error> {
    let present = a.has("category");
    if a.has("set_start") != present || a.has("set") != present { return a.refuse("has a part of \"category\", \"set_start\", \"set\".".to_string()); }
    if !present { return Ok((Vec::new(), Vec::new(), Vec::new())); }
    let set = a.integers("set", 1)?.data.i().to_vec(); let start = a.places("set_start", None, 0, set.len())?;
    let category = a.ints("category", Some(inner), -1, start.len() as i64 - 1)?;
    let sets: Vec<(usize, usize)> = start.iter().enumerate().map(|(s, &from)| (from, start.get(s + 1).copied().unwrap_or(set.len()))).collect();
    let covers = start.first().map_or(set.is_empty(), |&first| first == 0) && sets.iter().all(|(from, to)| from <= to);
    let ascends = |&(from, to): &(usize, usize)| set[from..to].iter().all(|&v| v >= 0) && set[from..to].windows(2).all(|pair| pair[1] > pair[0]);
    if !covers || !sets.iter().all(ascends) { return a.refuse("has category sets that do not cover \"set\" in order, or do not ascend from 0.".to_string()); }
    if let Some(k) = (0..inner).find(|&k| category[k] >= 0 && threshold[k] != 0.0) {
        return a.refuse(format!("has a categorical node with the threshold {:?}; it is 0.", threshold[k]));
    }
    Ok((category, sets, set))
}
impl Trees {
    pub(crate) fn run(&self, s: &Step, f: &Frame) -> Result<Data, Error> {
        const STRIP: usize = 512; // rows that go through a tree one after the other, while its nodes are near
        let x = s.floats(f, 0); let columns = s.from[0].width(); let mut out = self.begin(s, f);
        let plain = self.category.is_empty() && !x.iter().any(|v| v.is_nan());
        for from in (0..f.rows).step_by(STRIP) {
            for t in 0..self.root.len() {
                for r in from..f.rows.min(from + STRIP) {
                    let row = &x[r * columns..(r + 1) * columns];
                    let leaf = if !plain { self.walk(t, row, s, f, r)? } else if self.strict { self.below(t, row) } else { self.not_above(t, row) };
                    self.add(&mut out, s.ty.width(), r, t, leaf);
                }
            }
        }
        self.end(out)
    }
    /// What the sums begin with.
    pub(crate) fn begin(&self, s: &Step, f: &Frame) -> Vec<f64> {
        let width = s.ty.width();
        match (s.from.len(), &self.init) {
            (2, _) => s.input(f, 1).f().to_vec(),
            (_, Some(init)) => init.iter().copied().cycle().take(f.rows * width).collect(),
            _ => vec![0.0; f.rows * width],
        }
    }
    /// Adds the leaf that a row reaches in a tree.
    pub(crate) fn add(&self, out: &mut [f64], width: usize, row: usize, tree: usize, leaf: usize) {
        let place = row * width + self.class_of.as_ref().map_or(0, |class| class[tree]);
        let values = &self.leaf[leaf * self.leaf_width..(leaf + 1) * self.leaf_width];
        for (o, v) in out[place..place + self.leaf_width].iter_mut().zip(values) { *o = rounded(*o + v, self.acc); }
    }
    /// The sums, or means.
    pub(crate) fn end(&self, mut out: Vec<f64>) -> Result<Data, Error> {
        if self.mean { out.iter_mut().for_each(|o| *o /= self.root.len() as f64); }
        round_all(&mut out, self.acc); Ok(Data::floats(out))
    }
    fn not_above(&self, t: usize, row: &[f64]) -> usize {
        let mut i = self.root[t];
        loop {
            let node = &self.nodes[i];
            if node.feature == LEAF { return node.next as usize; }
            i = if row[node.feature as usize] <= node.threshold { i + 1 } else { node.next as usize };
        }
    }
    fn below(&self, t: usize, row: &[f64]) -> usize {
        let mut i = self.root[t];
        loop {
            let node = &self.nodes[i];
            if node.feature == LEAF { return node.next as usize; }
            i = if row[node.feature as usize] < node.threshold { i + 1 } else { node.next as usize };
        }
    }
    /// The walk that knows NaN and categories.
    pub(crate) fn walk(&self, t: usize, row: &[f64], s: &Step, f: &Frame, r: usize) -> Result<usize, Error> {
        let mut i = self.root[t];
        loop {
            let node = &self.nodes[i];
            if node.feature == LEAF { return Ok(node.next as usize); }
            let v = row[node.feature as usize];
            let left = if v.is_nan() {
                match self.missing {
                    "error" => return s.refuse(f, r, format!("a tree compares column {}, which is NaN.", node.feature)),
                    "node" => self.missing_left[i],
                    side => side == "left",
                }
            } else if let Some(Some(set)) = self.category.get(i) {
                self.contains(*set as usize, v)
            } else if self.strict { v < node.threshold } else { v <= node.threshold };
            i = if left { i + 1 } else { node.next as usize };
        }
    }
    fn contains(&self, s: usize, v: f64) -> bool {
        let code = v as i64; let (from, to) = self.sets[s];
        code as f64 == v && v < 9223372036854775808.0 && self.set[from..to].binary_search(&code).is_ok()
    }
}

// ==== 7 Model ========================================================================================================

/// A length of one row's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Axis {
    Length(usize),
    /// Known when rows come; the same in all inputs that name it.
    Named(String),
}
impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { match self { Axis::Length(n) => write!(f, "{}", n), Axis::Named(name) => f.write_str(name), } }
}
fn shown(axes: &[Axis]) -> String { format!("[{}]", axes.iter().map(Axis::to_string).collect::<Vec<_>>().join(", ")) }
type Lengths = BTreeMap<String, usize>;
/// One input of a model.
#[derive(Clone, Debug)]
pub struct Input {
    pub name: String, pub dtype: DType,
    /// The shape of one row.
    pub shape: Vec<Axis>,
    /// "error": NaN and null are refused; "nan" or "null": accepted.
    pub missing: String,
    /// The names of a matrix's columns.
    pub features: Option<Vec<String>>,
}
impl Input {
    fn ty(&self, lengths: &Lengths) -> Type {
        let length = |axis: &Axis| match axis { Axis::Length(n) => *n, Axis::Named(name) => lengths.get(name).copied().unwrap_or(0), };
        Type::new(self.dtype, self.shape.iter().map(length).collect())
    }
    /// Refuses rows of another shape; learns the named lengths that are not known yet.
    fn fit(&self, at: &str, given: DType, shape: &[usize], lengths: &mut Lengths) -> Result<(), Error> {
        let mut fits = given == self.dtype && shape.len() == self.shape.len() + 1;
        for (axis, &n) in self.shape.iter().zip(shape.get(1..).unwrap_or(&[])) {
            fits = fits && match axis {
                Axis::Length(length) => n == *length,
                Axis::Named(name) if n > 0 => *lengths.entry(name.clone()).or_insert(n) == n, Axis::Named(_) => false,
            };
        }
        if !fits {
            let known = if lengths.is_empty() { ".".to_string() } else { format!(", where {:?}.", lengths) };
            refuse!("{} is {}{:?}; rows of {}{} are needed{}", at, given, shape, self.dtype, shown(&self.shape), known);
        }
        Ok(())
    }
}
/// The names of an output's last axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Classes {
    Texts(Vec<String>),
    Integers(Vec<i64>),
    Booleans(Vec<bool>),
}
impl Classes {
    fn len(&self) -> usize { match self { Classes::Texts(v) => v.len(), Classes::Integers(v) => v.len(), Classes::Booleans(v) => v.len(), } }
    fn read(json: &Json, at: &str, guard: &Guard) -> Result<Classes, Error> {
        guard.take(json.count, 64)?; guard.take(json.end - json.start, 1)?;
        let name = format!("{} classes", at); let mut c = json.elements(&name)?;
        let (mut texts, mut integers, mut booleans) = (Vec::new(), Vec::new(), Vec::new());
        while c.next() {
            match c.kind() {
                b't' | b'f' => booleans.push(c.bool()?), b'0' => integers.push(c.integer(DType::I64)?),
                _ => texts.push(c.string()?),
            }
        }
        match (texts.len(), integers.len(), booleans.len()) {
            (_, 0, 0) => Ok(Classes::Texts(texts)),
            (0, _, 0) => Ok(Classes::Integers(integers)),
            (0, 0, _) => Ok(Classes::Booleans(booleans)),
            _ => refuse!("{} has classes of several kinds; they are all strings, all integers or all booleans.", at),
        }
    }
}
/// One output of a model.
#[derive(Clone, Debug)]
pub struct Output {
    pub name: String, pub dtype: DType,
    /// The shape of one row, for the example lengths; where a length is that of an input, its name.
    pub shape: Vec<Axis>,
    /// prediction, probability, score, transform, cluster or anomaly.
    pub role: String, pub classes: Option<Classes>, slot: usize,
}
/// One value of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(f64),
    Integer(i64),
    Boolean(bool),
    Text(String),
    Missing,
}
impl From<f64> for Value { fn from(v: f64) -> Value { Value::Number(v) } }
impl From<i64> for Value { fn from(v: i64) -> Value { Value::Integer(v) } }
impl From<bool> for Value { fn from(v: bool) -> Value { Value::Boolean(v) } }
impl From<&str> for Value { fn from(v: &str) -> Value { Value::Text(v.to_string()) } }
impl<T: Into<Value>> From<Option<T>> for Value { fn from(v: Option<T>) -> Value { v.map_or(Value::Missing, T::into) } }
impl Value {
    /// The values of one field of all records.
    fn column(values: &[&Value], dtype: DType, name: &str) -> Result<Tensor, Error> {
        let (mut floats, mut integers, mut strings) = (Vec::new(), Vec::new(), Vec::new());
        for value in values {
            match value {
                Value::Number(v) if dtype.is_float() => floats.push(*v),
                Value::Integer(v) if dtype.is_float() => floats.push(*v as f64),
                Value::Boolean(v) if dtype.is_float() => floats.push(f64::from(u8::from(*v))),
                Value::Missing if dtype.is_float() => floats.push(f64::NAN),
                Value::Integer(v) if dtype == DType::I64 => integers.push(*v),
                Value::Boolean(v) if dtype == DType::Bool => integers.push(i64::from(*v)),
                Value::Text(v) if dtype == DType::Str => strings.push(Some(Arc::from(v.as_str()))),
                Value::Missing if dtype == DType::Str => strings.push(None),
                _ => refuse!("The field {} holds {:?}; {} is needed.", quote(name), value, dtype),
            }
        }
        let data = if dtype.is_float() { Data::floats(floats) } else if dtype == DType::Str { Data::Strings(Arc::new(strings)) } else { Data::integers(integers) };
        Ok(Tensor { dtype: if dtype == DType::F32 { DType::F64 } else { dtype }, shape: vec![values.len()], data })
    }
}
/// The predictions, in the order of the model's outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs(pub Vec<(String, Tensor)>);
impl Outputs {
    pub fn get(&self, name: &str) -> Option<&Tensor> { self.0.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor) }
    /// Writes {"outputs": {name: tensor}} (docs/format.md, section 11).
    pub fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let mut text = String::from("{\"outputs\": {");
        for (k, (name, tensor)) in self.0.iter().enumerate() {
            text.push_str(if k > 0 { ", " } else { "" });
            spell(name, &mut text); text.push_str(": "); tensor.write(&mut text);
        }
        text.push_str("}}"); out.write_all(text.as_bytes())
    }
}
/// How one output compared with the vectors; the sentence says what differs first, or how far the worst element is off.
#[derive(Clone, Debug)]
pub struct Comparison {
    pub output: String, pub passed: bool, pub sentence: String,
}
/// The steps, checked for given lengths, and how long each value is needed.
struct Plan {
    types: Vec<Type>, // of every value: the inputs, then the steps
    steps: Vec<Arc<Step>>, slots: HashMap<String, usize>,
    free: Vec<Vec<usize>>, // the values that no step after this one needs
    peak: usize,           // the most elements of a row that are held at a time
    row_elements: usize, operations: f64, strings: f64, // of a row; operations: multiplications, and elements that steps read and define
}
/// What a plan is made from.
struct Source { inputs: Vec<Input>, requires: Vec<String>, more: Vec<&'static Ops>, steps: Vec<Json>, memo: Option<Memo> }
impl Plan {
    fn new(source: &Source, lengths: &Lengths, guard: &Guard) -> Result<Plan, Error> {
        let limits = &guard.limits;
        let mut plan = Plan { types: Vec::new(), steps: Vec::new(), slots: HashMap::new(), free: Vec::new(), peak: 0, row_elements: 0, operations: 0.0, strings: 0.0 };
        for input in &source.inputs { plan.define(input.name.clone(), input.ty(lengths), &format!("Input {}", quote(&input.name)), limits)?; }
        let mut unused: BTreeSet<&str> = source.requires.iter().map(String::as_str).collect();
        if source.steps.len() > limits.steps { refuse!("The document has {} steps, more than the limit of {}.", source.steps.len(), limits.steps); }
        let mut work = 0.0;
        for (k, json) in source.steps.iter().enumerate() {
            let number = format!("Step {}", k); let op = json.need("op", &number)?.string(&format!("{} op", number))?;
            let out = json.need("out", &number)?.string(&format!("{} out", number))?;
            let at = format!("Step {} ({})", quote(&out), if op.len() > 60 { "an op" } else { &op });
            if out.is_empty() { refuse!("{} has an empty \"out\"; name its value.", number); }
            unused.remove(op.as_str());
            let check = match entry(&op, &source.more) {
                Some(check) if source.requires.contains(&op) => check,
                _ => refuse!("{} has the op {}, which \"requires\" does not list.", number, quote(&op)),
            };
            let step = plan.step(source, check, &at, json, guard)?; work += step.work;
            let count = |t: &&Type| t.counted() as f64; let mut touched: Vec<&Type> = step.from.iter().chain([&step.ty]).collect();
            plan.operations += step.work + MOVED * touched.iter().map(count).sum::<f64>(); touched.retain(|t| t.dtype == DType::Str);
            plan.strings += step.strings + touched.iter().map(count).sum::<f64>();
            if work > limits.multiplications as f64 { refuse!("{} brings a row beyond the limit of {} multiplications.", at, limits.multiplications); }
            plan.define(out, step.ty.clone(), &at, limits)?; plan.steps.push(step);
        }
        match unused.iter().next() {
            Some(op) => refuse!("The document requires {} and uses it in no step; list the ops that are used.", quote(op)), None => Ok(plan),
        }
    }
    /// Checks a step; what attributes have become is kept for other lengths, and so is a step that reads what it read before.
    fn step(&self, source: &Source, check: Check, at: &str, json: &Json, guard: &Guard) -> Result<Arc<Step>, Error> {
        let names = json.need("in", at)?.strings(&format!("{} in", at), guard)?;
        guard.take(names.len(), 96)?; let mut inputs = Vec::new();
        for name in &names {
            match self.slots.get(name) {
                Some(&slot) => inputs.push(slot), None => refuse!("{} reads {}, which no input and no earlier step defines.", at, quote(name)),
            }
        }
        let types: Vec<Type> = inputs.iter().map(|&slot| self.types[slot].clone()).collect();
        let memo = source.memo.as_ref();
        if let Some(known) = memo.and_then(|memo| locked(&memo.steps).get(&json.start).cloned()) { if known.from == types { return Ok(known); } }
        let mut a = Args { at: at.to_string(), types, guard, dtype: DType::F64, work: 0.0, strings: 0.0, inputs, json, memo, read: Vec::new(), deep: false };
        let step = Arc::new(check(&mut a)?); a.finish()?;
        if let Some(memo) = memo { locked(&memo.steps).insert(json.start, step.clone()); }
        Ok(step)
    }
    /// Gives a value its name, and holds it against the limits on row elements.
    fn define(&mut self, value: String, ty: Type, at: &str, limits: &Limits) -> Result<(), Error> {
        self.row_elements = self.row_elements.saturating_add(ty.counted());
        if ty.counted() > limits.row_elements || ty.rank() > limits.rank || self.row_elements > limits.total_row_elements {
            refuse!(
                "{} brings a row to more elements than the limit: {} in one value, {} in all, or has a rank above {}.",
                at, limits.row_elements, limits.total_row_elements, limits.rank
            );
        }
        if self.slots.insert(value, self.types.len()).is_some() { refuse!("{} defines a name a second time; every name is defined once.", at); }
        self.types.push(ty); Ok(())
    }
    /// Finds out when values are no longer needed: those that no output gives, after the last step that reads them.
    fn release(&mut self, outputs: &[Output]) {
        let inputs = self.types.len() - self.steps.len(); let mut last = vec![0; self.types.len()];
        for (k, step) in self.steps.iter().enumerate() { last[inputs + k] = k; step.inputs.iter().for_each(|&slot| last[slot] = k); }
        outputs.iter().for_each(|o| last[o.slot] = self.steps.len()); self.free = vec![Vec::new(); self.steps.len()];
        for (slot, &k) in last.iter().enumerate() { if let Some(free) = self.free.get_mut(k) { free.push(slot); } }
        let mut held = 0usize;
        for slot in 0..last.len() {
            held += self.types[slot].width(); self.peak = self.peak.max(held);
            if slot >= inputs { held -= self.free[slot - inputs].iter().map(|&gone| self.types[gone].width()).sum::<usize>(); }
        }
    }
}
const BLOCK_ELEMENTS: usize = 1 << 22;
const BLOCK_ROWS: usize = 1 << 14;
const ROWS_OF_A_THREAD: usize = 1 << 11; // fewer are not worth it
const PLANS: usize = 16;
const ROLES: [&str; 6] = ["prediction", "probability", "score", "transform", "cluster", "anomaly"];
/// A loaded model. Immutable; may be shared by threads.
pub struct Model {
    name: Option<String>,
    source: Source, // its steps are kept only where lengths are named
    outputs: Vec<Output>,
    lengths: Lengths, // the examples of the named ones
    owners: HashMap<String, usize>, // of a feature's name, and of an input's own
    limits: Limits, carried: Option<Vectors>,
    plan: Arc<Plan>, // for the examples
    plans: Mutex<Vec<(Lengths, Arc<Plan>)>>,
}
impl fmt::Debug for Model { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.info()) } }
impl Model {
    /// Loads a document and replays the vectors it carries; refuses it when one answer differs from the original model's.
    pub fn load(document: impl AsRef<[u8]>) -> Result<Model, Error> { Model::load_with(document, &[]) }
    /// The same, with further ops: `Model::load_with(&bytes, &[&modelport_nn::OPS])`.
    pub fn load_with(document: impl AsRef<[u8]>, more: &[&'static Ops]) -> Result<Model, Error> {
        let model = Model::open(document, more, &Limits::default())?;
        match model.verify()?.into_iter().find(|check| !check.passed) { Some(check) => Err(Error::Mismatch(check.sentence)), None => Ok(model), }
    }
    /// The same, from a stream; it is not read beyond the largest document.
    pub fn load_from(stream: impl io::Read, more: &[&'static Ops]) -> Result<Model, Error> {
        let mut document = Vec::new(); let most = Limits::default().document_bytes as u64 + 1;
        if let Err(e) = io::Read::read_to_end(&mut io::Read::take(stream, most), &mut document) { refuse!("The document cannot be read: {}.", e); }
        Model::load_with(document, more)
    }
    /// Loads under the caller's terms, without a replay: the vectors are only read, and a document may carry none.
    pub fn open(document: impl AsRef<[u8]>, more: &[&'static Ops], limits: &Limits) -> Result<Model, Error> {
        let (guard, text) = (Guard::new(limits), document.as_ref());
        let model = Model::new(Parser::parse(text, "The document", &guard)?, &guard, more)?;
        let longest = guard.longest.get() as f64; let most = limits.work as f64 + 4096.0 * text.len() as f64;
        let operations = model.carried.as_ref().map_or(0.0, |vectors| vectors.operations + vectors.strings * longest);
        if operations > most {
            refuse!(
                "Replaying the carried rows takes {:.0} operations, more than the limit of {:.0} ({}, and 4096 for every byte of the document).",
                operations, most, limits.work
            );
        }
        Ok(model)
    }
    /// Checks a parsed document: header, inputs, steps, outputs, vectors.
    fn new(root: Json, guard: &Guard, more: &[&'static Ops]) -> Result<Model, Error> {
        let requires = header(&root, guard, more)?;
        let name = root.get("name").filter(|json| json.kind == b'"').map(|json| json.string("")).transpose()?;
        let lengths = root.get("lengths").map(read_lengths).transpose()?.unwrap_or_default();
        let mut named = BTreeSet::new(); let mut inputs = Vec::new();
        for json in list(&root, "inputs")? { inputs.push(input(json, inputs.len(), &mut named, guard)?); }
        if !named.iter().eq(lengths.keys()) || root.get("lengths").is_some() && named.is_empty() {
            refuse!("The document has lengths for {:?}; its inputs name {:?}.", lengths.keys(), named);
        }
        let mut owners = HashMap::new();
        for (k, input) in inputs.iter().enumerate() { owners.extend(input.features.iter().flatten().map(|feature| (feature.clone(), k))); }
        owners.extend(inputs.iter().enumerate().map(|(k, input): (usize, &Input)| (input.name.clone(), k)));
        let memo = if named.is_empty() { None } else { Some(Memo::default()) };
        let mut source = Source { inputs, requires, more: more.to_vec(), steps: list(&root, "steps")?.to_vec(), memo };
        let mut plan = Plan::new(&source, &lengths, guard)?;
        let mut outputs: Vec<Output> = Vec::new(); let mut names = HashSet::new();
        for json in list(&root, "outputs")? {
            let output = output(json, outputs.len(), &plan, guard)?;
            if !names.insert(output.name.clone()) { refuse!("Output {} has the name of another output; they are all different.", quote(&output.name)); }
            outputs.push(output);
        }
        plan.release(&outputs); guard.take(plan.peak, 16)?;
        for (length, &n) in &lengths { name_axes(&source, &lengths, length, n, &mut outputs, &guard.attempt()); }
        if named.is_empty() { source.steps = Vec::new(); }
        let mut model = Model {
            name, source, outputs, lengths, owners, limits: guard.limits.clone(), carried: None, plan: Arc::new(plan), plans: Mutex::default(),
        };
        if let Some(json) = root.get("verification") { model.carried = Some(Vectors::read(json, &model, guard.limits.carried_rows, guard)?); }
        Ok(model)
    }
    /// The plan for given lengths.
    fn plan_for(&self, given: &Lengths, guard: &Guard) -> Result<Arc<Plan>, Error> {
        if *given == self.lengths { return Ok(self.plan.clone()); }
        let mut plans = locked(&self.plans);
        if let Some(k) = plans.iter().position(|(lengths, _)| lengths == given) { let found = plans.remove(k); plans.push(found.clone()); return Ok(found.1); }
        let before = guard.left.get();
        let mut plan = match Plan::new(&self.source, given, guard) { Ok(plan) => plan, Err(e) => refuse!("Rows with the lengths {:?} do not fit: {}", given, e), };
        plan.release(&self.outputs); let plan = Arc::new(plan);
        if before - guard.left.get() <= self.limits.memory / PLANS / 8 {
            if plans.len() == PLANS { plans.remove(0); }
            plans.push((given.clone(), plan.clone()));
        }
        Ok(plan)
    }
    pub fn inputs(&self) -> &[Input] { &self.source.inputs }
    pub fn outputs(&self) -> &[Output] { &self.outputs }
    /// The ops that the model uses.
    pub fn requires(&self) -> &[String] { &self.source.requires }
    /// Predicts rows of a model that has one matrix.
    pub fn predict_rows<R: AsRef<[f64]>>(&self, rows: &[R]) -> Result<Outputs, Error> { self.predict_tensor(Tensor::matrix(rows)?) }
    /// Predicts rows of a model that has one input, of any shape: `Tensor::from(pixels).shaped(&[2, 3, 32, 32])?`.
    pub fn predict_tensor(&self, rows: Tensor) -> Result<Outputs, Error> {
        match self.inputs() {
            [input] => self.predict(&[(&input.name, rows)]),
            inputs => refuse!("The model has {} inputs; give them by name.", inputs.len()),
        }
    }
    /// Predicts records, `[("age", Value::from(41.0)), ("colour", Value::from("red"))]`: of each every input or, of a matrix, every column.
    pub fn predict_records<'a, R: AsRef<[(&'a str, Value)]>>(&self, records: &[R]) -> Result<Outputs, Error> {
        let names = records.first().map_or(&[][..], |record| record.as_ref()); let mut columns = Vec::new();
        if records.is_empty() {
            let none = |i: &Input| Value::column(&[], i.dtype, "").map(|t| Tensor { shape: vec![0; 1 + i.shape.len().min(1)], ..t });
            for input in self.inputs() { columns.push((input.name.as_str(), none(input)?)); }
        }
        if let Some(r) = records.iter().position(|record| record.as_ref().len() != names.len()) {
            refuse!("Record {} has {} fields, the first has {}; all have the same.", r, records[r].as_ref().len(), names.len());
        }
        for (name, _) in names {
            let owner = match self.owners.get(*name) {
                Some(&k) => &self.source.inputs[k], None => refuse!("The records have the field {}, which the model does not; remove it.", quote(name)),
            };
            let mut values = Vec::with_capacity(records.len());
            for (r, record) in records.iter().enumerate() {
                match record.as_ref().iter().find(|(field, _)| field == name) {
                    Some((_, value)) => values.push(value), None => refuse!("Record {} lacks the field {}.", r, quote(name)),
                }
            }
            columns.push((*name, Value::column(&values, owner.dtype, name)?));
        }
        self.predict(&columns)
    }
    /// Predicts columns by name: one tensor for each input. A matrix with features may be given as one column for each feature instead.
    /// Integers and booleans (true = 1) are accepted where floats are expected.
    pub fn predict(&self, columns: &[(&str, Tensor)]) -> Result<Outputs, Error> {
        let mut given = BTreeMap::new();
        for (name, tensor) in columns { if given.insert(*name, tensor).is_some() { refuse!("The input {} is given twice.", quote(name)); } }
        let mut bound = Vec::new(); let mut lengths = Lengths::new(); let mut rows = None;
        let mut unused: BTreeSet<&str> = given.keys().copied().collect();
        for input in self.inputs() {
            let apart = if given.contains_key(input.name.as_str()) { None } else { input.features.as_ref() };
            let tensor = match apart {
                Some(features) => gather(input, features, &given, &mut unused)?,
                None => bind(input, given.get(input.name.as_str()).copied(), &mut lengths)?,
            };
            unused.remove(input.name.as_str()); let n = tensor.rows();
            if rows.map_or(false, |rows| rows != n) {
                refuse!("Input {} has {} rows, those before it have {}; give equally many.", quote(&input.name), n, rows.unwrap_or(0));
            }
            rows = Some(n);
            if input.missing == "error" { refuse_missing(input, &tensor)?; }
            bound.push(tensor.data);
        }
        if let Some(key) = unused.iter().next() { refuse!("The input {} is not one of the model's; remove it.", quote(key)); }
        for (name, &length) in &self.lengths {
            lengths.entry(name.clone()).or_insert(length); // there are no rows
        }
        let guard = Guard::new(&self.limits); let plan = self.plan_for(&lengths, &guard)?;
        self.evaluate(&plan, &bound, rows.unwrap_or(0), &guard)
    }
    /// Runs the steps block by block, so that memory stays bounded; threads take the blocks in turn.
    fn evaluate(&self, plan: &Plan, bound: &[Data], rows: usize, guard: &Guard) -> Result<Outputs, Error> {
        for o in &self.outputs { guard.take(rows.saturating_mul(plan.types[o.slot].width()), 16)?; }
        let threads = match self.limits.threads {
            _ if rows < 2 * ROWS_OF_A_THREAD => 1, 0 => std::thread::available_parallelism().map_or(1, usize::from), n => n,
        };
        let threads = threads.min(rows / ROWS_OF_A_THREAD).max(1);
        let most = (BLOCK_ELEMENTS.min(self.limits.memory / 64 / threads) / plan.peak.max(1)).clamp(1, BLOCK_ROWS);
        let block = most.min(rows / threads + 1); let blocks = rows.saturating_sub(1) / block + 1;
        guard.take(block.min(rows).saturating_mul(plan.peak).saturating_mul(threads), 16)?;
        let share = |thread: usize| {
            let mut done = Vec::new();
            for k in (thread..blocks).step_by(threads) {
                done.push((k, self.block(plan, bound, rows, k * block, block.min(rows - k * block))));
                if done.iter().any(|(_, part)| part.is_err()) { break; }
            }
            done
        };
        let mut done = std::thread::scope(|scope| {
            let start = |thread| std::thread::Builder::new().spawn_scoped(scope, move || share(thread)).map_err(|_| thread);
            let others: Vec<_> = (1..threads).map(start).collect(); let mut done = share(0);
            for other in others {
                // without a handle, the system has no more threads
                done.extend(other.map_or_else(share, |running| running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))));
            }
            done
        });
        done.sort_by_key(|(k, _)| *k);
        let parts = done.into_iter().map(|(_, part)| part).collect::<Result<Vec<Vec<Data>>, Error>>()?;
        let joined = |(at, o): (usize, &Output)| {
            let pieces: Vec<&Data> = parts.iter().map(|part| &part[at]).collect();
            let data = if let [one] = pieces[..] { one.clone() } else { Data::join(&pieces, pieces.iter().enumerate().map(|(k, p)| (k, 0, p.len()))) };
            (o.name.clone(), Tensor { dtype: o.dtype, shape: plan.types[o.slot].shape(rows), data })
        };
        Ok(Outputs(self.outputs.iter().enumerate().map(joined).collect()))
    }
    /// The outputs of n rows from the first on.
    fn block(&self, plan: &Plan, bound: &[Data], rows: usize, first: usize, n: usize) -> Result<Vec<Data>, Error> {
        let mut f = Frame { rows: n, first, values: Vec::with_capacity(plan.types.len()) };
        for (data, ty) in bound.iter().zip(&plan.types) {
            let width = ty.width(); f.values.push(if n == rows { data.clone() } else { data.slice(first * width, (first + n) * width) });
        }
        for (step, free) in plan.steps.iter().zip(&plan.free) {
            let value = (step.run)(step, &f)?;
            if value.len() != n.saturating_mul(step.ty.width()) {
                return step.refuse(&f, 0, "its value has another length than was announced; this is a fault of the reader.".to_string());
            }
            f.values.push(value); free.iter().for_each(|&slot| f.values[slot] = Data::none());
        }
        Ok(self.outputs.iter().map(|o| f.values[o.slot].clone()).collect())
    }
    /// Reads {"inputs": {name: tensor}}, and predicts (docs/format.md, section 11).
    pub fn predict_json(&self, request: &[u8]) -> Result<Outputs, Error> {
        let guard = Guard::new(&self.limits); let root = Parser::parse(request, "The request", &guard)?;
        root.only("The request", &["inputs"])?; let mut columns = Vec::new(); let mut lengths = Lengths::new();
        for (key, json) in root.need("inputs", "The request")?.object("The request's inputs")? {
            let at = format!("Input {}", quote(key));
            let owner = match self.owners.get(key) {
                Some(&k) => &self.source.inputs[k], None => refuse!("The input {} is not one of the model's; remove it.", quote(key)),
            };
            let t = Tensor::read(json, Some(owner.dtype), &at, &guard)?;
            if owner.name == *key {
                owner.fit(&at, t.dtype, &t.shape, &mut lengths)?;
            } else if t.dtype != owner.dtype || t.shape.len() != 1 {
                refuse!("{} is {}{:?}; one {} for each row is needed.", at, t.dtype, t.shape, owner.dtype);
            }
            columns.push((key.as_str(), t));
        }
        self.predict(&columns)
    }
    /// Replays the vectors that the document carries.
    pub fn verify(&self) -> Result<Vec<Comparison>, Error> {
        match &self.carried {
            Some(vectors) => vectors.replay(self),
            None => refuse!("The document carries no verification, so nothing proves its answers; add vectors, or do without a replay."),
        }
    }
    /// Replays the vectors of another file: a `verification` object.
    pub fn verify_with(&self, vectors: &[u8]) -> Result<Vec<Comparison>, Error> {
        let guard = Guard::new(&self.limits);
        Vectors::read(&Parser::parse(vectors, "The vectors file", &guard)?, self, usize::MAX, &guard)?.replay(self)
    }
    /// Name, inputs, outputs and ops as JSON.
    pub fn info(&self) -> String {
        fn text(s: &str) -> String { let mut out = String::new(); spell(s, &mut out); out }
        fn texts<'a>(list: impl IntoIterator<Item = &'a String>) -> String { format!("[{}]", list.into_iter().map(|s| text(s)).collect::<Vec<_>>().join(", ")) }
        fn axes(list: &[Axis]) -> String {
            let spelled = |axis: &Axis| if let Axis::Named(name) = axis { text(name) } else { axis.to_string() };
            format!("[{}]", list.iter().map(spelled).collect::<Vec<_>>().join(", "))
        }
        let input = |i: &Input| {
            let features = i.features.as_ref().map_or(String::new(), |f| format!(", \"features\": {}", texts(f)));
            format!("{{\"name\": {}, \"dtype\": \"{}\", \"shape\": {}, \"missing\": {}{}}}", text(&i.name), i.dtype, axes(&i.shape), text(&i.missing), features)
        };
        let integers = |list: &[i64]| {
            let mut out = String::from("[");
            for (k, v) in list.iter().enumerate() { out.push_str(if k > 0 { ", " } else { "" }); spell_integer(*v, &mut out); }
            out + "]"
        };
        let output = |o: &Output| {
            let classes = match &o.classes {
                None => String::new(), Some(Classes::Texts(v)) => format!(", \"classes\": {}", texts(v)),
                Some(Classes::Integers(v)) => format!(", \"classes\": {}", integers(v)),
                Some(Classes::Booleans(v)) => format!(", \"classes\": {:?}", v),
            };
            format!("{{\"name\": {}, \"dtype\": \"{}\", \"shape\": {}, \"role\": {}{}}}", text(&o.name), o.dtype, axes(&o.shape), text(&o.role), classes)
        };
        format!(
            "{{{}\"inputs\": [{}], \"outputs\": [{}], \"ops\": {}}}",
            self.name.as_ref().map_or(String::new(), |name| format!("\"name\": {}, ", text(name))),
            self.inputs().iter().map(input).collect::<Vec<_>>().join(", "),
            self.outputs.iter().map(output).collect::<Vec<_>>().join(", "),
            texts(&self.source.requires)
        )
    }
}
/// Format, version and ops; returns the ops.
fn header(root: &Json, guard: &Guard, more: &[&'static Ops]) -> Result<Vec<String>, Error> {
    let the = "The document"; let format = root.need("format", the)?.string("The document's format")?;
    if format != "modelport" { refuse!("The document has the format {}; this reader reads \"modelport\".", quote(&format)); }
    let version = root.need("version", the)?.string("The document's version")?;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    match version.split_once('.') {
        Some((major, minor)) if digits(major) && digits(minor) && major == "1" => {}
        Some((major, minor)) if digits(major) && digits(minor) => {
            return Err(Error::Unsupported(format!("The document has the version {}; this reader reads version 1.", quote(&version))));
        }
        _ => refuse!("The document has the version {}; it is \"1.\" and a decimal number.", quote(&version)),
    }
    let requires = root.need("requires", the)?.strings("The document's requires", guard)?;
    let mut unknown = String::new(); let mut seen = HashSet::new();
    for op in &requires {
        if !seen.insert(op) { refuse!("The document requires {} twice; every op is listed once.", quote(op)); }
        if entry(op, more).is_none() && unknown.len() < 1000 { unknown += if unknown.is_empty() { "" } else { ", " }; unknown += &quote(op); }
    }
    if !unknown.is_empty() { return Err(Error::Unsupported(format!("The document requires ops that this reader does not have: {}.", unknown))); }
    root.only(the, &["format", "version", "requires", "lengths", "inputs", "steps", "outputs", "verification"])?; Ok(requires)
}
fn read_lengths(json: &Json) -> Result<Lengths, Error> {
    let mut lengths = Lengths::new();
    for (name, json) in json.object("The document's lengths")? {
        let length = json.scalar(&format!("The length {}", quote(name))).integer(DType::I64)?;
        if !(1..=1 << 20).contains(&length) { refuse!("The length {} is {}; it is 1 to 2^20.", quote(name), length); }
        lengths.insert(name.clone(), length as usize);
    }
    Ok(lengths)
}
fn list<'a>(root: &'a Json, key: &str) -> Result<&'a [Json], Error> {
    let items = root.need(key, "The document")?.objects(&format!("The document's {}", key))?;
    if items.is_empty() && key != "steps" { refuse!("The document has no {}; at least one is needed.", key); }
    Ok(items)
}
fn input(json: &Json, number: usize, named: &mut BTreeSet<String>, guard: &Guard) -> Result<Input, Error> {
    let number = format!("Input {}", number); let name = json.need("name", &number)?.string(&format!("{} name", number))?;
    let at = format!("Input {}", quote(&name)); json.only(&at, &["dtype", "shape", "missing", "features"])?;
    let dtype = DType::named(&json.need("dtype", &at)?.string(&format!("{} dtype", at))?, &at)?;
    let text = format!("{} shape", at); let axes = json.need("shape", &at)?;
    let mut c = axes.elements(&text)?; let mut shape = Vec::new();
    let mut good = axes.count <= guard.limits.rank && !name.is_empty();
    while good && c.next() {
        if c.kind() == b'"' {
            let length = c.string()?; good &= !length.is_empty(); named.insert(length.clone()); shape.push(Axis::Named(length));
        } else {
            let length = c.integer(DType::I64)?; good &= length >= 0; shape.push(Axis::Length(length.clamp(0, i64::from(i32::MAX)) as usize));
        }
    }
    good &= dtype.is_float() || [DType::I64, DType::Bool, DType::Str].contains(&dtype);
    if !good { refuse!("{} is {}{}; a name, f64, f32, i64, bool or str, and a shape of lengths and names are needed.", at, dtype, shown(&shape)); }
    let missing = json.get("missing").map_or(Ok("error".to_string()), |m| m.string(&format!("{} missing", at)))?;
    if !(missing == "error" || missing == "nan" && dtype.is_float() || missing == "null" && dtype == DType::Str) {
        refuse!("{} has missing {}; it is \"error\", or \"nan\" for floats, or \"null\" for str.", at, quote(&missing));
    }
    let features = json.get("features").map(|f| f.strings(&format!("{} features", at), guard)).transpose()?;
    if let Some(features) = &features {
        let n = features.len();
        if shape != [Axis::Length(n)] || features.iter().collect::<HashSet<_>>().len() != n {
            refuse!("{} has {} features for {}{}; a matrix has one for each column, all different.", at, n, dtype, shown(&shape));
        }
    }
    Ok(Input { name, dtype, shape, missing, features })
}
fn output(json: &Json, number: usize, plan: &Plan, guard: &Guard) -> Result<Output, Error> {
    let number = format!("Output {}", number); let name = json.need("name", &number)?.string(&format!("{} name", number))?;
    let at = format!("Output {}", quote(&name)); json.only(&at, &["from", "dtype", "role", "classes"])?;
    let from = json.need("from", &at)?.string(&format!("{} from", at))?; let role = json.need("role", &at)?.string(&format!("{} role", at))?;
    let dtype = DType::named(&json.need("dtype", &at)?.string(&format!("{} dtype", at))?, &at)?;
    let slot = match plan.slots.get(&from) {
        Some(&slot) if plan.types[slot].dtype == dtype => slot,
        Some(&slot) => refuse!("{} comes from {}, which is {}.", at, quote(&from), plan.types[slot]),
        None => refuse!("{} comes from {}, which is not defined.", at, quote(&from)),
    };
    let ty = &plan.types[slot];
    if name.is_empty() || !ROLES.contains(&role.as_str()) {
        refuse!("{} has an empty name, or the unknown role {}; roles are {}.", at, quote(&role), ROLES.join(", "));
    }
    let classes = json.get("classes").map(|classes| Classes::read(classes, &at, guard)).transpose()?;
    if let Some(classes) = &classes {
        if ty.rank() > 0 && classes.len() != ty.last() { refuse!("{} has {} classes for {}; they name its last axis.", at, classes.len(), ty); }
    }
    Ok(Output { name, dtype, shape: ty.dims.iter().map(|&n| Axis::Length(n)).collect(), role, classes, slot })
}
/// Gives the axes of outputs that are as long as a named length, and grow with it, its name.
fn name_axes(source: &Source, lengths: &Lengths, length: &str, n: usize, outputs: &mut [Output], guard: &Guard) {
    let mut longer = lengths.clone(); longer.insert(length.to_string(), n + 1);
    if let Ok(other) = Plan::new(source, &longer, guard) {
        for o in outputs {
            for (axis, &grown) in o.shape.iter_mut().zip(&other.types[o.slot].dims) {
                if *axis == Axis::Length(n) && grown == n + 1 { *axis = Axis::Named(length.to_string()); }
            }
        }
    } // else no other length fits
}
/// A matrix from one column per feature.
fn gather<'a>(input: &'a Input, features: &'a [String], given: &BTreeMap<&str, &Tensor>, unused: &mut BTreeSet<&'a str>) -> Result<Tensor, Error> {
    let mut columns = Vec::new(); let mut rows = 0;
    for (j, key) in features.iter().enumerate() {
        let at = format!("Column {}", quote(key));
        let t = match given.get(key.as_str()) {
            Some(t) => t, None => refuse!("Input {} is missing, and so is its column {}; give one value per row.", quote(&input.name), quote(key)),
        };
        rows = if j == 0 { t.rows() } else { rows };
        if t.data.len() != rows || t.rows() != rows { refuse!("{} has {} values; {} rows are given before it.", at, t.data.len(), rows); }
        columns.push(t.as_dtype(input.dtype, &at)?); unused.remove(key.as_str());
    }
    let w = columns.len();
    let data = Data::join(&columns.iter().collect::<Vec<_>>(), (0..rows * w).map(|k| (k % w, k / w, k / w + 1)));
    Ok(Tensor { dtype: input.dtype, shape: vec![rows, w], data })
}
fn bind(input: &Input, given: Option<&Tensor>, lengths: &mut Lengths) -> Result<Tensor, Error> {
    let at = format!("Input {}", quote(&input.name));
    let t = match given { Some(t) => t, None => refuse!("{} is missing; give one value per row.", at), };
    let column = t.shape.len() == 1 && input.shape == [Axis::Length(1)];
    let none = t.shape.len() > 1 && t.shape[0] == 0 && !input.shape.is_empty();
    if !column && !none { input.fit(&at, input.dtype, &t.shape, lengths)?; }
    Ok(Tensor { dtype: input.dtype, shape: t.shape.clone(), data: t.as_dtype(input.dtype, &at)? })
}
fn refuse_missing(input: &Input, t: &Tensor) -> Result<(), Error> {
    let place = match &t.data {
        Data::Floats(v) => v.iter().position(|v| v.is_nan()), Data::Strings(v) => v.iter().position(Option::is_none), Data::Integers(_) => None,
    };
    match place {
        Some(k) => refuse!("Input {} has a missing value in row {}; it is not accepted.", quote(&input.name), k / t.width().max(1)), None => Ok(()),
    }
}
/// Sets of recorded rows with the original model's answers, in the order of inputs and outputs, and the tolerance of each output.
struct Vectors {
    sets: Vec<(Vec<Tensor>, Vec<Tensor>)>,
    tolerance: Vec<Tolerance>, operations: f64, strings: f64, // that a replay takes, and that it goes through
}
impl Vectors {
    fn read(json: &Json, model: &Model, most_rows: usize, guard: &Guard) -> Result<Vectors, Error> {
        let at = "The verification"; json.only(at, &["source", "inputs", "outputs", "tolerance", "rows", "more"])?;
        let source = json.need("source", at)?.string("The verification's source")?;
        if source != "synthetic" && source != "sample" { refuse!("The verification has the source {}; it is \"synthetic\" or \"sample\".", quote(&source)); }
        let tolerances = json.need("tolerance", at)?; let mut tolerance = Vec::new();
        for o in &model.outputs {
            let given = Tolerance::read(tolerances.need(&o.name, "The verification's tolerance")?, &format!("The tolerance of {}", quote(&o.name)))?;
            tolerance.push(if o.dtype.is_float() { given } else { Tolerance::Exact });
        }
        if tolerances.members.len() > tolerance.len() { refuse!("The verification has a tolerance of an unknown output; remove it."); }
        let mut vectors = Vectors { sets: Vec::new(), tolerance, operations: 0.0, strings: 0.0 };
        let mut left = most_rows - vectors.read_set(json, at, model, most_rows, guard)?;
        if let Some(more) = json.get("more") {
            let more = more.objects("The verification's more")?;
            if more.is_empty() { refuse!("The verification's more is empty; leave it out."); }
            for set in more {
                set.only(at, &["inputs", "outputs", "rows"])?;
                left -= vectors.read_set(set, &format!("{}'s set {}", at, vectors.sets.len()), model, left, guard)?;
            }
        }
        Ok(vectors)
    }
    /// Reads one set; returns its number of rows, which is not above the most.
    fn read_set(&mut self, json: &Json, at: &str, model: &Model, most_rows: usize, guard: &Guard) -> Result<usize, Error> {
        let (inputs, outputs) = (json.need("inputs", at)?, json.need("outputs", at)?);
        let tensor = |all: &Json, name: &str, key: &str, dtype: DType| {
            let at = format!("{}'s {}", at, name);
            Tensor::read(all.need(key, &at)?, Some(dtype), &format!("{} {}", at, quote(key)), guard)
        };
        let mut lengths = Lengths::new(); let mut given = Vec::new();
        for i in model.inputs() {
            let t = tensor(inputs, "inputs", &i.name, i.dtype)?;
            i.fit(&format!("{}'s inputs {}", at, quote(&i.name)), t.dtype, &t.shape, &mut lengths)?; given.push(t);
        }
        let plan = model.plan_for(&lengths, guard)?; let rows = given[0].rows(); let mut answers = Vec::new();
        for o in &model.outputs {
            let t = tensor(outputs, "outputs", &o.name, o.dtype)?; let ty = &plan.types[o.slot];
            if t.dtype != o.dtype || t.shape != ty.shape(rows) {
                refuse!("{}'s outputs {} is {}{:?}; {} rows of {} are needed.", at, quote(&o.name), t.dtype, t.shape, rows, ty);
            }
            answers.push(t);
        }
        if let Some(t) = given.iter().find(|t| t.rows() != rows) { refuse!("{} has inputs of {} and of {} rows.", at, rows, t.rows()); }
        if inputs.members.len() > given.len() || outputs.members.len() > answers.len() {
            refuse!("{} names an input or an output that the document does not have; remove it.", at);
        }
        if rows < 1 || rows > most_rows { refuse!("{} has {} rows; from 1 to {} are needed, in all sets.", at, rows, most_rows); }
        if let Some(reasons) = json.get("rows") {
            if reasons.strings(&format!("{}'s rows", at), guard)?.len() != rows {
                refuse!("{} says why for another number of rows than its {}; say it for each.", at, rows);
            }
        }
        self.operations += rows as f64 * plan.operations; self.strings += rows as f64 * plan.strings; self.sets.push((given, answers)); Ok(rows)
    }
    fn replay(&self, model: &Model) -> Result<Vec<Comparison>, Error> {
        let mut all = Vec::new();
        for (given, expected) in &self.sets {
            let columns: Vec<(&str, Tensor)> = model.inputs().iter().map(|i| i.name.as_str()).zip(given.iter().cloned()).collect();
            let got = model.predict(&columns)?;
            all.extend(got.0.iter().zip(expected).zip(&self.tolerance).map(|(((name, got), expected), t)| compare(name, got, expected, t)));
        }
        Ok(all)
    }
}
/// Element by element; NaN never passes by accident, because only what holds passes.
fn compare(output: &str, got: &Tensor, expected: &Tensor, tolerance: &Tolerance) -> Comparison {
    let mut worst = 0.0;
    let done = |passed: bool, sentence: String| { Comparison { output: output.to_string(), passed, sentence: format!("Output {} {}", quote(output), sentence) } };
    if got.dtype != expected.dtype || got.shape != expected.shape || got.data.len() != expected.data.len() {
        return done(false, format!("is {}{:?}; the original has {}{:?}.", got.dtype, got.shape, expected.dtype, expected.shape));
    }
    for k in 0..got.data.len() {
        let holds = match (&got.data, &expected.data) {
            (Data::Floats(g), Data::Floats(e)) => {
                let difference = (g[k] - e[k]).abs(); worst = if difference > worst { difference } else { worst };
                tolerance.holds(g[k], e[k], got.dtype)
            }
            (g, e) => g.key(k) == e.key(k),
        };
        if !holds {
            let (row, column) = (k / expected.width(), k % expected.width());
            let (g, e) = (got.data.shown(k, got.dtype), expected.data.shown(k, got.dtype));
            return done(false, format!("differs from the original in row {}, column {}: got {}, expected {} ({}).", row, column, g, e, tolerance));
        }
    }
    done(true, format!("agrees in {} rows ({}), largest difference {:?}.", got.rows(), tolerance, worst))
}
/// How far an output may lie from the original's.
enum Tolerance {
    Exact,
    Ulp(u64),
    Near { atol: f64, rtol: f64 },
}
impl Tolerance {
    fn read(json: &Json, at: &str) -> Result<Tolerance, Error> {
        if json.kind == b'"' && json.string(at)? == "exact" { return Ok(Tolerance::Exact); }
        let (ulp, atol, rtol) = (json.get("ulp"), json.get("atol"), json.get("rtol"));
        json.kind.eq(&b'{').then_some(()).map_or(Ok(()), |()| json.only(at, if ulp.is_some() { &["ulp"] } else { &["atol", "rtol"] }))?;
        match (ulp, atol, rtol) {
            (Some(ulp), None, None) if ulp.kind == b'"' => refuse!("{} is a string of digits; it is an integer from 0 to 2^53-1.", at),
            (Some(ulp), None, None) => match u64::try_from(ulp.scalar(at).integer(DType::I64)?) {
                Ok(0) => Ok(Tolerance::Exact), Ok(ulp) => Ok(Tolerance::Ulp(ulp)), Err(_) => refuse!("{} is negative or not finite.", at),
            },
            (None, Some(atol), Some(rtol)) => {
                let (atol, rtol) = (atol.scalar(at).number(DType::F64)?, rtol.scalar(at).number(DType::F64)?);
                if !(atol >= 0.0 && rtol >= 0.0 && atol.is_finite() && rtol.is_finite()) { refuse!("{} is negative or not finite.", at); }
                Ok(Tolerance::Near { atol, rtol })
            }
            _ => refuse!("{} is none of \"exact\", {{\"atol\", \"rtol\"}} and {{\"ulp\"}}.", at),
        }
    }
    fn holds(&self, got: f64, expected: f64, dtype: DType) -> bool {
        if got == expected || got.is_nan() && expected.is_nan() { return true; }
        if !got.is_finite() || !expected.is_finite() { return false; }
        match self {
            Tolerance::Exact => false,
            Tolerance::Ulp(ulp) => {
                let bits = |v: f64| if dtype == DType::F32 { u64::from((v.abs() as f32).to_bits()) } else { v.abs().to_bits() };
                let (i, j) = (bits(got), bits(expected)); let apart = if (got < 0.0) == (expected < 0.0) { i.max(j) - i.min(j) } else { i + j };
                apart <= *ulp
            }
            Tolerance::Near { atol, rtol } => (got - expected).abs() <= atol + rtol * expected.abs(),
        }
    }
}
impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tolerance::Exact => f.write_str("exact"), Tolerance::Ulp(ulp) => write!(f, "{} ulp", ulp),
            Tolerance::Near { atol, rtol } => write!(f, "atol {:?}, rtol {:?}", atol, rtol),
        }
    }
}
