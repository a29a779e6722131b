//! Many customers who come together and go together: a confined node takes memory for them, gives
//! it back, and goes on.

mod node_support;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use boringtun::noise::{Tunn, TunnResult};
use node_support::token::{FAR, claims, sign};
use node_support::{Customer, Node, World};
use rcgen::KeyPair;
use serde_json::{Value, json};
use x25519_dalek::{PublicKey, StaticSecret};

/// Hosts on the wire, each with a customer.
const CROWD: std::ops::Range<u8> = 40..240;

/// The longest handshake message, in bytes.
const MESSAGE: usize = 256;

#[test]
fn a_node_outlives_the_going_of_everybody() {
    let world = World::new();
    let node = world.node("node-a", 10);
    let machine = Customer::new(&world, CROWD.start);
    for host in CROWD.skip(1) {
        machine
            .namespace
            .ip(&format!("addr add 192.0.2.{host}/24 dev eth0"));
    }
    let ours = world.accounts.services_key();
    for _ in 0..2 {
        let crowd: Vec<_> = CROWD
            .map(|host| Guest::enrol(&ours, &node, &machine, host))
            .collect();
        for guest in &crowd {
            guest.connect(&machine);
        }
        for guest in &crowd {
            let bearer = guest.granted["preshared_key"].as_str();
            let body = json!({ "public_key": guest.public_key() }).to_string();
            let released = node.ask(&machine, "DELETE /v1/peers", bearer, body.as_bytes());
            assert_eq!(released.status, 204);
        }
    }
    node.wait_for("ok");
}

/// A customer of the crowd, without a tunnel device.
struct Guest {
    host: u8,
    secret: StaticSecret,
    granted: Value,
}

impl Guest {
    fn enrol(ours: &KeyPair, node: &Node, machine: &Customer, host: u8) -> Self {
        let token = sign(ours, &claims(host, FAR));
        let mut guest = Self {
            host,
            secret: StaticSecret::from([host; 32]),
            granted: Value::Null,
        };
        let body = json!({"token": token, "public_key": guest.public_key()}).to_string();
        let answer = node.ask(machine, "POST /v1/peers", None, body.as_bytes());
        assert_eq!(answer.status, 200);
        guest.granted = answer.json();
        guest
    }

    fn public_key(&self) -> String {
        STANDARD.encode(PublicKey::from(&self.secret))
    }

    /// A handshake and the keepalive that confirms it.
    fn connect(&self, machine: &Customer) {
        let key = |name: &str| -> [u8; 32] {
            let text = self.granted[name].as_str().unwrap();
            STANDARD.decode(text).unwrap().try_into().unwrap()
        };
        let node = PublicKey::from(key("public_key"));
        let preshared_key = Some(key("preshared_key"));
        let mut tunn = Tunn::new(self.secret.clone(), node, preshared_key, None, 1, None);
        let socket = machine
            .namespace
            .within(|| UdpSocket::bind(SocketAddr::from(([192, 0, 2, self.host], 0))).unwrap());
        let endpoint = self.granted["endpoint"].as_str().unwrap();
        socket
            .connect(endpoint.parse::<SocketAddr>().unwrap())
            .unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        // The first answer may be a cookie, which the second initiation brings.
        assert!(shake_hands(&mut tunn, &socket) || shake_hands(&mut tunn, &socket));
    }
}

fn shake_hands(tunn: &mut Tunn, socket: &UdpSocket) -> bool {
    let (mut message, mut answer) = ([0; MESSAGE], [0; MESSAGE]);
    let TunnResult::WriteToNetwork(initiation) =
        tunn.format_handshake_initiation(&mut message, true)
    else {
        panic!("no initiation is made");
    };
    socket.send(initiation).unwrap();
    let len = socket.recv(&mut answer).expect("an answer");
    match tunn.decapsulate(None, &answer[..len], &mut message) {
        TunnResult::WriteToNetwork(keepalive) => {
            socket.send(keepalive).unwrap();
            true
        }
        TunnResult::Done => false,
        _ => panic!("neither a response nor a cookie"),
    }
}
