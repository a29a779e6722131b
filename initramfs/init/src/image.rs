//! `/etc/mayfly/image.toml`: what the image says about itself.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};
use serde::Deserialize;

use crate::Failure;

const PATH: &str = "/etc/mayfly/image.toml";

/// The content of the file.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// Ed25519 public key that signs settings bundles.
    pub bundle_key: [u8; 32],
    /// When its commit was made, in Unix seconds.
    pub built: i64,
    /// The lowest serial of a bundle that is accepted: an older bundle cannot be used again.
    pub least_serial: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    bundle_key: String,
    built: i64,
    least_serial: u64,
}

impl Image {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Failure::Image`] if the file is missing, or is not what `cargo xtask image` writes.
    pub fn read() -> Result<Self, Failure> {
        let text = fs::read_to_string(PATH).map_err(|_| Failure::Image)?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, Failure> {
        let file: File = toml::from_str(text).map_err(|_| Failure::Image)?;
        let bundle_key = STANDARD
            .decode(file.bundle_key)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(Failure::Image)?;
        Ok(Self {
            bundle_key,
            built: file.built,
            least_serial: file.least_serial,
        })
    }

    /// Sets the clock to the image's time if it is earlier. On a board without a battery every
    /// certificate would otherwise be not yet valid.
    ///
    /// # Errors
    /// [`Failure::Clock`] if the clock cannot be read or set.
    pub fn set_clock_floor(&self) -> Result<(), Failure> {
        let now = clock_gettime(ClockId::CLOCK_REALTIME).map_err(|_| Failure::Clock)?;
        if now.tv_sec() >= self.built {
            return Ok(());
        }
        clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::new(self.built, 0))
            .map_err(|_| Failure::Clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_whole_key_does_not_start() {
        let key = STANDARD.encode([7; 32]);
        let rest = "built = 1764000000\nleast_serial = 5\n";
        let image = Image::parse(&format!("bundle_key = \"{key}\"\n{rest}"));
        let expected = Image {
            bundle_key: [7; 32],
            built: 1_764_000_000,
            least_serial: 5,
        };
        assert!(image == Ok(expected));
        for text in [
            rest.to_owned(),
            format!("bundle_key = \"{key}\"\nbuilt = 1"),
            format!("bundle_key = \"{}\"\n{rest}", STANDARD.encode([7; 31])),
            format!("bundle_key = \"{key}\"\n{rest}other = 1"),
        ] {
            assert!(Image::parse(&text) == Err(Failure::Image), "{text}");
        }
    }
}
