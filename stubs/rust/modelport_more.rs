use crate::modelport::Ops;
pub static OPS: Ops = Ops(&[]);
