//! The DHCP client without a network: this program plays the server, and moves the clock.
//!
//! The server leases an address for an hour, and answers until the client has renewed once.
//! The client then asks this server for more time, asks every server, and loses its lease.
//!
//! ```text
//! cargo run --package mayfly-init --example dhcp
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use dhcproto::v4::{
    Decodable as _, Decoder, DhcpOption, Encodable as _, Message, MessageType, Opcode,
};
use mayfly_init::dhcp::{Client, Event};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const LEASE: Duration = Duration::from_secs(3600);
const SERVER_ENDS: Duration = Duration::from_secs(2000);

fn main() -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut now = start;
    // A real caller takes the transaction id from the system's random numbers.
    let mut client = Client::new(MAC, 0x1234_5678, now);
    loop {
        let elapsed = now - start;
        while let Some(transmit) = client.poll_transmit() {
            let message = Message::decode(&mut Decoder::new(&transmit.payload))?;
            let kind = message.opts().msg_type().ok_or("no message type")?;
            println!("{:4} s  {kind:?} to {}", elapsed.as_secs(), transmit.to);
            if elapsed < SERVER_ENDS {
                client.handle_datagram(&answer(&message)?, now);
            }
        }
        match client.poll_event() {
            Some(Event::Bound(lease)) => {
                println!("{:4} s  bound: {lease:?}", elapsed.as_secs());
            }
            Some(Event::Lost) => {
                println!("{:4} s  lost", elapsed.as_secs());
                return Ok(());
            }
            None => {}
        }
        // A real caller waits here until a datagram arrives, or until this time.
        now = client.poll_timeout();
        client.handle_timeout(now);
    }
}

/// Offers the address, and then gives what was offered.
fn answer(to: &Message) -> Result<Vec<u8>, Box<dyn Error>> {
    let kind = match to.opts().msg_type() {
        Some(MessageType::Discover) => MessageType::Offer,
        _ => MessageType::Ack,
    };
    let unset = Ipv4Addr::UNSPECIFIED;
    let mut reply = Message::new_with_id(to.xid(), unset, ADDRESS, SERVER, unset, to.chaddr());
    reply.set_opcode(Opcode::BootReply);
    for option in [
        DhcpOption::MessageType(kind),
        DhcpOption::ServerIdentifier(SERVER),
        DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)),
        DhcpOption::Router(vec![SERVER]),
        DhcpOption::AddressLeaseTime(u32::try_from(LEASE.as_secs())?),
    ] {
        reply.opts_mut().insert(option);
    }
    Ok(reply.to_vec()?)
}
