//! SIGKILL at any moment: no account is lost, and the numbers of devices become right again.

use std::time::{Duration, Instant};

use crate::common::live::{LiveNode, SessionId};
use crate::common::process::Process;
use crate::common::{self, PASSWORD};
use mayfly_wire::Ticket;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use serde_json::json;

const USERS: [&str; 3] = ["ann", "bob", "cid"];

/// 30 s of a restart, 11 s of a denied ask, and the time to connect, on a slow machine.
const BOUND: Duration = Duration::from_secs(60);

/// Two nodes, and the sessions on them.
struct Clients {
    nodes: [LiveNode; 2],
    tickets: Vec<Ticket>,
    connected: Vec<(usize, usize, SessionId)>,
    random: ChaCha8Rng,
}

impl Clients {
    /// Connects a device of a user that has fewer than four, or disconnects one.
    fn move_one(&mut self) {
        let draw = self.random.next_u32() as usize;
        let (user, node) = (draw % USERS.len(), draw / 8 % 2);
        if (draw / 64).is_multiple_of(2) && self.devices(user) < 4 {
            let session = self.nodes[node].up(self.tickets[user]);
            self.connected.push((user, node, session));
        } else if !self.connected.is_empty() {
            let place = draw / 128 % self.connected.len();
            let (_, node, session) = self.connected.swap_remove(place);
            self.nodes[node].down(session);
        }
    }

    fn devices(&self, user: usize) -> usize {
        let own = self.connected.iter().filter(|&&(owner, ..)| owner == user);
        own.count()
    }
}

async fn boot(process: &Process, seed: u8) -> LiveNode {
    let service = &process.service;
    let identity = service.admit(&format!("node-{seed}")).await;
    LiveNode::boot(seed, service.tls(Some(&identity)), vec![service.address])
}

#[tokio::test]
async fn after_kills_at_any_moment_no_account_is_lost_and_devices_come_out_true() {
    let mut process = Process::start(&common::store()).await;
    process.service.counts().await;
    let mut tickets = Vec::new();
    for user in USERS {
        process.service.create(user);
        tickets.push(process.service.ticket_of(Some((user, PASSWORD))).await);
    }
    let mut clients = Clients {
        nodes: [boot(&process, 1).await, boot(&process, 2).await],
        tickets,
        connected: Vec::new(),
        random: ChaCha8Rng::seed_from_u64(7),
    };
    let mut signed_up = Vec::new();
    for kill in 0..6 {
        let moment = Duration::from_millis(u64::from(100 + clients.random.next_u32() % 900));
        let until = tokio::time::sleep(moment);
        let service = &process.service;
        tokio::select! {
            () = until => {}
            () = async {
                for number in 0.. {
                    clients.move_one();
                    let name = format!("user-{kill}-{number}");
                    let body = json!({"username": name, "password": PASSWORD});
                    assert_eq!(service.post("/v1/accounts", None, body).await.status, 201);
                    signed_up.push(name);
                }
            } => {}
        }
        process.kill();
        (0..5).for_each(|_| clients.move_one());
        process.restart().await;
    }
    process.service.counts().await;
    for name in &signed_up {
        let answer = process.service.get("/v1/account", Some((name, PASSWORD)));
        assert_eq!(answer.await.status, 200, "{name}");
    }
    let late = Instant::now() + BOUND;
    for (user, name) in USERS.into_iter().enumerate() {
        loop {
            let answer = process.service.get("/v1/account", Some((name, PASSWORD)));
            let devices = answer.await.json()["devices"].as_u64().unwrap() as usize;
            if devices == clients.devices(user) {
                break;
            }
            assert!(Instant::now() < late, "{name} has {devices}");
        }
    }
    let live: usize = clients.nodes.iter().map(LiveNode::live).sum();
    assert_eq!(live, clients.connected.len());
}
