//! Tests between network namespaces, as root: what only a kernel can check.
//!
//! Each test makes the namespaces that it needs, joins them by veth pairs, and takes everything
//! down when it ends, whether it passed or failed. No traffic leaves the namespaces.

mod namespace;

pub use namespace::{Namespace, Process, veth};
