//! The service: its files, its accounts, and its process.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_accounts::config::Config;
use mayfly_accounts::nodes::{Registration, new_secret};
use mayfly_accounts::{AccountId, Authority, Signer, Store, TicketKeys, clock, password};
use mayfly_kit::postgres::Cluster;
use mayfly_wire::Ticket;
use mayfly_wire::token::Claims;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;

pub(crate) const PASSWORD: &str = "a long password";

/// Limits that the load does not reach.
const LIMITS: &str = "[limits]\ntokens = 1000000000\nfailures = 1000000000\nconnections = 8192\n";

/// A running service whose accounts and nodes are in its store.
pub(crate) struct Service {
    directory: TempDir,
    program: PathBuf,
    child: Child,
    address: SocketAddr,
    roots: RootCertStore,
    identities: Vec<Arc<ClientConfig>>,
    /// One ticket for each account.
    pub tickets: Vec<Ticket>,
}

/// How a client reaches the service.
#[derive(Clone)]
pub(crate) struct Way {
    pub address: SocketAddr,
    pub tls: Arc<ClientConfig>,
}

impl Service {
    pub(crate) async fn start(store: &str, program: &Path, accounts: usize, nodes: usize) -> Self {
        let directory = TempDir::new().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let address = address.unwrap();
        let words = (store == "postgres").then(|| Cluster::shared().database());
        let table = words.as_ref().map_or(String::new(), |words| {
            format!("[store]\npostgres = \"{words}\"\n")
        });
        let data = directory.path().join("data");
        let text = format!(
            "listen = \"{address}\"\ndata = {data:?}\nnames = [\"localhost\"]\n{table}{LIMITS}"
        );
        std::fs::write(directory.path().join("accounts.toml"), text).unwrap();
        let made = command(program, directory.path())
            .args(["ca", "init"])
            .status();
        assert!(made.unwrap().success());
        let child = serve(program, directory.path(), address).await;
        let config = Config::read(&directory.path().join("accounts.toml")).unwrap();
        let kept = Store::open(&config).await.unwrap();
        fill(&config, words.as_deref(), accounts);
        let ids = ids(&kept).await;
        let authority = Authority::load(&config.data).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        Self {
            identities: admit(&kept, &authority, &roots, nodes).await,
            tickets: seal(&config, &ids),
            directory,
            program: program.to_owned(),
            child,
            address,
            roots,
        }
    }

