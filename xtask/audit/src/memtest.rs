//! The cost of overwriting free RAM at boot, which the kernel does.

use anyhow::Result;
use mayfly_host::cpu;
use mayfly_host::progress::Strand;
use mayfly_image::Image;
use mayfly_lab::guest::Guest;
use mayfly_lab::network::Lab;
use mayfly_lab::operator::Operator;
use mayfly_lab::qemu::Machine;

/// Memory of a guest with much of it, in MiB.
const MUCH: u32 = 2048;

/// Seconds of a core for a GiB of RAM, under the available accelerator: the time that a guest takes
/// until it asks for its settings, less the time that it takes without that work. `images` are
/// these two, each with its words for the kernel.
///
/// # Errors
/// A guest does not come up.
pub(crate) fn seconds_per_gib(
    strand: Strand,
    lab: &Lab,
    operator: &Operator,
    images: [(&str, &Image); 2],
) -> Result<f64> {
    let [with, without] = images.map(|(words, image)| {
        strand.step(&format!("boot with {MUCH} MiB, {words}"), || {
            boot(lab, operator, image)
        })
    });
    let spent = (with? - without?).max(0.0);
    Ok(spent * 1024.0 / f64::from(MUCH))
}

/// Seconds of CPU that QEMU has used when the guest asks for its settings.
fn boot(lab: &Lab, operator: &Operator, image: &Image) -> Result<f64> {
    // The memory is allocated before the start; otherwise the host's work for that would count.
    let machine = Machine::node(image).ready_memory(MUCH);
    let guest = Guest::boot(lab, operator, &machine)?;
    Ok(cpu::of_process(guest.id()))
}
