//! What holds on either store.

mod api;
mod kill;
mod killed_counter;
mod nodes;
mod payments;
mod rights;
