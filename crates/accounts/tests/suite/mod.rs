//! The tests of both stores.

mod api;
mod kill;
mod killed_counter;
mod nodes;
mod payments;
mod rights;
