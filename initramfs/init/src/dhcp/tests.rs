use dhcproto::v4::{
    Decodable as _, Decoder, DhcpOption, Encodable as _, Message, MessageType, Opcode, OptionCode,
    UnknownOption,
};
use proptest::prelude::*;

use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const HOUR: Duration = Duration::from_secs(3600);
const XID: u32 = 0x1234_5678;

fn sent(client: &mut Client) -> (Ipv4Addr, Message) {
    let transmit = client.poll_transmit().expect("a message");
    let message = Message::decode(&mut Decoder::new(&transmit.payload)).unwrap();
    (*transmit.to.ip(), message)
}

/// A server's answer to `to`, with a lease of an hour.
fn answer(to: &Message, kind: MessageType) -> Message {
    let mut reply = Message::new_with_id(
        to.xid(),
        Ipv4Addr::UNSPECIFIED,
        ADDRESS,
        SERVER,
        Ipv4Addr::UNSPECIFIED,
        to.chaddr(),
    );
    reply.set_opcode(Opcode::BootReply);
    let url = b"http://192.0.2.1:80/b".to_vec();
    for option in [
        DhcpOption::MessageType(kind),
        DhcpOption::ServerIdentifier(SERVER),
        DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)),
        DhcpOption::Router(vec![SERVER]),
        DhcpOption::AddressLeaseTime(3600),
        DhcpOption::Unknown(UnknownOption::new(OptionCode::Unknown(224), url)),
    ] {
        reply.opts_mut().insert(option);
    }
    reply
}

fn give(client: &mut Client, reply: &Message, now: Instant) {
    client.handle_datagram(&reply.to_vec().unwrap(), now);
}

fn bound(start: Instant) -> Client {
    let mut client = Client::new(MAC, XID, start);
    let discover = sent(&mut client).1;
    give(&mut client, &answer(&discover, MessageType::Offer), start);
    let request = sent(&mut client).1;
    give(&mut client, &answer(&request, MessageType::Ack), start);
    assert!(matches!(client.poll_event(), Some(Event::Bound(_))));
    client
}

#[test]
fn an_address_takes_four_messages() {
    let now = Instant::now();
    let mut client = Client::new(MAC, XID, now);
    let (to, discover) = sent(&mut client);
    assert_eq!(to, Ipv4Addr::BROADCAST);
    assert!(discover.opts().has_msg_type(MessageType::Discover));
    assert!(discover.flags().broadcast());

    give(&mut client, &answer(&discover, MessageType::Offer), now);
    let (to, request) = sent(&mut client);
    assert_eq!(to, Ipv4Addr::BROADCAST);
    assert!(request.opts().has_msg_type(MessageType::Request));
    let requested = DhcpOption::RequestedIpAddress(ADDRESS);
    assert_eq!(
        request.opts().get(OptionCode::RequestedIpAddress),
        Some(&requested)
    );
    let server = DhcpOption::ServerIdentifier(SERVER);
    assert_eq!(
        request.opts().get(OptionCode::ServerIdentifier),
        Some(&server)
    );
    assert_eq!(client.poll_event(), None);

    give(&mut client, &answer(&request, MessageType::Ack), now);
    let lease = Lease {
        address: ADDRESS,
        prefix: 24,
        gateway: Some(SERVER),
        bundle: Some("http://192.0.2.1:80/b".to_owned()),
        server: SERVER,
    };
    assert_eq!(client.poll_event(), Some(Event::Bound(lease)));
    assert_eq!(client.poll_timeout(), now + HOUR / 2);
}

#[test]
fn a_silent_server_is_asked_again_at_4_8_16_32_64_seconds() {
    let mut now = Instant::now();
    let mut client = Client::new(MAC, XID, now);
    for expected in [4, 8, 16, 32, 64, 64] {
        sent(&mut client);
        let wait = client.poll_timeout() - now;
        let off = wait.as_millis().abs_diff(expected * 1000);
        assert!(off <= 1000, "{wait:?} for {expected} s");
        client.handle_timeout(now + wait / 2);
        assert_eq!(client.poll_transmit(), None, "too early");
        now += wait;
        client.handle_timeout(now);
    }
}

#[test]
fn an_offer_whose_server_falls_silent_is_given_up() {
    let mut now = Instant::now();
    let mut client = Client::new(MAC, XID, now);
    let discover = sent(&mut client).1;
    give(&mut client, &answer(&discover, MessageType::Offer), now);
    for _ in 0..REQUESTS {
        assert!(
            sent(&mut client)
                .1
                .opts()
                .has_msg_type(MessageType::Request)
        );
        now = client.poll_timeout();
        client.handle_timeout(now);
    }
    client.handle_timeout(client.poll_timeout());
    assert!(
        sent(&mut client)
            .1
            .opts()
            .has_msg_type(MessageType::Discover)
    );
}

#[test]
fn a_refused_request_starts_again_but_not_at_once() {
    let now = Instant::now();
    let mut client = Client::new(MAC, XID, now);
    let discover = sent(&mut client).1;
    give(&mut client, &answer(&discover, MessageType::Offer), now);
    let request = sent(&mut client).1;
    give(&mut client, &answer(&request, MessageType::Nak), now);
    assert_eq!(client.poll_transmit(), None);
    client.handle_timeout(client.poll_timeout());
    let again = sent(&mut client).1;
    assert!(again.opts().has_msg_type(MessageType::Discover));
    assert_ne!(again.xid(), discover.xid());
}

