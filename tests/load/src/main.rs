//! Measures what the account service carries on this machine, and prints one line of JSON.
//!
//! The shipped program runs in a process of its own, pinned to the first core. Nodes and clients
//! run in this process, on the other cores, and reach the service over TLS and WebSockets on
//! loopback. One statement puts the accounts into the store, and the tickets are sealed here under
//! the service's own key, so that neither waits for a password to be hashed.
//!
//! ```text
//! load STORE PROGRAM ACCOUNTS    STORE: sqlite, or postgres (a server of its own)
//! ```
//!
//! `cargo xtask bench accounts` runs it once for each store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement that fails ends where it failed"
)]

mod clients;
mod crowd;
mod nodes;
mod service;

use std::time::{Duration, Instant};

use mayfly_counter::constants::{MAX_DEVICES, MESSAGE_FRAMES, MESSAGES_A_TICK};
use mayfly_wire::Ticket;
use serde_json::{Value, json};
use tokio::time::{sleep, sleep_until};

use clients::Client;
use crowd::Crowd;
use nodes::{Node, churn};
use service::{Service, Way, cpu};

/// How long after its start the service grants only what is replayed.
const RESTART: Duration = Duration::from_secs(31);

/// How long each rate is measured.
const WHILE: Duration = Duration::from_secs(4);

/// The numbers of streams with which the rate of reports is measured.
const STREAMS: [usize; 4] = [1, 10, 100, 1000];

/// Devices of an account, and sessions of a node, when all devices are live.
const DEVICES: usize = MAX_DEVICES as usize;
const SESSIONS: usize = 1000;

/// Streams that report at the same time until all devices are live.
const AT_ONCE: usize = 100;

/// Sessions of a full node, on one stream.
const CROWD: usize = 65_000;

/// Requests whose times are compared.
const CALLS: usize = 1000;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "what it measured")]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [store, program, accounts] = words.as_slice() else {
        unreachable!("load STORE PROGRAM ACCOUNTS");
    };
    let accounts: usize = accounts.parse().expect("a number of accounts");
    let streams = (accounts * DEVICES / SESSIONS).max(1000);
    let mut service = Service::start(store, program.as_ref(), accounts, streams).await;
    let started = Instant::now();
    let mut report = json!({"accounts": accounts});
    tokens(&service, &mut report).await;
    sleep_until((started + RESTART).into()).await;
    reports(&service, &mut report).await;
    under_hashing(&service, &mut report).await;
    full_node(&mut service, &mut report).await;
    service.restart().await;
    live(&service, &mut report).await;
    println!("{report}");
}

/// Tokens a second, and how long a refusal takes.
async fn tokens(service: &Service, report: &mut Value) {
    let (from, cpu) = (Instant::now(), service.cpu());
    let clients = (0..4).map(|_| tokio::spawn(tokens_of(service.way())));
    let clients: Vec<_> = clients.collect();
    let mut tokens = 0;
    for client in clients {
        tokens += client.await.unwrap();
    }
    report["tokens_per_s"] = rate(tokens, from.elapsed());
    report["tokens_per_cpu_s"] = rate(tokens, service.cpu() - cpu);
    report["tokens_unhashed_per_s"] = rate(10_000, service.seal(10_000));
    let mut client = Client::connect(service.way()).await;
    let (mut unknown, mut wrong) = (Vec::new(), Vec::new());
    for _ in 0..CALLS {
        unknown.push(client.refused("nobody").await);
        wrong.push(client.refused("user1").await);
    }
    let (unknown, wrong) = (median(&mut unknown), median(&mut wrong));
    report["refusal"] = json!({
        "calls": CALLS,
        "unknown_user_ms": milliseconds(unknown),
        "wrong_password_ms": milliseconds(wrong),
        "difference_percent": 100.0 * (unknown.as_secs_f64() / wrong.as_secs_f64() - 1.0),
    });
}

async fn tokens_of(way: Way) -> usize {
    Client::connect(way).await.tokens(WHILE).await
}

/// Reports a second, with each number of streams.
async fn reports(service: &Service, report: &mut Value) {
    let mut all = serde_json::Map::new();
    for streams in STREAMS {
        let cpu = service.cpu();
        let nodes = connect(service, streams).await;
        let connected = service.cpu() - cpu;
        let (cpu, from) = (service.cpu(), Instant::now());
        sleep(WHILE).await;
        let idle = (service.cpu() - cpu).as_secs_f64() / from.elapsed().as_secs_f64();
        let (cpu, from) = (service.cpu(), Instant::now());
        // A verdict waits for a tick, so that only many at a time tell what the service can do: what
        // it sends in one tick at most.
        let window = (service.tickets.len() / streams).min(MESSAGES_A_TICK * MESSAGE_FRAMES);
        let tickets = service.tickets.chunks(window);
        let turns = nodes
            .into_iter()
            .zip(tickets)
            .map(|(node, tickets)| tokio::spawn(churn(node, tickets.to_vec(), from + WHILE)));
        let turns: Vec<_> = turns.collect();
        let mut count = 0;
        for turn in turns {
            count += turn.await.unwrap();
        }
        let (spent, time) = (service.cpu() - cpu, from.elapsed());
        all.insert(
            streams.to_string(),
            json!({
                "per_s": rate(count, time),
                "per_cpu_s": rate(count, spent),
                "connect_cpu_ms": milliseconds(connected / u32::try_from(streams).unwrap()),
                "idle_percent": 100.0 * idle,
            }),
        );
    }
    report["reports_per_s"] = all["10"]["per_s"].clone();
    report["reports_per_cpu_s"] = all["10"]["per_cpu_s"].clone();
    report["by_streams"] = all.into();
}

