//! `target/boots.json`: what each boot showed.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mayfly_host::progress::seconds;
use mayfly_host::tree;
use serde::Serialize;

use super::way::Way;

/// The whole file.
#[derive(Debug, Serialize)]
pub struct Report {
    schema: u32,
    commit: String,
    /// Every boot ended as it should, and left nothing behind.
    pub ok: bool,
    /// One for each way, in the order in which they ended.
    pub boots: Vec<Boot>,
    /// What could not be removed.
    pub left_behind: Vec<String>,
}

/// What one boot showed.
#[derive(Debug, Default, Serialize)]
pub struct Boot {
    /// How the machine was started.
    pub way: String,
    about: String,
    /// It ended as it should.
    pub ok: bool,
    /// Why it did not, or null.
    pub failure: Option<String>,
    /// From QEMU's start to the first enrolment that was answered, or null.
    pub enrolled_ms: Option<u64>,
    /// Memory of the machine, in MiB.
    pub memory_mib: u32,
    /// PCR number to what the TPM says, where there is one.
    pub pcrs: BTreeMap<u8, String>,
    /// What the beacon said, where something was to be refused.
    pub beacon: Option<String>,
    /// UEFI variables that a panic and a restart changed.
    pub variables_changed: Vec<String>,
}

impl Boot {
    /// A boot that has shown nothing yet.
    pub fn by(way: Way, memory_mib: Option<u32>) -> Self {
        Self {
            way: way.name(),
            about: way.about(),
            memory_mib: memory_mib.unwrap_or_else(|| way.memory()),
            ..Self::default()
        }
    }

    /// How it ended, for a person.
    pub fn word(&self) -> String {
        match (&self.failure, self.enrolled_ms) {
            (Some(failure), _) => format!("FAILED: {failure}"),
            (None, Some(time)) => {
                let time = seconds(Duration::from_millis(time));
                format!("ok, enrolled after {time}")
            }
            (None, None) => "ok".to_owned(),
        }
    }
}

impl Report {
    /// The report of finished boots, and of what they left.
    ///
    /// # Errors
    /// git does not say which commit this is.
    pub fn of(boots: Vec<Boot>, left_behind: Vec<String>) -> Result<Self> {
        Ok(Self {
            schema: 2,
            commit: mayfly_host::commit()?,
            ok: boots.iter().all(|boot| boot.ok) && left_behind.is_empty(),
            boots,
            left_behind,
        })
    }

    /// Writes the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(tree().join("target/boots.json"), text + "\n").context("cannot write the report")
    }

    /// The result of the command that made this report.
    ///
    /// # Errors
    /// A boot did not end as it should, or something is left.
    pub fn verdict(&self) -> Result<()> {
        let left = &self.left_behind;
        ensure!(left.is_empty(), "left behind: {}", left.join("; "));
        ensure!(self.ok, "not every boot ended as it should");
        Ok(())
    }
}
