//! The API at the edge: the listener, the routes, and every refusal as a problem document.

pub(crate) mod listener;
pub(crate) mod refusal;
mod rekeyed;
pub(crate) mod routes;
pub mod start;
