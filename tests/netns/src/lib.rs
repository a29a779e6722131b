//! Tests between network namespaces, as root: the parts that only a kernel can judge.
//!
//! Each test makes the namespaces that it needs, joins them by veth pairs, and takes
//! everything down again when it ends, however it ends. Traffic stays inside.

mod namespace;

pub use namespace::{Namespace, Process, veth};
