//! The rules of `crates/counter/PROTOCOL.md`, one by one. Each test shows what goes wrong without
//! the rule.

mod common;

use std::time::Duration;

use common::{SessionId, World, seconds, ticket};
use mayfly_counter::constants::SILENCE_TOLD_WITHIN;
use mayfly_wire::counter::{Delta, NodeFrame};

/// Enough for a report and its verdict: each waits for its end's next tick, and travels.
const MOMENT: Duration = Duration::from_secs(3);

/// A world some time after the service's start, when the window of rule 5 has ended.
fn settled(names: &[&'static str]) -> World {
    let mut world = World::new(1, names);
    world.run(seconds(40));
    world
}

fn reports(world: &World) -> Vec<(u8, Delta)> {
    let all = world.heard.iter().filter_map(|frame| match frame {
        NodeFrame::Report { ticket, delta, .. } => Some((ticket.0[0], *delta)),
        _ => None,
    });
    all.collect()
}

#[test]
fn a_session_counts_while_it_lives() {
    let mut world = settled(&["a"]);
    assert_eq!(world.devices(1), 0);
    let id = world.session_up(0, 1);
    world.run(MOMENT);
    assert_eq!(world.devices(1), 1);
    world.session_down(0, id);
    world.run(MOMENT);
    assert_eq!(world.devices(1), 0);
    assert_eq!(reports(&world), [(1, Delta::Up), (1, Delta::Down)]);
}

#[test]
fn a_session_that_ends_before_its_verdict_sends_minus_one_after_the_grant() {
    let mut world = settled(&["a"]);
    let id = world.session_up(0, 1);
    world.session_down(0, id);
    world.run(2 * MOMENT);
    assert_eq!(reports(&world), [(1, Delta::Up), (1, Delta::Down)]);
    assert_eq!(world.devices(1), 0);
}

#[test]
fn a_denied_session_that_ends_sends_nothing() {
    let mut world = settled(&["a"]);
    let id = world.session_up(0, 0);
    world.run(MOMENT);
    world.session_down(0, id);
    world.run(MOMENT);
    assert_eq!(reports(&world), [(0, Delta::Up)]);
}

#[test]
fn the_fifth_device_is_denied_and_gets_about_five_minutes() {
    let mut world = settled(&["a", "b"]);
    for _ in 0..4 {
        world.session_up(0, 1);
    }
    world.run(MOMENT);
    let started = world.now;
    world.session_up(1, 1);
    world.run(seconds(299));
    assert_eq!(world.live(1), 5, "it lives meanwhile");
    world.run(seconds(30));
    assert_eq!((world.live(1), world.devices(1)), (4, 4));
    let (ended, _) = world.machines[1].denied[0];
    let lived = ended.duration_since(started);
    assert!(lived >= seconds(300) && lived <= seconds(315), "{lived:?}");
}

#[test]
fn an_erased_accounts_sessions_end_like_a_fifth_device_and_no_others() {
    let mut world = settled(&["a", "b"]);
    for (machine, account) in [(0, 1), (0, 2), (1, 1), (1, 2)] {
        world.session_up(machine, account);
    }
    world.run(MOMENT);
    let erased = world.now;
    world.erase(1);
    world.run(seconds(10));
    assert_eq!((world.devices(1), world.devices(2)), (0, 2));
    assert_eq!((world.live(1), world.live(2)), (2, 2));
    world.run(seconds(320));
    assert_eq!((world.live(1), world.live(2)), (0, 2));
    assert_eq!((world.devices(1), world.devices(2)), (0, 2));
    for machine in &world.machines {
        let (ended, _) = machine.denied[0];
        let lived = ended.duration_since(erased);
        assert!(lived >= seconds(300) && lived <= seconds(320), "{lived:?}");
    }
}

#[test]
fn a_denied_session_is_asked_for_every_ten_seconds() {
    let mut world = settled(&["a"]);
    world.session_up(0, 0);
    world.run(seconds(105));
    let asks = reports(&world).len();
    assert!((10..=12).contains(&asks), "{asks}");
}

#[test]
fn a_device_that_moves_between_nodes_is_not_cut() {
    let mut world = settled(&["a", "b"]);
    let moving = world.session_up(0, 1);
    for _ in 0..3 {
        world.session_up(0, 1);
    }
    world.run(MOMENT);
    world.session_up(1, 1);
    // The node that the device left receives nothing for 180 s. It tells so within 30 s (rule 8).
    world.run(seconds(180));
    world.session_silent(0, moving);
    world.run(SILENCE_TOLD_WITHIN + seconds(15));
    assert_eq!((world.live(1), world.devices(1)), (4, 4));
    assert!(world.machines[1].denied.is_empty());
}

#[test]
fn a_nodes_power_loss_is_noticed_within_forty_five_seconds() {
    let mut world = settled(&["a"]);
    world.session_up(0, 1);
    world.run(MOMENT);
    world.switch_off(0);
    world.run(seconds(45));
    assert_eq!(world.devices(1), 0);
}

#[test]
fn a_short_break_does_not_move_the_count() {
    let mut world = settled(&["a"]);
    for _ in 0..4 {
        world.session_up(0, 1);
    }
    world.run(MOMENT);
    world.break_at_node(0);
    world.run_checked(seconds(20), |world| assert_eq!(world.devices(1), 4));
    assert_eq!(world.live(1), 4);
}

#[test]
fn no_one_takes_a_place_while_its_node_is_away_for_a_moment() {
    let mut world = settled(&["a", "b"]);
    for _ in 0..4 {
        world.session_up(0, 1);
    }
    world.run(MOMENT);
    world.break_at_node(0);
    world.session_up(1, 1);
    world.run(seconds(100));
    // All four were replayed from credit. The fifth is still asking.
    assert_eq!(world.devices(1), 4);
    assert_eq!(world.machines[0].sessions.len(), 4);
    world.run(seconds(300));
    assert_eq!(world.machines[0].sessions.len(), 4);
    assert_eq!(world.machines[1].denied.len(), 1);
}

#[test]
fn a_session_that_ended_while_the_stream_was_down_is_taken_off_at_synced() {
    let mut world = settled(&["a"]);
    let id = world.session_up(0, 1);
    world.run(MOMENT);
    world.break_at_node(0);
    world.session_down(0, id);
    world.run(seconds(10));
    assert_eq!(world.devices(1), 0);
    assert_eq!(
        reports(&world),
        [(1, Delta::Up)],
        "and nothing was sent for it"
    );
}

#[test]
fn granted_sessions_come_first_in_order_of_start() {
    let mut world = settled(&["a"]);
    world.session_up(0, 3);
    world.session_up(0, 2);
    world.run(MOMENT);
    world.break_at_node(0);
    world.session_up(0, 1);
    world.heard.clear();
    world.run(seconds(10));
    let order: Vec<_> = world.heard[1..=4]
        .iter()
        .map(|frame| match frame {
            NodeFrame::Report { ticket, .. } => Some(ticket.0[0]),
            NodeFrame::Synced {} => None,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, [Some(3), Some(2), None, Some(1)]);
}

#[test]
fn after_the_services_restart_live_sessions_come_before_new_ones() {
    let mut world = settled(&["a", "b"]);
    for _ in 0..4 {
        world.session_up(0, 1);
    }
    world.run(MOMENT);
    // The node of the new session reaches the service first.
    world.restart_service();
    world.session_up(1, 1);
    world.run(seconds(100));
    assert_eq!(world.machines[0].sessions.len(), 4);
    assert_eq!(world.devices(1), 4);
    world.run(seconds(300));
    assert_eq!(world.machines[1].denied.len(), 1);
}

#[test]
fn nothing_ends_while_the_service_is_out_of_reach() {
    let mut world = settled(&["a"]);
    world.set_reachable(false);
    world.restart_service();
    world.session_up(0, 1);
    world.run(seconds(3_600));
    assert_eq!(world.live(1), 1);
    world.set_reachable(true);
    world.run(seconds(50));
    assert_eq!(world.devices(1), 1);
}

#[test]
fn the_earlier_of_two_machines_with_one_identity_stays_down() {
    let mut world = settled(&["a"]);
    let mut twin = World::new(7, &["a"]);
    world.machines.append(&mut twin.machines);
    world.run(seconds(60));
    assert!(world.machines[0].replaced);
    assert!(!world.machines[1].replaced);
    world.session_up(1, 1);
    world.run(seconds(60));
    assert_eq!(world.devices(1), 1);
}

#[test]
fn a_renewed_session_takes_itself_back_with_the_ticket_it_was_granted_under() {
    let mut world = settled(&["a"]);
    let id = world.session_up(0, 1);
    world.run(MOMENT);
    world.machines[0].reporter.renew(id, ticket(9));
    world.session_down(0, id);
    world.run(MOMENT);
    assert_eq!(reports(&world), [(1, Delta::Up), (1, Delta::Down)]);
}

#[test]
fn a_cut_stream_is_given_up_by_both_ends_and_replaced() {
    let mut world = settled(&["a"]);
    world.session_up(0, 1);
    world.run(MOMENT);
    world.cut(0);
    world.run(seconds(60));
    assert_eq!(world.devices(1), 1);
    let session = world.machines[0].sessions.keys().next().copied().unwrap();
    world.session_down(0, SessionId(session));
    world.run(MOMENT);
    assert_eq!(world.devices(1), 0);
}

/// The seconds after which the devices of these accounts, whose sessions ended at the same time,
/// are gone.
fn gone_after(world: &mut World, accounts: std::ops::Range<u8>) -> Vec<u64> {
    let from = world.now;
    let mut left: Vec<u8> = accounts.collect();
    let mut gone = Vec::new();
    while !left.is_empty() && world.now < from + seconds(60) {
        world.run(seconds(1));
        let after = world.now.duration_since(from).as_secs();
        left.retain(|&account| {
            let counts = world.devices(account) > 0;
            gone.extend((!counts).then_some(after));
            counts
        });
    }
    assert!(left.is_empty(), "{left:?} are still counted");
    gone
}

#[test]
fn a_session_that_fell_silent_is_told_at_a_random_time_within_thirty_seconds() {
    let mut world = settled(&["a"]);
    let sessions: Vec<_> = (1..200)
        .map(|account| world.session_up(0, account))
        .collect();
    world.run(MOMENT);
    for id in sessions {
        world.session_silent(0, id);
    }
    let gone = gone_after(&mut world, 1..200);
    assert!(gone.iter().all(|&after| after <= 32), "{gone:?}");
    for third in [0..=10, 11..=20, 21..=32] {
        let share = gone.iter().filter(|&after| third.contains(after)).count();
        assert!((40..100).contains(&share), "{third:?}: {share} of 199");
    }
}

#[test]
fn a_session_that_was_released_is_told_at_the_next_tick() {
    let mut world = settled(&["a"]);
    let id = world.session_up(0, 1);
    world.run(MOMENT);
    world.session_down(0, id);
    assert!(gone_after(&mut world, 1..2)[0] <= 2);
}

#[test]
fn a_node_that_stops_does_not_let_silent_sessions_wait() {
    let mut world = settled(&["a"]);
    let sessions: Vec<_> = (1..200)
        .map(|account| world.session_up(0, account))
        .collect();
    world.run(MOMENT);
    for id in sessions {
        world.session_silent(0, id);
    }
    world.machines[0].reporter.tell_all_ends();
    assert!(!world.machines[0].reporter.is_settled());
    let gone = gone_after(&mut world, 1..200);
    assert!(gone.iter().all(|&after| after <= 2), "{gone:?}");
    assert_eq!(reports(&world).len(), 2 * 199, "each is told once");
}

#[test]
fn a_device_that_comes_back_before_its_silence_is_told_is_served_and_then_counted() {
    let mut world = settled(&["a"]);
    let away = world.session_up(0, 1);
    for _ in 0..3 {
        world.session_up(0, 1);
    }
    world.run(MOMENT);
    world.session_silent(0, away);
    world.session_up(0, 1);
    world.run(SILENCE_TOLD_WITHIN + seconds(15));
    assert_eq!((world.live(1), world.devices(1)), (4, 4));
    assert!(world.machines[0].denied.is_empty());
}
