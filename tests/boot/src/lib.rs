//! The sealed image in QEMU, a stock WireGuard client, and the counter: what
//! `cargo xtask run`, `writes` and `audit` show, judged claim by claim. All of it is in `tests/`; it
//! needs root.
