//! A WireGuard client that reveals the keys of its session: an initiator on snow.
//!
//! It makes one handshake and sends one keepalive, which makes the session count. It has no timers
//! and carries no packets.

use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use blake2::digest::consts::U16;
use blake2::digest::{FixedOutput as _, KeyInit as _, Update as _};
use blake2::{Blake2s256, Blake2sMac, Digest as _};
use mayfly_lab::settings::WIREGUARD_PORT;
use snow::{Builder, HandshakeState};

use super::patience::Patience;

// WireGuard paper, section 5.4.
const PATTERN: &str = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const PROLOGUE: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";
const INITIATION: [u8; 4] = [1, 0, 0, 0];
const RESPONSE: [u8; 4] = [2, 0, 0, 0];
const TRANSPORT: [u8; 4] = [4, 0, 0, 0];
const INITIATION_NOISE: usize = 108;
const RESPONSE_LEN: usize = 92;
const MAC: usize = 16;
/// This side's index of the session.
const INDEX: [u8; 4] = *b"know";

/// How long to wait for an answer before the next initiation, and how often (the paper's
/// Rekey-Timeout, section 6.4).
const PATIENCE: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 6;

/// The keys that a handshake needs.
pub struct Parties {
    /// This side's private key.
    pub own: [u8; 32],
    /// The node's public key.
    pub node: [u8; 32],
    /// The pre-shared key.
    pub preshared: [u8; 32],
    /// Where the node is.
    pub at: IpAddr,
    /// How long it may take.
    pub patience: Patience,
}

/// A session that has begun to count.
pub(crate) struct Session {
    /// The key of this side's packets, and the key of the node's.
    pub keys: [[u8; 32]; 2],
    /// Its source address and port.
    pub port: u16,
}

impl Session {
    /// Connects to the node from the namespace that the thread is in.
    ///
    /// # Errors
    /// The node does not answer, or answers something else.
    pub(crate) fn start(parties: &Parties) -> Result<Self> {
        let any = if parties.at.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = UdpSocket::bind(any)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect((parties.at, WIREGUARD_PORT))?;
        let mut last = None;
        for _ in 0..parties.patience.tries(ATTEMPTS) {
            match Self::shake(&socket, parties) {
                Ok(session) => return Ok(session),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no handshake was tried")?)
    }

    fn shake(socket: &UdpSocket, parties: &Parties) -> Result<Self> {
        let (mut noise, initiation) = initiate(parties)?;
        socket.send(&initiation)?;
        let mut response = [0; 2048];
        let length = socket
            .recv(&mut response)
            .context("the node does not answer")?;
        let response = response.get(..length).unwrap_or_default();
        let receiver = conclude(&mut noise, response)?;
        let (keys, keepalive) = begin(noise, receiver)?;
        socket.send(&keepalive)?;
        let port = socket.local_addr()?.port();
        Ok(Self { keys, port })
    }
}

/// The handshake's first message.
fn initiate(parties: &Parties) -> Result<(HandshakeState, Vec<u8>)> {
    let mut noise = Builder::new(PATTERN.parse()?)
        .prologue(PROLOGUE)?
        .local_private_key(&parties.own)?
        .remote_public_key(&parties.node)?
        .psk(2, &parties.preshared)?
        .build_initiator()?;
    let mut message = [0; INITIATION_NOISE];
    noise.write_message(&tai64n()?, &mut message)?;
    let mut initiation = [&INITIATION[..], &INDEX, &message].concat();
    initiation.extend(mac1(&parties.node, &initiation)?);
    initiation.extend([0; MAC]);
    Ok((noise, initiation))
}

/// Handles the second message, and returns the node's index of the session.
fn conclude(noise: &mut HandshakeState, response: &[u8]) -> Result<[u8; 4]> {
    ensure!(
        response.len() == RESPONSE_LEN && response.starts_with(&RESPONSE),
        "the node's answer is not a handshake response"
    );
    let message = response.get(12..RESPONSE_LEN - 2 * MAC);
    noise.read_message(message.unwrap_or_default(), &mut [])?;
    let receiver = response.get(4..8).unwrap_or_default();
    receiver.try_into().context("a short answer")
}

/// The session's keys, and its first packet, which is a keepalive: a packet without content.
fn begin(mut noise: HandshakeState, receiver: [u8; 4]) -> Result<([[u8; 32]; 2], Vec<u8>)> {
    let (ours, theirs) = noise.dangerously_get_raw_split();
    let transport = noise.into_stateless_transport_mode()?;
    let counter = 0_u64;
    let mut sealed = [0; MAC];
    transport.write_message(counter, &[], &mut sealed)?;
    let keepalive = [
        &TRANSPORT[..],
        &receiver,
        &counter.to_le_bytes()[..],
        &sealed,
    ]
    .concat();
    Ok(([ours, theirs], keepalive))
}

/// The time in TAI64N format (section 5.1).
fn tai64n() -> Result<[u8; 12]> {
    const EPOCH: u64 = (1 << 62) + 10;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let mut stamp = [0; 12];
    let (seconds, nanoseconds) = stamp.split_at_mut(8);
    seconds.copy_from_slice(&(EPOCH + now.as_secs()).to_be_bytes());
    nanoseconds.copy_from_slice(&now.subsec_nanos().to_be_bytes());
    Ok(stamp)
}

/// The first MAC of a handshake message (section 5.4.4).
fn mac1(node: &[u8; 32], message: &[u8]) -> Result<[u8; MAC]> {
    let key = Blake2s256::new()
        .chain_update(b"mac1----")
        .chain_update(node)
        .finalize();
    let mut mac = Blake2sMac::<U16>::new_from_slice(&key)?;
    mac.update(message);
    Ok(mac.finalize_fixed().into())
}

#[cfg(test)]
mod tests {
    use boringtun::noise::{Tunn, TunnResult};
    use boringtun::x25519::{PublicKey, StaticSecret};
    use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

    use super::*;

    fn sent(result: TunnResult<'_>) -> Vec<u8> {
        match result {
            TunnResult::WriteToNetwork(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_node_takes_its_packets_and_seals_its_own_under_the_key_that_is_told() {
        let node = StaticSecret::from([7; 32]);
        let own = StaticSecret::from([9; 32]);
        let parties = Parties {
            own: [9; 32],
            node: PublicKey::from(&node).to_bytes(),
            preshared: [5; 32],
            at: [127, 0, 0, 1].into(),
            patience: Patience::after(Duration::ZERO),
        };
        let client = PublicKey::from(&own);
        let mut tunn = Tunn::new(node, client, Some([5; 32]), None, 1, None);
        let mut room = [0; 2048];

        let (mut noise, initiation) = initiate(&parties).unwrap();
        let response = sent(tunn.decapsulate(None, &initiation, &mut room));
        let receiver = conclude(&mut noise, &response).unwrap();
        let ([_, theirs], keepalive) = begin(noise, receiver).unwrap();
        let taken = tunn.decapsulate(None, &keepalive, &mut room);
        assert!(matches!(taken, TunnResult::Done), "{taken:?}");

        // boringtun takes nothing shorter than 20 bytes for a packet.
        let mut packet = [0; 20];
        packet[0] = 0x45;
        packet[3] = 20;
        let mut datagram = sent(tunn.encapsulate(&packet, &mut room));
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&datagram[8..16]);
        let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &theirs).unwrap());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = key.open_in_place(nonce, Aad::empty(), &mut datagram[16..]);
        assert!(opened.unwrap().starts_with(&packet));
    }
}