/// How long a verdict takes while no passwords are hashed, and while many are.
async fn under_hashing(service: &Service, report: &mut Value) {
    let mut node = connect(service, 1).await.remove(0);
    let ticket = service.tickets[0];
    let idle = verdicts(&mut node, ticket).await;
    let clients = (0..8).map(|_| tokio::spawn(tokens_of(service.way())));
    let clients: Vec<_> = clients.collect();
    let hashing = verdicts(&mut node, ticket).await;
    for client in clients {
        client.await.unwrap();
    }
    report["verdict_ms"] = json!({
        "idle": milliseconds(idle),
        "while_hashing": milliseconds(hashing),
    });
}

async fn verdicts(node: &mut Node, ticket: Ticket) -> Duration {
    let until = Instant::now() + 4 * WHILE;
    let mut times = Vec::new();
    while Instant::now() < until {
        times.push(node.ask_and_leave(ticket).await);
    }
    median(&mut times)
}

/// A full node replays to a service that has just restarted.
async fn full_node(service: &mut Service, report: &mut Value) {
    let tickets = service.tickets.iter().copied();
    let sessions = tickets
        .cycle()
        .take(CROWD.min(service.tickets.len() * DEVICES));
    let mut crowd = Crowd::new(sessions.collect(), service.way(), service.identity(0));
    crowd.settle().await;
    service.restart().await;
    let cpu = own_cpu();
    let [synced, settled] = crowd.settle().await;
    report["full_node"] = json!({
        "synced_s": synced.as_secs_f64(),
        "verdicts_s": settled.as_secs_f64(),
        "service_cpu_s": service.cpu().as_secs_f64(),
        "node_cpu_s": (own_cpu() - cpu).as_secs_f64(),
    });
}

/// All devices of all accounts report to a service that has just restarted.
async fn live(service: &Service, report: &mut Value) {
    let devices = service.tickets.len() * DEVICES;
    let all: Vec<Ticket> = (0..DEVICES)
        .flat_map(|_| service.tickets.iter().copied())
        .collect();
    let (mut kept, mut memory) = (
        Vec::new(),
        vec![json!({"devices": 0, "mib": service.rss()})],
    );
    let before = service.rss();
    for (place, batch) in all.chunks(AT_ONCE * SESSIONS).enumerate() {
        let from = Instant::now();
        let turns = batch.chunks(SESSIONS).enumerate().map(|(node, tickets)| {
            let (way, identity) = (service.way(), service.identity(place * AT_ONCE + node));
            let tickets = tickets.to_vec();
            tokio::spawn(async move {
                let mut node = Node::connect(&way, identity).await;
                node.replay(&tickets).await;
                node
            })
        });
        for turn in turns.collect::<Vec<_>>() {
            kept.push(turn.await.unwrap());
        }
        if place == 0 {
            report["replay_100k_s"] = json!(from.elapsed().as_secs_f64());
        }
        let devices = (place * AT_ONCE * SESSIONS) + batch.len();
        memory.push(json!({"devices": devices, "mib": service.rss()}));
    }
    let grown = (service.rss() - before) * 1024.0 * 1024.0;
    report["live_devices"] = json!(devices);
    report["bytes_per_live_device"] = json!(grown / devices as f64);
    report["rss_mib"] = json!(service.rss());
    report["memory"] = memory.into();
}

/// Synced streams of the first nodes.
async fn connect(service: &Service, nodes: usize) -> Vec<Node> {
    let turns = (0..nodes).map(|node| {
        let (way, identity) = (service.way(), service.identity(node));
        tokio::spawn(async move {
            let mut node = Node::connect(&way, identity).await;
            node.synced().await;
            node
        })
    });
    let mut connected = Vec::new();
    for turn in turns.collect::<Vec<_>>() {
        connected.push(turn.await.unwrap());
    }
    connected
}

/// CPU time of this process.
fn own_cpu() -> Duration {
    cpu("self")
}

fn rate(count: usize, time: Duration) -> Value {
    json!((count as f64 / time.as_secs_f64()).round())
}

fn milliseconds(time: Duration) -> Value {
    json!(time.as_secs_f64() * 1000.0)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
