//! crates/client
fn main() {}
