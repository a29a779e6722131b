//! Why a machine did not come up.

use std::process::ExitCode;

/// The steps that can fail, each with its exit status. Nothing is
/// told beside the number, so nothing can slip out with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Failure {
    /// /proc cannot be mounted, or the root not be made read-only.
    Mounts = 10,
    /// `/etc/mayfly/image.toml` is not what `cargo xtask image` writes.
    Image = 11,
    /// The clock cannot be set to the image's time.
    Clock = 12,
    /// A word of the kernel's command line that starts with `mayfly.` is unknown, twice
    /// there, or has a bad value; or the URL that DHCP gave is bad.
    CommandLine = 13,
    /// No Ethernet link with a carrier for a minute.
    NoLink = 14,
    /// The link cannot be given its address or route.
    Address = 15,
    /// No DHCP server answered for a minute.
    NoLease = 16,
    /// Neither the command line nor DHCP says where the bundle is.
    NoBundleUrl = 17,
    /// Nothing could be fetched for minutes.
    NoBundle = 18,
    /// What was fetched last is no bundle, not signed by the key of the image, or says
    /// nothing about itself.
    BundleRefused = 19,
    /// The daemon cannot be started.
    Start = 20,
    /// PID 1 could not give up its rights.
    Confine = 21,
    /// The kernel would not restart the machine when asked; now it has to.
    Restart = 22,
    /// A kernel setting cannot be made.
    Sysctls = 23,
    /// The daemon has ended: by itself, or because of its settings.
    NodeEnded = 24,
    /// What was fetched last is signed, and for other machines.
    BundleOfAnother = 25,
    /// What was fetched last is signed, and older than the least that the image takes.
    BundleTooOld = 26,
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        Self::from(failure as u8)
    }
}
