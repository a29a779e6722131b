//! What every verb of `cargo xtask` needs of this machine: processes that end with us, signals,
//! network namespaces, packages of the distribution, a line of progress, and taking away
//! whatever was started.
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
