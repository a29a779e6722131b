//! Several processes on one database: one counts, and the others ask it and take over.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's helpers fail by panicking"
)]

mod common;

use std::time::{Duration, Instant};

use common::live::LiveNode;
use common::process::Process;
use common::{ANN, Answer};
use mayfly_kit::postgres::Cluster;
use serde_json::json;

/// Three processes on a database of their own, one of which counts, and an account.
struct Fleet {
    database: String,
    processes: Vec<Process>,
}

impl Fleet {
    async fn start() -> Self {
        let words = Cluster::shared().database();
        let store = format!("[store]\npostgres = \"{words}\"");
        let first = Process::start(&store).await;
        let mut processes = Vec::new();
        for _ in 0..2 {
            processes.push(Process::beside(&first, &store).await);
        }
        processes.insert(0, first);
        let database = words.rsplit('=').next().unwrap().to_owned();
        let fleet = Self {
            database,
            processes,
        };
        fleet.processes[0].service.create_ann();
        fleet
    }

    /// The index of the process that counts, as the database sees it.
    fn counts(&self) -> Option<usize> {
        let holder = Cluster::shared().sql(
            &self.database,
            "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
             WHERE locktype = 'advisory' AND datname = current_database()",
        );
        self.processes
            .iter()
            .position(|process| process.service.address.to_string() == holder)
    }

    /// Ends the connection that holds the lock, and waits until the lock is released.
    fn cut_off(&self, counted: usize) {
        let address = self.processes[counted].service.address;
        let ended = Cluster::shared().sql(
            &self.database,
            &format!(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks
                 JOIN pg_stat_activity USING (pid)
                 WHERE locktype = 'advisory' AND application_name = '{address}'"
            ),
        );
        assert_eq!(ended, "t");
    }

    /// Waits until a process holds the lock.
    async fn elect(&self) -> usize {
        let late = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(counts) = self.counts() {
                return counts;
            }
            assert!(Instant::now() < late, "nobody counts");
            tokio::task::yield_now().await;
        }
    }

    /// Boots a node that knows all addresses.
    async fn boot(&self, seed: u8) -> LiveNode {
        let service = &self.processes[0].service;
        let identity = service.admit(&format!("node-{seed}")).await;
        let addresses = self.processes.iter().map(|it| it.service.address);
        LiveNode::boot(seed, service.tls(Some(&identity)), addresses.collect())
    }

    /// Waits until every process except `without` reports this number of devices for ann.
    async fn agree(&self, devices: u64, without: Option<usize>) {
        let late = Instant::now() + Duration::from_secs(60);
        for (place, process) in self.processes.iter().enumerate() {
            while Some(place) != without {
                let answer = process.service.get("/v1/account", ANN).await;
                if answer.status == 200 && answer.json()["devices"] == devices {
                    break;
                }
                assert!(Instant::now() < late, "{place}: {:?}", answer.body);
            }
        }
    }
}

async fn token(process: &Process) -> Answer {
    process.service.post("/v1/tokens", ANN, json!({})).await
}

#[tokio::test]
async fn a_stand_by_takes_over_and_the_nodes_rebuild_the_ledger() {
    let mut fleet = Fleet::start().await;
    fleet.agree(0, None).await;
    let (mut one, mut two) = (fleet.boot(1).await, fleet.boot(2).await);
    let mut sessions = Vec::new();
    for process in &fleet.processes {
        // The process that counts opens the tickets of every process.
        sessions.push(one.up(process.service.ticket().await));
    }
    two.up(fleet.processes[0].service.ticket().await);
    fleet.agree(4, None).await;
    for process in &fleet.processes {
        token(process).await.is_problem(409, "devices-full");
    }
    let counted = fleet.counts().unwrap();
    fleet.processes[counted].kill();
    fleet.agree(4, Some(counted)).await;
    let counts = fleet.counts().unwrap();
    assert_ne!(counts, counted);
    one.down(sessions.remove(0));
    fleet.agree(3, Some(counted)).await;
    assert_eq!(token(&fleet.processes[counts]).await.status, 200);
    fleet.processes[counted].restart().await;
    fleet.agree(3, None).await;
    assert_eq!((one.live(), two.live()), (2, 1));
    assert_eq!(fleet.counts(), Some(counts));
}

#[tokio::test]
async fn a_process_that_loses_the_database_counts_no_more() {
    let fleet = Fleet::start().await;
    fleet.agree(0, None).await;
    let mut node = fleet.boot(1).await;
    node.up(fleet.processes[0].service.ticket().await);
    fleet.agree(1, None).await;
    let counted = fleet.counts().unwrap();
    fleet.cut_off(counted);
    let counts = fleet.elect().await;
    fleet.agree(1, None).await;
    // Only the process that has the lock now takes the node's stream.
    for (place, process) in fleet.processes.iter().enumerate() {
        let identity = process.service.admit("node-2").await;
        let tls = process.service.connect(Some(&identity)).await.unwrap();
        let opened = tokio_tungstenite::client_async("wss://localhost/v1/counter", tls).await;
        assert_eq!(opened.is_ok(), place == counts, "{counted} counted");
    }
}

#[tokio::test]
async fn only_a_process_of_the_service_is_told_of_devices_and_ticket_keys() {
    let fleet = Fleet::start().await;
    fleet.agree(0, None).await;
    let service = &fleet.processes[fleet.counts().unwrap()].service;
    for path in ["/v1/replicas/devices", "/v1/replicas/ticket-keys"] {
        let answer = service.call("POST", path, None, &"x".repeat(16)).await;
        answer.is_problem(404, "no-such-route");
        let identity = service.admit("node-1").await;
        let answer = service
            .call_as(&identity, "POST", path, &"x".repeat(16))
            .await;
        answer.is_problem(404, "no-such-route");
    }
}
