//! The loads, iperf3 and ping, and what they cost the server.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mayfly_host::cpu;
use mayfly_host::process::{self, Job};
use mayfly_host::signals;
use serde_json::Value;

use super::client::{Client, Clients};
use super::plan::{Load, Setup, Test};
use super::server::Server;
use super::testbed::{Testbed, internet};

const FIRST_PORT: usize = 5201;
const LIMIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

/// What one run of a test showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// In the test's unit.
    pub value: f64,
    /// The whole machine's busy time in the same unit, without that of clients and iperf3 and of an
    /// idle machine; null for ping.
    pub machine: Option<f64>,
    /// Bits a second that came through.
    pub bits_per_s: Option<f64>,
    /// Share of datagrams that were lost.
    pub lost: Option<f64>,
}

impl Cost {
    /// A cost that is only a value.
    pub(crate) fn of(value: f64) -> Self {
        Self {
            value,
            machine: None,
            bits_per_s: None,
            lost: None,
        }
    }

    /// For a person.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("{:>8.2}", self.value);
        if let Some(bits) = self.bits_per_s {
            line.push_str(&format!("   {:>6.0} Mbit/s", bits / 1e6));
        }
        if let Some(lost) = self.lost {
            line.push_str(&format!("   {:.2} % lost", lost * 100.0));
        }
        line
    }
}

/// Runs one test.
///
/// # Errors
/// iperf3 or ping fails.
pub(crate) fn run(
    testbed: &Testbed,
    test: &Test,
    setup: Setup,
    clients: &Clients,
    server: &Server,
    time: Duration,
) -> Result<Cost> {
    let idle = idle_rate();
    let sinks = clients
        .iter()
        .enumerate()
        .map(|(number, _)| listen(testbed, number, setup))
        .collect::<Result<Vec<_>>>()?;
    let before = Reading::take(clients, server);
    let streams = clients
        .iter()
        .enumerate()
        .map(|(number, client)| Stream::start(testbed, test, setup, number, client, time))
        .collect::<Result<Vec<_>>>()?;
    let echoes = if test.load == Load::Ping {
        Some(ping(testbed, setup, clients, time)?)
    } else {
        None
    };
    let mut sum = Carried::default();
    for stream in streams {
        sum.add(&stream.finish(time)?)?;
    }
    for mut sink in sinks {
        sink.wait(LIMIT)?;
    }
    let after = Reading::take(clients, server);
    let server_cpu = after.server - before.server;
    let machine = after.rest - before.rest - idle * (after.at - before.at).as_secs_f64();
    Ok(match (test.load, echoes) {
        (Load::Ping, echoes) => Cost::of(echoes.context("ping said nothing")?),
        (Load::Tcp { .. }, _) => Cost {
            value: server_cpu * 1e9 / sum.bytes,
            machine: Some(machine * 1e9 / sum.bytes),
            bits_per_s: Some(sum.bytes * 8.0 / time.as_secs_f64()),
            lost: None,
        },
        (Load::Udp { .. }, _) => Cost {
            value: server_cpu * 1e6 / (sum.packets - sum.lost),
            machine: Some(machine * 1e6 / (sum.packets - sum.lost)),
            bits_per_s: Some(sum.bytes * 8.0 / time.as_secs_f64()),
            lost: Some(sum.lost / sum.packets),
        },
    })
}

/// The readings of all clocks.
struct Reading {
    at: Instant,
    server: f64,
    /// The machine, without clients and iperf3.
    rest: f64,
}

impl Reading {
    fn take(clients: &Clients, server: &Server) -> Self {
        Self {
            at: Instant::now(),
            server: server.cpu(),
            rest: cpu::of_machine() - clients.cpu() - cpu::of_ended_children(),
        }
    }
}

/// Busy CPU seconds a second, without load.
fn idle_rate() -> f64 {
    const WINDOW: Duration = Duration::from_millis(500);
    let before = cpu::of_machine();
    thread::sleep(WINDOW);
    (cpu::of_machine() - before) / WINDOW.as_secs_f64()
}

