//! The lowest cost that a server on this machine can have: the cipher, and the kernel's part of a
//! packet with every offload and full trains.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mayfly_host::teardown::Tag;
use mayfly_host::tree;
use mayfly_host::{cargo, process};
use serde::{Deserialize, Serialize};

use super::plan;
use super::testbed::Testbed;

const LIMIT: Duration = Duration::from_secs(60);

/// TCP payload of a full inner packet of 1420 bytes, in bytes, with RFC 7323's time stamps.
const PAYLOAD_V4: f64 = 1368.0;
const PAYLOAD_V6: f64 = 1348.0;

/// Nanoseconds of CPU for a full packet.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Units {
    seal: f64,
    open: f64,
    tun_read: f64,
    tun_write: f64,
    udp_send: f64,
    udp_receive: f64,
}

/// Builds the program that measures it.
///
/// # Errors
/// It does not build.
pub(crate) fn build() -> Result<PathBuf> {
    cargo::build(
        "build what measures the floor",
        "1 min on 2 processors",
        "--release --package mayfly-floor",
    )?;
    Ok(tree().join("target/release/floor"))
}

/// Measures it in the server's namespace.
///
/// # Errors
/// The program fails.
pub(crate) fn measure(tag: &Tag, program: &PathBuf) -> Result<Units> {
    let testbed = Testbed::make(tag, plan::ONE)?;
    let beyond = testbed.beyond()?;
    let mut command = testbed.server.command([]);
    command.arg(program).arg(beyond.to_string());
    let said = process::output(&mut command, "floor", LIMIT)?;
    serde_json::from_str(&said).context("floor said no JSON")
}

impl Units {
    /// The median of each unit over several turns.
    pub(crate) fn medians(turns: &[Self]) -> Option<Self> {
        let of = |part: fn(&Self) -> f64| super::report::median(turns.iter().map(part));
        Some(Self {
            seal: of(|units| units.seal)?,
            open: of(|units| units.open)?,
            tun_read: of(|units| units.tun_read)?,
            tun_write: of(|units| units.tun_write)?,
            udp_send: of(|units| units.udp_send)?,
            udp_receive: of(|units| units.udp_receive)?,
        })
    }

    /// CPU seconds for a gigabyte of TCP payload from the client.
    pub(crate) fn up(self, v6: bool) -> f64 {
        (self.open + self.udp_receive + self.tun_write) / payload(v6)
    }

    /// CPU seconds for a gigabyte of TCP payload to the client.
    pub(crate) fn down(self, v6: bool) -> f64 {
        (self.seal + self.tun_read + self.udp_send) / payload(v6)
    }
}

fn payload(v6: bool) -> f64 {
    if v6 { PAYLOAD_V6 } else { PAYLOAD_V4 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gigabyte_is_as_many_packets_as_carry_it() {
        let units = Units {
            open: 1_000.0,
            udp_receive: 268.0,
            tun_write: 100.0,
            ..Units::default()
        };
        assert!((units.up(false) - 1.0).abs() < 1e-9);
        assert!(units.up(true) > units.up(false) && units.down(false) < 1e-9);
    }
}
