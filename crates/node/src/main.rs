//! crates/node
fn main() {}
