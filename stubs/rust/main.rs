// SPDX-License-Identifier: Apache-2.0 OR 0BSD OR MIT
//
// The command line of stubs/README.md around modelport.rs.

#![forbid(unsafe_code)]

mod modelport;
mod modelport_fast;
mod modelport_more;
mod modelport_nn;

use modelport::{Limits, Model, Ops};
use std::io::{Read, Write};

static MORE: [&Ops; 3] = [&modelport_fast::OPS, &modelport_more::OPS, &modelport_nn::OPS];

const HELP: &str = "usage: predict ARTIFACT [--no-verify] < inputs.json > outputs.json | verify ARTIFACT [VECTORS] | info ARTIFACT | ops";
const MISMATCH: i32 = 1;
const REFUSED: i32 = 2;
const USAGE: i32 = 64;

/// An exit code and the sentence for it.
struct Failure(i32, String);

impl From<modelport::Error> for Failure {
    fn from(e: modelport::Error) -> Failure {
        Failure(e.exit_code(), e.to_string())
    }
}

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let args: Option<Vec<String>> = std::env::args_os().skip(1).map(|arg| arg.into_string().ok()).collect();
    // Nothing is known to panic; if something does, there is no answer, and one sentence.
    let answer = std::panic::catch_unwind(|| match args {
        Some(args) => command(args),
        None => Err(Failure(USAGE, HELP.to_string())),
    });
    let result = match answer {
        Ok(Ok((code, text))) => {
            let mut out = std::io::stdout();
            match out.write_all(&text).and_then(|()| out.flush()) {
                Ok(()) if code == 0 => Ok(()),
                Ok(()) => Err(Failure(code, "The numbers do not match the vectors.".to_string())),
                Err(e) => Err(Failure(REFUSED, format!("Writing failed: {}.", e))),
            }
        }
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(Failure(REFUSED, "This program has a fault, and gives no answer.".to_string())),
    };
    if let Err(Failure(code, sentence)) = result {
        let _ = writeln!(std::io::stderr(), "{}", sentence);
        std::process::exit(code);
    }
}

/// Runs one command: its exit code, and what it prints.
fn command(mut args: Vec<String>) -> Result<(i32, Vec<u8>), Failure> {
    let before = args.len();
    args.retain(|arg| arg != "--no-verify");
    let verified = args.len() == before;
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match (words.as_slice(), verified) {
        (["ops"], true) => Ok((0, modelport::ops(&MORE).iter().flat_map(|op| format!("{}\n", op).into_bytes()).collect())),
        (["info", artifact], true) => Ok((0, format!("{}\n", open(artifact)?.info()).into_bytes())),
        (["verify", artifact], true) => verify(artifact, None),
        (["verify", artifact, vectors], true) => verify(artifact, Some(vectors)),
        (["predict", artifact], _) => {
            let model = if verified { Model::load_with(&file(artifact)?, &MORE)? } else { open(artifact)? };
            let outputs = model.predict_json(&all(std::io::stdin(), "The request")?)?;
            let mut text = Vec::new();
            outputs.write(&mut text).map_err(|e| Failure(REFUSED, format!("Writing failed: {}.", e)))?;
            text.push(b'\n');
            Ok((0, text))
        }
        _ => Err(Failure(USAGE, HELP.to_string())),
    }
}

fn verify(artifact: &str, vectors: Option<&str>) -> Result<(i32, Vec<u8>), Failure> {
    let model = open(artifact)?;
    let checks = match vectors {
        Some(path) => model.verify_with(&file(path)?)?,
        None => model.verify()?,
    };
    let code = if checks.iter().all(|check| check.passed) { 0 } else { MISMATCH };
    Ok((code, checks.iter().flat_map(|check| format!("{}\n", check.sentence).into_bytes()).collect()))
}

fn open(artifact: &str) -> Result<Model, Failure> {
    Ok(Model::open(&file(artifact)?, &MORE, &Limits::default())?)
}

fn file(path: &str) -> Result<Vec<u8>, Failure> {
    let open = std::fs::File::open(path).map_err(|e| Failure(REFUSED, format!("The file {} cannot be read: {}.", path, e)))?;
    all(open, path)
}

/// All bytes of a stream, which may be endless: gives up beyond the size of a document.
fn all(stream: impl Read, what: &str) -> Result<Vec<u8>, Failure> {
    let most = Limits::default().document_bytes;
    let mut bytes = Vec::new();
    match stream.take(most as u64 + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() <= most => Ok(bytes),
        Ok(_) => Err(Failure(REFUSED, format!("{} has more than {} bytes.", what, most))),
        Err(e) => Err(Failure(REFUSED, format!("{} cannot be read: {}.", what, e))),
    }
}