#[test]
fn half_way_through_a_lease_its_server_is_asked_for_more() {
    let start = Instant::now();
    let mut client = bound(start);
    let renew = start + HOUR / 2;
    client.handle_timeout(renew);
    let (to, request) = sent(&mut client);
    assert_eq!(to, SERVER);
    assert_eq!(request.ciaddr(), ADDRESS);
    assert!(!request.opts().contains(OptionCode::ServerIdentifier));
    assert!(!request.opts().contains(OptionCode::RequestedIpAddress));

    give(&mut client, &answer(&request, MessageType::Ack), renew);
    assert_eq!(client.poll_event(), None, "the same lease is no news");
    assert_eq!(client.poll_timeout(), renew + HOUR / 2);
}

#[test]
fn a_lease_that_nobody_extends_is_asked_for_everywhere_and_then_lost() {
    let start = Instant::now();
    let mut client = bound(start);
    let mut asked = Vec::new();
    let lost = loop {
        let now = client.poll_timeout();
        client.handle_timeout(now);
        if client.poll_event() == Some(Event::Lost) {
            break now;
        }
        asked.push((sent(&mut client).0, now - start));
    };
    assert_eq!(lost, start + HOUR);
    let (one, everyone): (Vec<_>, Vec<_>) = asked.into_iter().partition(|ask| ask.0 == SERVER);
    assert!(
        one.iter()
            .all(|ask| ask.1 >= HOUR / 2 && ask.1 < HOUR * 7 / 8)
    );
    assert!(everyone.iter().all(|ask| ask.1 >= HOUR * 7 / 8));
    assert!(one.len() > 2 && !everyone.is_empty());
}

#[test]
fn a_renewal_that_moves_the_machine_or_is_refused_loses_the_lease() {
    let start = Instant::now();
    let renew = start + HOUR / 2;
    let elsewhere = |reply: &mut Message| {
        reply.set_yiaddr(Ipv4Addr::new(192, 0, 2, 8));
    };
    let other_mask = |reply: &mut Message| {
        let mask = Ipv4Addr::new(255, 255, 0, 0);
        reply.opts_mut().insert(DhcpOption::SubnetMask(mask));
    };
    let refused = |reply: &mut Message| {
        let nak = DhcpOption::MessageType(MessageType::Nak);
        reply.opts_mut().insert(nak);
    };
    let changes: [&dyn Fn(&mut Message); 3] = [&elsewhere, &other_mask, &refused];
    for change in changes {
        let mut client = bound(start);
        client.handle_timeout(renew);
        let mut reply = answer(&sent(&mut client).1, MessageType::Ack);
        change(&mut reply);
        give(&mut client, &reply, renew);
        assert_eq!(client.poll_event(), Some(Event::Lost));
    }
}

#[test]
fn what_is_not_for_us_moves_nothing() {
    let now = Instant::now();
    let mut client = Client::new(MAC, XID, now);
    let discover = sent(&mut client).1;
    let offer = answer(&discover, MessageType::Offer);
    let other_xid = {
        let mut offer = offer.clone();
        offer.set_xid(XID + 1);
        offer
    };
    let other_mac = {
        let mut offer = offer.clone();
        offer.set_chaddr(&[2, 0, 0, 0, 0, 8]);
        offer
    };
    let nowhere = {
        let mut offer = offer.clone();
        offer.set_yiaddr(Ipv4Addr::UNSPECIFIED);
        offer
    };
    let a_request = {
        let mut offer = offer.clone();
        offer.set_opcode(Opcode::BootRequest);
        offer
    };
    let uninvited = answer(&discover, MessageType::Ack);
    for wrong in [other_xid, other_mac, nowhere, a_request, uninvited] {
        give(&mut client, &wrong, now);
        assert_eq!((client.poll_transmit(), client.poll_event()), (None, None));
    }
    give(&mut client, &offer, now);
    assert!(client.poll_transmit().is_some());
}

#[test]
fn a_hardware_address_longer_than_its_field_is_dropped() {
    let now = Instant::now();
    let mut client = Client::new(MAC, XID, now);
    let discover = sent(&mut client).1;
    let mut offer = answer(&discover, MessageType::Offer).to_vec().unwrap();
    offer[2] = 255;
    client.handle_datagram(&offer, now);
    assert_eq!(client.poll_transmit(), None);
}

proptest! {
    #[test]
    fn no_answer_whatever_its_bytes_panics(
        at in 0_usize..400,
        patch in proptest::collection::vec(any::<u8>(), 0..400),
        length in 0_usize..600,
    ) {
        let now = Instant::now();
        let mut client = Client::new(MAC, XID, now);
        let discover = sent(&mut client).1;
        let mut bytes = answer(&discover, MessageType::Offer).to_vec().unwrap();
        bytes.resize(600, 0);
        for (byte, new) in bytes.iter_mut().skip(at).zip(patch) {
            *byte = new;
        }
        bytes.truncate(length);
        client.handle_datagram(&bytes, now);
        client.handle_timeout(now + Duration::from_secs(10));
    }
}
