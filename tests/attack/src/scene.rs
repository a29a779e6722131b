//! Where the attack takes place: a firewall, addresses, a directory.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use mayfly_node::firewall::{self, Surroundings};
use mayfly_node::settings::Settings;
use mayfly_sys::nft::{self, Table};
use mayfly_sys::{link, tun::Tun};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::jail::{Jail, Wall};
use crate::place::{self, LOG_TCP, SERVICE};

/// The link behind which a server takes logs.
const LINK: &str = "outside";
const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

/// Everything that is the same for all attempts. All but the directory is gone with the process.
pub(crate) struct Scene {
    /// Its name in reports.
    pub name: &'static str,
    /// The walls that can be removed here.
    pub walls: Vec<Wall>,
    directory: PathBuf,
    rules: Table,
    _outside: Tun,
    _servers: [TcpListener; 2],
}

impl Scene {
    /// This machine, in its own network namespace.
    pub(crate) fn host() -> Self {
        unshare(CloneFlags::CLONE_NEWNET).expect("as root");
        let walls = Wall::ALL.into_iter().filter(|wall| *wall != Wall::Root);
        let directory = std::env::temp_dir().join(format!("mayfly-attack-{}", std::process::id()));
        Self::set("host", walls.collect(), directory)
    }

    /// The image, where the whole machine belongs to the node.
    pub(crate) fn image() -> Self {
        Self::set("image", Wall::ALL.into(), "/attack".into())
    }

    fn set(name: &'static str, walls: Vec<Wall>, directory: PathBuf) -> Self {
        const EXAMPLE: &str = include_str!("../../../crates/node/example.toml");
        let settings = Settings::parse("example.toml", EXAMPLE).expect("a test of the node's");
        let outside = Tun::create(LINK).expect("as root");
        link::set_up(LINK, None).expect("it is there");
        link::add_address(LINK, OWN, 24).expect("it is up");
        link::set_up("lo", None).expect("as root");
        link::add_address("lo", SERVICE.ip(), 32).expect("it is up");
        let around = Surroundings {
            tun: LINK,
            uplink: Vec::new(),
            boot_hosts: Vec::new(),
            table: 1 << 16,
        };
        let listen = |address| TcpListener::bind(address).expect("the address is there");
        Self {
            name,
            walls,
            directory,
            rules: firewall::ruleset(&settings, &around),
            _outside: outside,
            _servers: [listen(SERVICE), listen(LOG_TCP)],
        }
    }

    /// Whether walls of this process are removed here. In the image only those of the daemon are,
    /// because an emulated machine is slow.
    pub(crate) fn removes_walls_of(&self, jail: Jail) -> bool {
        !self.walls.contains(&Wall::Root) || jail == Jail::Daemon
    }

    /// Puts up the walls that do not belong to a process, except those `left_out`.
    pub(crate) fn put_up(&self, left_out: &[Wall]) {
        let none = Table {
            name: self.rules.name,
            chains: Vec::new(),
        };
        let rules = match left_out.contains(&Wall::Firewall) {
            true => &none,
            false => &self.rules,
        };
        nft::install(rules).expect("as root");
    }

    /// Makes the directory again. The caller must keep the socket while the directory is used.
    pub(crate) fn prepare(&self, jail: Jail, left_out: &[Wall]) -> (PathBuf, Option<UnixDatagram>) {
        let has_root = self.walls.contains(&Wall::Root);
        if has_root {
            remount(MsFlags::empty());
        }
        let log = place::prepare(&self.directory, jail.user());
        if has_root && !left_out.contains(&Wall::Root) {
            remount(MsFlags::MS_RDONLY);
        }
        (self.directory.clone(), log)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn remount(how: MsFlags) {
    let how = how | MsFlags::MS_REMOUNT | MsFlags::MS_NOSUID;
    mount(None::<&str>, "/", None::<&str>, how, None::<&str>).expect("as root, in the image");
}
