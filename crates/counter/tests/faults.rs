//! Both ends against each other while everything fails that can: the promise of
//! `crates/counter/PROTOCOL.md`.

mod common;

use common::{Account, SessionId, World, seconds};
use rand_core::RngCore as _;

const ACCOUNTS: Account = 3;
const SEEDS: u64 = 400;

/// Lets one thing happen, drawn at random.
fn disturb(world: &mut World, with_faults: bool) {
    let machine = world.random.next_u32() as usize % world.machines.len();
    let account = 1 + (world.random.next_u32() % u32::from(ACCOUNTS)) as Account;
    match world.random.next_u32() % if with_faults { 20 } else { 10 } {
        0..=5 => {
            world.session_up(machine, account);
        }
        6..=9 => {
            let sessions = &world.machines[machine].sessions;
            if let Some(&id) = sessions.keys().next() {
                match world.random.next_u32() % 2 {
                    0 => world.session_down(machine, SessionId(id)),
                    _ => world.session_silent(machine, SessionId(id)),
                }
            }
        }
        10..=12 => world.cut(machine),
        13..=14 => world.break_at_node(machine),
        15 => world.lose_power(machine),
        16 => world.restart_service(),
        17 => world.set_reachable(false),
        _ => world.set_reachable(true),
    }
}

fn never_above_four(world: &World) {
    for account in 1..=ACCOUNTS {
        assert!(world.devices(account) <= 4);
    }
}

/// No more than four sessions of an account live on, and each of them is counted.
fn true_when_quiet(world: &World, seed: u64) {
    for account in 1..=ACCOUNTS {
        let (live, devices) = (world.live(account), world.devices(account));
        assert!(live <= 4, "seed {seed}: {live} sessions live on");
        assert_eq!(live, usize::from(devices), "seed {seed}, account {account}");
    }
}

fn live_through(seed: u64, with_faults: bool) {
    let mut world = World::new(seed, &["a", "b"]);
    for _ in 0..60 {
        disturb(&mut world, with_faults);
        let pause = std::time::Duration::from_millis(u64::from(world.random.next_u32() % 12_000));
        world.run_checked(pause, never_above_four);
    }
    world.set_reachable(true);
    // Enough for the last ask of the last fifth device, and for everything before it.
    world.run_checked(seconds(420), never_above_four);
    true_when_quiet(&world, seed);
}

#[test]
fn the_count_is_true_when_quiet() {
    (0..SEEDS).for_each(|seed| live_through(seed, false));
}

#[test]
fn the_count_is_true_when_quiet_again_after_any_faults() {
    (0..SEEDS).for_each(|seed| live_through(seed, true));
}
