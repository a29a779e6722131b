//! Any packets from the peer of one node to the peer of another. Those that the first node accepts
//! come out at the other end byte for byte, and in the order of their flow.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use mayfly_fuzz::{Run, World, in_order_of_flows};

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

fuzz_target!(|input: (bool, Vec<Run>)| {
    let (udp, runs) = input;
    WORLD.with_borrow_mut(|world| {
        for packet in runs.iter().take(8).flat_map(Run::packets) {
            let sealed = world.sender.seal(&packet);
            // A packet that is refused is not expected at the other end.
            let _ = world.near.take(2, &sealed);
        }
        let taken: Vec<_> = world.near.out.packets().map(<[u8]>::to_vec).collect();
        for frame in world.frames(udp) {
            assert_eq!(world.cross(&frame), Ok(()));
        }
        assert_eq!(
            in_order_of_flows(world.received()),
            in_order_of_flows(taken)
        );
    });
});
