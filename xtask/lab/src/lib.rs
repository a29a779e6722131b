//! A small world for one node: the image in QEMU between network namespaces, with an operator,
//! a customer, and a web server on the internet.
//!
//! ```text
//!   customer             hub: router, operator               internet
//!  203.0.113.2 ------- 203.0.113.1    198.51.100.1 -------- 198.51.100.2
//!  mayfly, wg-quick      |  accounts :8443                   web server
//!                        |  bundle   :8080
//!                      192.0.2.1
//!                        | TAP
//!                      192.0.2.2   QEMU: the sealed image
//! ```
//!
//! It sets things up and starts them, and judges nothing: what is tried there, and what that
//! shows, is up to the verbs that use it.

pub mod customer;
pub mod guest;
pub mod healthz;
pub mod image;
pub mod network;
pub mod operator;
pub mod qemu;
pub mod settings;
pub mod web;
