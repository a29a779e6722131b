//! Datagrams from anywhere: garbage, and real ones with a byte changed. None is answered, and the
//! session that they are aimed at goes on.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use mayfly_fuzz::{Shape, World};
use mayfly_kit::wireguard::{INTERNET, ipv4, ipv4_packet};

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

/// A datagram to send: any bytes, or a real transport packet with a byte changed.
#[derive(Debug, arbitrary::Arbitrary)]
enum Sent {
    Raw(u8, Vec<u8>),
    Changed(Shape, u16, u8),
}

fuzz_target!(|input: Vec<Sent>| {
    WORLD.with_borrow_mut(|world| {
        for sent in input.iter().take(32) {
            let (from, bytes) = match sent {
                Sent::Raw(from, bytes) => (*from, bytes.clone()),
                Sent::Changed(shape, at, by) => {
                    let mut bytes = world.sender.seal(&shape.packet());
                    let at = usize::from(*at) % bytes.len();
                    bytes[at] ^= by.max(&1);
                    (2, bytes)
                }
            };
            assert!(world.near.take(from, &bytes).is_err());
        }
        assert!(world.near.out.is_empty());
        assert_eq!(world.near.events(), []);

        let packet = ipv4_packet(ipv4(2), INTERNET, b"still there");
        let sealed = world.sender.seal(&packet);
        assert_eq!(world.near.take(2, &sealed), Ok(()));
        assert_eq!(world.near.packets(), [packet]);
    });
});