fn listen(testbed: &Testbed, number: usize, setup: Setup) -> Result<Job> {
    let port = (FIRST_PORT + number).to_string();
    let mut command =
        testbed
            .internet
            .command(["iperf3", "--server", "--one-off", "--port", &port]);
    command.stdout(std::process::Stdio::null());
    let job = Job::start(&mut command, "iperf3")?;
    let started = Instant::now();
    // Connecting to see whether it listens would use up its one connection.
    let table = if setup.v6 { "-6" } else { "-4" };
    let filter = format!("sport = :{port}");
    loop {
        let words = ["ss", "-H", "-l", "-n", "-t", &filter];
        let seen = process::output(&mut testbed.internet.command(words), "ss", LIMIT)?;
        if !seen.trim().is_empty() {
            return Ok(job);
        }
        signals::check()?;
        ensure!(
            started.elapsed() < LIMIT,
            "iperf3 does not listen ({table})"
        );
        thread::sleep(LOOK);
    }
}

struct Stream {
    job: Job,
    said: std::path::PathBuf,
    down: bool,
}

impl Stream {
    fn start(
        testbed: &Testbed,
        test: &Test,
        setup: Setup,
        number: usize,
        client: &Client,
        time: Duration,
    ) -> Result<Self> {
        let said = testbed.file(&format!("iperf{number}.json"));
        let mut command = testbed.client.command(["iperf3", "--json", "--client"]);
        command
            .arg(internet(setup.v6).to_string())
            .args(["--bind-dev", &client.interface])
            .args(["--port", &(FIRST_PORT + number).to_string()])
            .args(["--time", &time.as_secs().to_string()]);
        match test.load {
            Load::Tcp { streams } => {
                command.args(["--parallel", &streams.to_string()]);
            }
            Load::Udp { len, rate } => {
                let bits = rate * len as u64 * 8;
                command.args(["--udp", "--length", &len.to_string()]);
                command.args(["--bitrate", &bits.to_string()]);
            }
            Load::Ping => {}
        }
        if test.down {
            command.arg("--reverse");
        }
        command.stdout(std::fs::File::create(&said)?);
        Ok(Self {
            job: Job::start(&mut command, "iperf3")?,
            said,
            down: test.down,
        })
    }

    fn finish(mut self, time: Duration) -> Result<Value> {
        self.job.wait(time + LIMIT)?;
        let text = std::fs::read_to_string(&self.said)?;
        let said: Value = serde_json::from_str(&text).context("iperf3 said no JSON")?;
        if let Some(error) = said.get("error").and_then(Value::as_str) {
            let way = if self.down { "down" } else { "up" };
            bail!("iperf3 ({way}): {error}");
        }
        Ok(said)
    }
}

#[derive(Default)]
struct Carried {
    bytes: f64,
    packets: f64,
    lost: f64,
}

impl Carried {
    fn add(&mut self, said: &Value) -> Result<()> {
        let number = |path: &str| said.pointer(path).and_then(Value::as_f64);
        self.packets += number("/end/sum/packets").unwrap_or(0.0);
        self.lost += number("/end/sum/lost_packets").unwrap_or(0.0);
        self.bytes += number("/end/sum_received/bytes")
            .or_else(|| number("/end/sum/bytes"))
            .context("iperf3 counted no bytes")?;
        Ok(())
    }
}

/// Median of echoes' times, in milliseconds.
fn ping(testbed: &Testbed, setup: Setup, clients: &Clients, time: Duration) -> Result<f64> {
    let client = clients.iter().next().context("no client")?;
    let to = internet(setup.v6).to_string();
    let count = (time.as_secs() * 20).to_string();
    let words = [
        "ping",
        "-c",
        &count,
        "-i",
        "0.05",
        "-I",
        &client.interface,
        &to,
    ];
    let said = process::output(&mut testbed.client.command(words), "ping", time + LIMIT)?;
    let mut times: Vec<f64> = said
        .lines()
        .filter_map(|line| line.split_once("time=")?.1.split(' ').next()?.parse().ok())
        .collect();
    times.sort_by(f64::total_cmp);
    times
        .get(times.len() / 2)
        .copied()
        .context("no echo came back")
}
