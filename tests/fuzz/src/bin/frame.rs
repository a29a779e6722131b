//! A frame of the TUN device with any header. It is refused, or every packet of it opens at the
//! client, and none is longer than the frame that it was cut from.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use mayfly_fuzz::{Shape, World};
use mayfly_tunnel::FRAME_HEADER;

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

fuzz_target!(|input: ([u8; FRAME_HEADER], u16, Shape)| {
    let (mut header, more, shape) = input;
    // Make half of all headers one of the known kinds.
    if header[2] & 1 == 0 {
        header[0] = 1;
        header[1] = [0, 1, 4, 5][usize::from(header[1] % 4)];
        header[7] = 0;
        header[6] %= 64;
    }
    let mut frame = [&header[..], &shape.packet()].concat();
    frame.resize(frame.len() + usize::from(more), 7);
    WORLD.with_borrow_mut(|world| {
        let _ = world.cross(&frame);
        for packet in world.received() {
            assert!(packet.len() <= frame.len() - FRAME_HEADER);
        }
    });
});
