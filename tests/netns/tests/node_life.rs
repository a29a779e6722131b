//! A user's whole life with the tools that everyone has: curl and wg-quick.

mod node_support;

use std::path::Path;

use node_support::World;

#[test]
fn a_user_signs_up_pays_connects_copies_rectifies_and_erases() {
    let world = World::new();
    let _node = world.node("node-a", 10);
    let customer = world.join("customer", 100);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/accounts/life.sh");
    let data = world.accounts.data();
    let lived = customer
        .command("sh")
        .arg(script)
        .env("ACCOUNTS", "https://accounts.example:8443")
        .env("CA", data.join("ca.pem"))
        .env("DATA", &data)
        .env("SHOP_KEY", world.accounts.shop_key())
        .env("NODE", "https://node-a")
        .env("CONNECT", format!("life{}", std::process::id()))
        .env(
            "RESOLVE",
            "accounts.example:8443:192.0.2.1 node-a:443:192.0.2.10",
        )
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&lived.stdout);
    assert!(
        lived.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&lived.stderr)
    );
    assert!(
        told.contains("devices: 1") && told.contains("in no file"),
        "{told}"
    );
}
