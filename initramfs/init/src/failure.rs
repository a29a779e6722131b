//! Why a machine did not come up.

use std::process::ExitCode;

/// The steps that can fail, each with its exit status. The number is all that is told, so no
/// user data can slip out with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Failure {
    /// /proc cannot be mounted, or the root cannot be made read-only.
    Mounts = 10,
    /// `/etc/mayfly/image.toml` is not what `cargo xtask image` writes.
    Image = 11,
    /// The clock cannot be set to the image's time.
    Clock = 12,
    /// A word of the kernel's command line that starts with `mayfly.` is unknown, stands there
    /// twice, or has an invalid value; or the URL from DHCP is invalid.
    CommandLine = 13,
    /// No Ethernet link with a carrier for a minute.
    NoLink = 14,
    /// The link cannot be given its address or route.
    Address = 15,
    /// No DHCP server answered for a minute.
    NoLease = 16,
    /// Neither the command line nor DHCP says where the bundle is.
    NoBundleUrl = 17,
    /// No bundle could be fetched for three minutes.
    NoBundle = 18,
    /// The last fetched file is not a bundle, is not signed by the image's key, or has no valid
    /// `serial` and `machines`.
    BundleRefused = 19,
    /// The daemon cannot be started.
    Start = 20,
    /// PID 1 could not give up its rights.
    Confine = 21,
    /// The kernel refused to restart the machine. It has to when PID 1 ends.
    Restart = 22,
    /// A kernel setting cannot be changed.
    Sysctls = 23,
    /// The daemon has ended, by itself or because of its settings.
    NodeEnded = 24,
    /// The last fetched bundle is signed, but for other machines.
    BundleOfAnother = 25,
    /// The last fetched bundle is signed, but its serial is too low for the image.
    BundleTooOld = 26,
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        Self::from(failure as u8)
    }
}
