//! What every verb of `cargo xtask` needs of this machine: child processes that end with the
//! verb, signals, network namespaces, packages of the distribution, lines of progress, and the
//! removal of everything that was started.
//!
//! It knows nothing of Mayfly: neither how the image is built nor what runs in it.

pub mod cargo;
pub mod cpu;
pub mod namespace;
pub mod packages;
pub mod process;
pub mod progress;
mod prologue;
pub mod signals;
pub mod teardown;
mod tree;

pub use self::prologue::prologue;
pub use self::tree::{TREE, commit, tree};
