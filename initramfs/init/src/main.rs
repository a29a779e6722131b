//! initramfs/init
fn main() {}
