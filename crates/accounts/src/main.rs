//! crates/accounts
fn main() {}
