//! PID 1: the life of a node, top to bottom. The library's documentation says what it does.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::panic;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use mayfly_init::beacon::{self, Beacon};
use mayfly_init::cmdline::CommandLine;
use mayfly_init::image::Image;
use mayfly_init::network::Network;
use mayfly_init::{Failure, bundle, confine, flows, mounts, network, supervise, sysctls};
use zeroizing_alloc::ZeroAlloc;

/// Zeroes all memory when it is freed: the settings, which hold a secret, pass through here.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

/// Pause before a restart, so that a machine that fails at once does not flood the boot network.
const PAUSE: Duration = Duration::from_secs(5);

/// A node's life. (Public for `tests/mortal`, the audit's PID 1: this one and one more process.)
pub(crate) fn main() -> ExitCode {
    // A panic message could contain user data.
    panic::set_hook(Box::new(|_| ()));
    let life = live();
    supervise::end_all();
    thread::sleep(PAUSE);
    let failure = life.map_or_else(|failure| failure, |()| supervise::restart());
    failure.into()
}

/// Returns when the daemon has ended, or when the machine has lost its address.
fn live() -> Result<(), Failure> {
    mounts::mount_all()?;
    sysctls::set_all()?;
    flows::set_all()?;
    let image = Image::read()?;
    image.set_clock_floor()?;

    let line: CommandLine = fs::read_to_string("/proc/cmdline")
        .map_err(|_| Failure::CommandLine)?
        .parse()?;
    let (mut network, told) = Network::bring_up(&line.addressing)?;
    let url = line.bundle.or(told.bundle).ok_or(Failure::NoBundleUrl)?;
    let boot_hosts = [Some(url.server.ip()), told.server.map(IpAddr::V4)];
    let beacon = Beacon::to(SocketAddr::new(url.server.ip(), beacon::PORT));
    let settings = bundle::obtain(&url, &image, &network::own_macs()?, &beacon)?;

    let ended = mounts::seal_root().and_then(|()| keep_running(settings, boot_hosts, &mut network));
    beacon.tell(ended.err().unwrap_or(Failure::NodeEnded));
    ended
}

/// The daemon starts with all rights and gives up its own. Then PID 1 does the same.
fn keep_running(
    settings: String,
    boot_hosts: [Option<IpAddr>; 2],
    network: &mut Network,
) -> Result<(), Failure> {
    let node = supervise::start(&settings, boot_hosts.into_iter().flatten())?;
    drop(settings);
    confine::give_up_rights()?;
    node.watch(network);
    Ok(())
}
