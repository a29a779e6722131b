//! A node's tunnel and a stock client: a handshake, then a packet, without I/O.
//!
//! ```text
//! cargo run -p mayfly-tunnel --example tunnel
//! ```

use std::error::Error;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Instant;

use boringtun::noise::{Tunn, TunnResult};
use mayfly_tunnel::{Config, Ecn, Endpoint, Event, Outbox, PeerConfig, Prefix, Responder, Tunnel};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let (client_key, preshared_key) = (StaticSecret::from([2; 32]), [3; 32]);
    let config = Config {
        private_key: Zeroizing::new([1; 32]),
        mtu: 1420,
        ipv4: [10, 64, 0, 1].into(),
        ipv6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1),
        pools: Prefix::new([10, 64, 0, 0].into(), 16).into_iter().collect(),
        processors: 2,
    };
    // One shard. The ids of peers are the caller's: here they are texts.
    let (mut tunnels, mut responder) = Tunnel::<&str>::sharded(&config, [4; 32], 1);
    let mut tunnel = tunnels.remove(0);
    let peer = PeerConfig {
        public_key: PublicKey::from(&client_key).to_bytes(),
        preshared_key: Zeroizing::new(preshared_key),
        ipv4: [10, 64, 0, 2].into(),
        ipv6: None,
    };
    tunnel.add_peer("phone", peer)?;
    let node_key = PublicKey::from(tunnel.public_key());
    let mut client = Tunn::new(client_key, node_key, Some(preshared_key), None, 0, None);

    // The client has a packet to send, so it makes an initiation first.
    let mut packet = [0; 28];
    (packet[0], packet[3]) = (0x45, 28);
    packet[12..20].copy_from_slice(&[10, 64, 0, 2, 203, 0, 113, 1]);
    let mut initiation = written(client.encapsulate(&packet, &mut [0; 148]))?;
    let mut out = Outbox::new();
    take(&mut tunnel, &mut responder, &mut initiation, &mut out)?;
    let response = out.datagrams().next().ok_or("no response")?.bytes.to_vec();
    out.clear();

    // Its keepalive confirms the keypair: now the session counts. Then the packet comes.
    let mut keepalive = written(client.decapsulate(None, &response, &mut [0; 148]))?;
    let mut sealed = written(client.encapsulate(&packet, &mut [0; 148]))?;
    take(&mut tunnel, &mut responder, &mut keepalive, &mut out)?;
    take(&mut tunnel, &mut responder, &mut sealed, &mut out)?;
    assert_eq!(tunnel.poll_event(), Some(Event::SessionUp("phone")));
    assert!(out.packets().eq([&packet]));
    Ok(())
}

/// Hands a datagram to the tunnel, and the jobs that follow from it to the responder.
fn take(
    tunnel: &mut Tunnel<&'static str>,
    responder: &mut Responder<&'static str>,
    datagram: &mut [u8],
    out: &mut Outbox,
) -> Outcome<()> {
    let (remote, now) = (
        SocketAddr::from(([198, 51, 100, 7], 51_820)),
        Instant::now(),
    );
    let endpoint = Endpoint {
        remote,
        local: None,
    };
    let refused = |refusal| format!("refused: {refusal:?}");
    let taken = tunnel.handle_datagram(endpoint, Ecn::NotEct, datagram, out, now);
    taken.map_err(refused)?;
    while let Some(job) = tunnel.poll_job() {
        if let Some(reply) = responder.handle_job(job, out, now).map_err(refused)? {
            tunnel.handle_reply(reply, out, now).map_err(refused)?;
        }
    }
    Ok(())
}

/// The datagram that boringtun wants sent.
fn written(result: TunnResult<'_>) -> Outcome<Vec<u8>> {
    match result {
        TunnResult::WriteToNetwork(bytes) => Ok(bytes.to_vec()),
        other => Err(format!("{other:?}").into()),
    }
}

#[test]
fn the_example_runs() -> Outcome<()> {
    main()
}
