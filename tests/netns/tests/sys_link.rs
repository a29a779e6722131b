//! Links, addresses, routes and kernel settings, as `ip` sees them afterwards.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use mayfly_netns::{Namespace, veth};
use mayfly_sys::{link, sysctl};

/// Longer than anything in these tests takes.
const LIMIT: Duration = Duration::from_secs(10);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A namespace with the link `a`, and its neighbour with the other end, `b`. Both are up.
fn neighbours() -> (Namespace, Namespace) {
    let (here, there) = (Namespace::new("here"), Namespace::new("there"));
    veth((&here, "a", &[]), (&there, "b", &[]));
    (here, there)
}

#[test]
fn ethernet_links_are_listed_and_no_others() {
    let (here, _there) = neighbours();
    here.ip("tuntap add t0 mode tun");
    let links = here.within(|| link::ethernet_links().unwrap());
    let names: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
    assert_eq!(names, ["a"]);
    let mac = links[0].mac.map(|byte| format!("{byte:02x}")).join(":");
    assert!(here.run("ip link show a").contains(&mac));
}

#[test]
fn a_link_whose_carrier_comes_later_is_found() {
    let (here, there) = neighbours();
    here.ip("link set dev a down");
    there.ip("link set dev b down");
    let found = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| here.within(|| link::wait_for_carrier(LIMIT).unwrap()));
        // The function listens first and then sets its links up, which shows that it listens.
        while !here.run("ip link show a").contains(",UP") && !waiting.is_finished() {}
        there.ip("link set dev b up");
        waiting.join().unwrap()
    });
    assert_eq!(found.name, "a");
    assert!(found.running);
}

#[test]
fn without_a_carrier_the_wait_has_an_end() {
    let (here, there) = neighbours();
    there.ip("link set dev b down");
    let waited = here.within(|| link::wait_for_carrier(Duration::from_millis(100)));
    assert_eq!(waited.err().unwrap().kind(), ErrorKind::TimedOut);
}

#[test]
fn a_link_gets_its_mtu_addresses_and_routes_and_twice_is_as_once() {
    let (here, _there) = neighbours();
    for _ in 0..2 {
        here.within(|| {
            link::set_up("a", Some(1_300)).unwrap();
            link::add_address("a", ip("192.0.2.1"), 24).unwrap();
            link::add_address("a", ip("2001:db8::1"), 64).unwrap();
            link::add_default_route(ip("192.0.2.254")).unwrap();
            link::add_default_route(ip("2001:db8::254")).unwrap();
        });
    }
    assert!(here.run("ip link show a").contains("mtu 1300"));
    let addresses = here.run("ip -brief address show a");
    assert_eq!(addresses.matches("192.0.2.1/24").count(), 1);
    assert_eq!(addresses.matches("2001:db8::1/64").count(), 1);
    let default = |family: &str| here.run(&format!("ip {family} route show default"));
    assert_eq!(
        default("-4").trim(),
        "default via 192.0.2.254 dev a proto static"
    );
    assert_eq!(default("-6").lines().count(), 1);
    assert!(default("-6").starts_with("default via 2001:db8::254 dev a"));
}

#[test]
fn what_is_not_there_is_an_error() {
    let here = Namespace::new("here");
    here.within(|| {
        assert!(link::set_up("a", None).is_err());
        assert!(link::add_address("a", ip("192.0.2.1"), 24).is_err());
        assert!(link::add_default_route(ip("192.0.2.254")).is_err());
    });
}

#[test]
fn settings_are_made_and_the_first_bad_one_is_named() {
    let here = Namespace::new("here");
    let forwarding = ("net/ipv4/ip_forward", "1");
    here.within(|| sysctl::set_all(&[forwarding]).unwrap());
    assert_eq!(here.run("cat /proc/sys/net/ipv4/ip_forward").trim(), "1");

    let table = [("net/ipv4/no_such", "1"), ("net/ipv4/ip_forward", "0")];
    let (name, _) = here.within(|| sysctl::set_all(&table).unwrap_err());
    assert_eq!(name, "net/ipv4/no_such");
    assert_eq!(here.run("cat /proc/sys/net/ipv4/ip_forward").trim(), "1");
}