    /// Kills the program with SIGKILL, and starts it again.
    pub(crate) async fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = serve(&self.program, self.directory.path(), self.address).await;
    }

    /// The way of a client that shows no certificate.
    pub(crate) fn way(&self) -> Way {
        Way {
            address: self.address,
            tls: Arc::new(client(&self.roots).with_no_client_auth()),
        }
    }

    pub(crate) fn identity(&self, node: usize) -> Arc<ClientConfig> {
        self.identities[node].clone()
    }

    /// CPU time of the process.
    pub(crate) fn cpu(&self) -> Duration {
        cpu(&self.child.id().to_string())
    }

    /// Resident memory, in MiB.
    pub(crate) fn rss(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<f64>().unwrap() / 1024.0
    }

    /// How long this process takes to make `count` tokens: a ticket and a signature for each.
    pub(crate) fn seal(&self, count: usize) -> Duration {
        let config = Config::read(&self.directory.path().join("accounts.toml")).unwrap();
        let signer = Signer::open(&config.token_key()).unwrap();
        let now = clock::unix_now();
        let keys = TicketKeys::open(config.ticket_keys(), now).unwrap();
        let from = Instant::now();
        for _ in 0..count {
            let exp = clock::ceil_hour(now + clock::DAY);
            let claims = Claims {
                ticket: keys.seal(AccountId([1; 16]), exp, now).unwrap(),
                exp,
                ipv6: true,
                streaming: false,
                public_ipv4: false,
                multihop: false,
            };
            signer.sign(&claims).unwrap();
        }
        from.elapsed()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of a process, over all threads.
pub(crate) fn cpu(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The fields after the name, which is in brackets. proc_pid_stat(5) counts from 1.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = [11, 12].map(|field| fields[field].parse::<u64>().unwrap());
    // Linux shows programs ticks of a hundredth of a second on every machine.
    Duration::from_millis(ticks.iter().sum::<u64>() * 10)
}

fn command(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0"]).arg(program);
    command.arg("--config").arg(directory.join("accounts.toml"));
    command
}

async fn serve(program: &Path, directory: &Path, address: SocketAddr) -> Child {
    let child = command(program, directory).arg("serve").spawn().unwrap();
    while TcpStream::connect(address).await.is_err() {
        tokio::task::yield_now().await;
    }
    child
}

/// Inserts accounts with a subscription and the same password, under random ids.
fn fill(config: &Config, words: Option<&str>, accounts: usize) {
    let hash = password::hash(PASSWORD).unwrap();
    let hash = &hash.0;
    let ends = clock::ceil_hour(clock::unix_now() + 30 * clock::DAY);
    let columns = format!(
        "'user' || i, '{hash}', NULL, 7200, 7200, 0, 1, 1, 1, 0, 0, NULL, NULL, NULL, NULL, {ends}, \
         NULL, NULL, NULL, NULL"
    );
    let Some(words) = words else {
        let connection = rusqlite::Connection::open(config.database()).unwrap();
        let statement = format!(
            "INSERT INTO account WITH RECURSIVE n (i) AS (
                 SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {accounts}
             ) SELECT randomblob(16), {columns} FROM n"
        );
        connection.execute(&statement, []).unwrap();
        return;
    };
    let flags = columns.replace(
        "0, 1, 1, 1, 0, 0,",
        "false, true, true, true, false, false,",
    );
    let statement = format!(
        "INSERT INTO account SELECT uuid_send(gen_random_uuid()), {flags}
         FROM generate_series(1, {accounts}) i; VACUUM account"
    );
    for statement in statement.split("; ") {
        Cluster::shared().sql(words.rsplit('=').next().unwrap(), statement);
    }
}

async fn ids(store: &Store) -> Vec<AccountId> {
    let (mut ids, mut last) = (Vec::new(), None);
    loop {
        let page = store.page(last.take(), 1000).await.unwrap();
        let Some(end) = page.last() else {
            return ids;
        };
        last = Some(end.username.clone());
        ids.extend(page.iter().map(|account| account.id));
    }
}

/// Seals tickets under the key that the service has made.
fn seal(config: &Config, ids: &[AccountId]) -> Vec<Ticket> {
    let now = clock::unix_now();
    let keys = TicketKeys::open(config.ticket_keys(), now).unwrap();
    let end = clock::ceil_hour(now + clock::DAY);
    let tickets = ids.iter().map(|&id| keys.seal(id, end, now).unwrap());
    tickets.collect()
}

/// Registers nodes, and certifies a key for each.
async fn admit(
    store: &Store,
    authority: &Authority,
    roots: &RootCertStore,
    nodes: usize,
) -> Vec<Arc<ClientConfig>> {
    let key = KeyPair::generate().unwrap();
    let mut admitted = Vec::new();
    for node in 0..nodes {
        let name = format!("node-{node}");
        let (_, kept) = new_secret().unwrap();
        let registration = Registration::of(&kept);
        store.register_node(name.clone(), kept).await.unwrap();
        let params = CertificateParams::new([name.clone()]).unwrap();
        let csr = params.serialize_request(&key).unwrap().pem().unwrap();
        let certified = authority.certify(&name, registration, &csr, clock::unix_now());
        let pem = certified.unwrap().certificate;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = client(roots).with_client_auth_cert(vec![certificate], key.into());
        admitted.push(Arc::new(config.unwrap()));
    }
    admitted
}

fn client(
    roots: &RootCertStore,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots.clone())
}
