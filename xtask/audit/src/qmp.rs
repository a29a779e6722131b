//! The part of QEMU's monitor that is needed to stop a guest (QEMU Machine Protocol).

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};

/// How long QEMU may say nothing, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that commands can be given on.
pub(crate) struct Qmp(Mutex<BufReader<UnixStream>>);

impl Qmp {
    /// Connects, and negotiates no extra capabilities.
    ///
    /// # Errors
    /// QEMU does not answer.
    pub(crate) fn connect(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path).context("QEMU has no monitor")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let qmp = Self(Mutex::new(BufReader::new(stream)));
        qmp.command("qmp_capabilities")?;
        Ok(qmp)
    }

    /// Gives a command and waits until it is done.
    ///
    /// # Errors
    /// QEMU refuses, or says nothing.
    pub(crate) fn command(&self, name: &str) -> Result<()> {
        self.ask(name, json!({})).map(|_| ())
    }

    /// The same with arguments. Returns QEMU's answer.
    ///
    /// # Errors
    /// As [`Qmp::command`].
    pub(crate) fn ask(&self, name: &str, arguments: Value) -> Result<Value> {
        let mut stream = self.0.lock().map_err(|_| anyhow!("a panic before"))?;
        let command = json!({ "execute": name, "arguments": arguments });
        writeln!(stream.get_mut(), "{command}")?;
        // Greeting and events come in between.
        let mut line = String::new();
        while stream.read_line(&mut line)? > 0 {
            let mut answer: Value = serde_json::from_str(&line)?;
            if let Some(returned) = answer.get_mut("return") {
                return Ok(returned.take());
            }
            if let Some(error) = answer.get("error") {
                bail!("QEMU refuses {name}: {error}");
            }
            line.clear();
        }
        bail!("QEMU hung up")
    }
}
