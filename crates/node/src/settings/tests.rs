use super::*;

const EXAMPLE: &str = include_str!("../../example.toml");

/// The error for the example with one part of it replaced.
fn refusal(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "the example has no {from}");
    let text = EXAMPLE.replacen(from, to, 1);
    match Settings::parse("node.toml", &text) {
        Ok(_) => panic!("{to} was taken"),
        Err(error) => error.to_string(),
    }
}

fn line(text: &str) -> usize {
    1 + EXAMPLE
        .lines()
        .position(|line| line.starts_with(text))
        .unwrap()
}

#[test]
fn the_example_is_taken() {
    let settings = Settings::parse("example.toml", EXAMPLE).unwrap();
    assert_eq!(settings.name.as_str(), "node-1");
    assert_eq!(settings.inner_prefixes().len(), 4);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_what_was_expected() {
    let said = refusal("serial = 1", "serial = 1\nlog_level = 3");
    let place = format!("node.toml:{}: ", line("serial") + 1);
    assert!(said.starts_with(&place), "{said}");
    assert!(
        said.contains("unknown field `log_level`, expected one of"),
        "{said}"
    );
}

#[test]
fn a_bad_address_is_refused_with_its_line_and_what_was_expected() {
    let said = refusal("192.0.2.10:9180", "localhost:9180");
    let expected = format!(
        "node.toml:{}: expected an address with a port",
        line("healthz")
    );
    assert!(said.starts_with(&expected), "{said}");
    let said = refusal("192.0.2.11", "192.0.2.256");
    assert!(said.contains("expected an IPv4 address"), "{said}");
    let said = refusal("\"203.0.113.53\"", "\"resolver.example\"");
    assert!(said.contains("expected an address, like"), "{said}");
}

#[test]
fn an_egress_address_that_is_an_endpoint_is_refused_with_its_line() {
    let egress = r#"egress = ["192.0.2.12"]"#;
    let said = refusal(egress, r#"egress = ["192.0.2.10"]"#);
    let place = format!("node.toml:{}: ", line("egress"));
    assert!(said.starts_with(&place), "{said}");
    assert!(said.contains("not in wireguard.addresses"), "{said}");
    let said = refusal(egress, r#"egress = ["192.0.2.12", "192.0.2.13"]"#);
    assert!(
        said.contains("at most one address for each family"),
        "{said}"
    );
}

#[test]
fn overlapping_pools_are_refused_and_both_are_named() {
    let said = refusal("10.65.0.0/16", "10.64.128.0/17");
    assert!(
        said.starts_with(&format!("node.toml:{}: ", line("ipv4 = \"10.65"))),
        "{said}"
    );
    assert!(
        said.ends_with(
            "pools.streaming.ipv4: expected a prefix that does not overlap pools.default.ipv4"
        ),
        "{said}"
    );
}

#[test]
fn a_pool_that_holds_an_outer_address_is_refused() {
    for (from, to) in [
        ("10.64.0.0/16", "192.0.2.0/24"),
        ("fd00:64::/64", "2001:db8::/64"),
        ("10.65.0.0/16", "203.0.113.0/24"),
        ("10.66.0.0/28", "198.51.100.16/28"),
    ] {
        let said = refusal(from, to);
        assert!(said.contains("does not overlap"), "{said}");
    }
}

#[test]
fn values_that_do_not_fit_are_refused() {
    for (from, to, expected) in [
        (
            "\"node-1\"",
            "\"Node 1\"",
            "expected a DNS name in lower case",
        ),
        (
            "\"eth0\"",
            "\"\"",
            "expected the name of a network interface",
        ),
        ("port = 51820", "port = 0", "nonzero u16"),
        ("mtu = 1420", "mtu = 1279", "expected 1280 to 9000 bytes"),
        (
            "10.64.0.0/16",
            "10.64.0.1/16",
            "expected no bits set after the prefix",
        ),
        (
            "10.64.0.0/16",
            "10.64.0.0/31",
            "expected a prefix from /16 to /30",
        ),
        (
            "10.64.0.0/16",
            "fd00:1::/64",
            "expected the other address family",
        ),
        (
            "198.51.100.16/28",
            "198.51.100.16/29",
            "as long as pools.public.inner",
        ),
        (
            "11qYAYKxCrfVS",
            "11qYAYKxCrfV",
            "expected an Ed25519 public key",
        ),
        (
            "-----BEGIN CERTIFICATE-----",
            "",
            "expected certificates in PEM",
        ),
        (
            "\"an example, not a secret\"",
            "\"\"",
            "expected the secret",
        ),
        ("uid = 65532", "uid = 0", "nonzero u32"),
        ("landlock_abi = 3", "landlock_abi = 2", "expected 3 to 8"),
        (":9180", ":443", "expected another port than enrolment.port"),
        ("\"192.0.2.10\", ", "\"2001:db8::10\", ", "none twice"),
        (
            "when_unreachable = \"admit\"",
            "when_unreachable = \"maybe\"",
            "expected `admit` or `refuse`",
        ),
    ] {
        let said = refusal(from, to);
        assert!(said.contains(expected), "{to}: {said}");
    }
}

#[test]
fn no_error_repeats_the_secret() {
    let said = refusal(
        "secret = \"an example, not a secret\"",
        "secret = [\"hush\"]",
    );
    assert!(!said.contains("hush"), "{said}");
}
