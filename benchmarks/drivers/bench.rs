// Measures stubs/rust/modelport.rs inside one process: bench ROWS ARTIFACT
// Commands on standard input, one answer per line: ready | load | one SECONDS | batch SECONDS | answers FILE (see ../worker.py).

#![forbid(unsafe_code)]

mod modelport;
mod modelport_fast;
mod modelport_more;
mod modelport_nn;

use modelport::{Limits, Model, Ops, Tensor};
use std::error::Error;
use std::fmt::Write as _;
use std::io::{BufRead, Write};
use std::time::Instant;

static MORE: [&Ops; 3] = [&modelport_fast::OPS, &modelport_more::OPS, &modelport_nn::OPS];
const SINGLES: usize = 64;

/// The rows of one input.
enum Column {
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}
struct Input {
    name: String,
    width: usize,
    rows: usize,
    column: Column,
}
impl Input {
    fn tensor(&self, from: usize, to: usize) -> Result<(&str, Tensor), modelport::Error> {
        let (a, b) = (from * self.width, to * self.width);
        let tensor = match &self.column {
            Column::Numbers(v) => Tensor::from(v[a..b].to_vec()),
            Column::Texts(v) => Tensor::from(v[a..b].iter().map(String::as_str).collect::<Vec<_>>()),
        };
        Ok((&self.name, tensor.shaped(&[to - from, self.width])?))
    }
}

/// Per input a line "name kind width rows", then one element per line.
fn read_rows(path: &str) -> Result<Vec<Input>, Box<dyn Error>> {
    let text = std::fs::read_to_string(path)?;
    let mut lines = text.lines();
    let mut inputs = Vec::new();
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, kind, width, rows] = words[..] else { return Err("The rows file is damaged.".into()) };
        let (width, rows): (usize, usize) = (width.parse()?, rows.parse()?);
        let elements = lines.by_ref().take(width * rows);
        let column = if kind == "str" { Column::Texts(elements.map(String::from).collect()) } else {
            Column::Numbers(elements.map(|v| if v == "nan" { Ok(f64::NAN) } else { v.parse() }).collect::<Result<_, _>>()?)
        };
        inputs.push(Input { name: name.to_string(), width, rows, column });
    }
    Ok(inputs)
}

fn load(path: &str) -> Result<Model, Box<dyn Error>> {
    let model = Model::open(std::fs::read(path)?, &MORE, &Limits { threads: 1, ..Limits::default() })?;
    match model.verify()?.into_iter().find(|check| !check.passed) { Some(check) => Err(check.sentence.into()), None => Ok(model) }
}

/// Seconds per call, going round the first rows (or with the whole batch) for at least so many seconds.
fn repeated(model: &Model, inputs: &[Input], whole: bool, least: f64) -> Result<f64, Box<dyn Error>> {
    let rows = inputs[0].rows;
    let spans: Vec<(usize, usize)> = if whole { vec![(0, rows)] } else { (0..rows.min(SINGLES)).map(|k| (k, k + 1)).collect() };
    let feeds = spans
        .iter()
        .map(|&(from, to)| inputs.iter().map(|i| i.tensor(from, to)).collect::<Result<Vec<_>, _>>())
        .collect::<Result<Vec<_>, _>>()?;
    let started = Instant::now();
    let mut done = 0;
    loop {
        model.predict(&feeds[done % feeds.len()])?;
        done += 1;
        let spent = started.elapsed().as_secs_f64();
        if spent >= least { return Ok(spent / done as f64); }
    }
}

fn answers(model: &Model, inputs: &[Input], path: &str) -> Result<(), Box<dyn Error>> {
    let feeds = inputs.iter().map(|i| i.tensor(0, i.rows)).collect::<Result<Vec<_>, _>>()?;
    let outputs = model.predict(&feeds)?;
    let mut text = String::new();
    for v in outputs.get("label").and_then(Tensor::integers).ok_or("There are no labels.")? { writeln!(text, "{}", v)?; }
    for v in outputs.get("probability").and_then(Tensor::floats).ok_or("There are no probabilities.")? { writeln!(text, "{:?}", v)?; }
    Ok(std::fs::write(path, text)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, rows, artifact] = &args[..] else { return Err("usage: bench ROWS ARTIFACT".into()) };
    let inputs = read_rows(rows)?;
    let mut model = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match (command, &model) {
            ("ready", _) => Ok("null".to_string()),
            ("load", _) => {
                model = None;
                let started = Instant::now();
                load(artifact).map(|loaded| { model = Some(loaded); format!("{:?}", started.elapsed().as_secs_f64()) })
            }
            (_, None) => Err("There is no model.".into()),
            ("answers", Some(model)) => answers(model, &inputs, argument).map(|()| "null".to_string()),
            (_, Some(model)) => argument
                .parse()
                .map_err(Box::from)
                .and_then(|least| repeated(model, &inputs, command == "batch", least))
                .map(|seconds| format!("{:?}", seconds)),
        };
        println!("{}", answer.unwrap_or_else(|e| format!("{{\"error\": \"{}\"}}", e.to_string().replace(['"', '\\'], "'"))));
        std::io::stdout().flush()?;
    }
    Ok(())
}
