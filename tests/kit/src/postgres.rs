//! A PostgreSQL server for a test. It runs as an unprivileged user in a temporary directory, and
//! listens on a socket there. It ends with the process of the test, however that ends.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use aho_corasick::AhoCorasick;

/// PostgreSQL does not run as root, and every system has `nobody`.
const NOBODY: u32 = 65_534;

/// The settings that the service requires.
pub const QUIET: &str = include_str!("../../../crates/accounts/postgresql.conf");

/// Starts the server, and stops it when standard input ends, with the process that holds its other
/// end.
const SUPERVISE: &str = r#"
"$1/postgres" -D "$2/data" -k "$2" -c fsync=off >"$2/log" 2>&1 &
server=$!
read -r _
kill -INT "$server"
wait "$server"
rm -rf "$2"
"#;

/// A running server.
pub struct Cluster {
    /// Its directory, with its files, its socket and its log.
    pub directory: PathBuf,
    programs: PathBuf,
    databases: AtomicU32,
    /// While its standard input is open, the server runs.
    _supervisor: Child,
}

impl Cluster {
    /// The server of this process, with the settings that the service requires.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(QUIET))
    }

    /// Another server with these settings.
    pub fn start(settings: &str) -> Self {
        let programs = programs();
        let directory = tempfile::Builder::new()
            .prefix("pg")
            .tempdir()
            .unwrap()
            .keep();
        let root = give(&directory);
        let as_nobody = |command: &mut Command| {
            if root {
                command.uid(NOBODY).gid(NOBODY);
            }
        };
        let mut initdb = Command::new(programs.join("initdb"));
        initdb.args([
            "--no-sync",
            "--wal-segsize=1",
            "--auth=trust",
            "--username=postgres",
            "-D",
        ]);
        initdb.arg(directory.join("data")).current_dir("/");
        as_nobody(&mut initdb);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let conf = directory.join("data/postgresql.conf");
        let all = std::fs::read_to_string(&conf).unwrap() + "\nlisten_addresses = ''\n" + settings;
        std::fs::write(conf, all).unwrap();
        let mut supervisor = Command::new("sh");
        supervisor
            .args(["-c", SUPERVISE, "sh"])
            .args([&programs, &directory])
            .current_dir("/")
            .stdin(Stdio::piped());
        as_nobody(&mut supervisor);
        let cluster = Self {
            _supervisor: supervisor.spawn().unwrap(),
            directory,
            programs,
            databases: AtomicU32::new(0),
        };
        cluster.wait();
        cluster.sql(
            "postgres",
            "CREATE ROLE mayfly LOGIN; GRANT pg_read_all_settings, pg_checkpoint TO mayfly",
        );
        cluster
    }

    fn wait(&self) {
        let mut ready = Command::new(self.programs.join("pg_isready"));
        ready.arg("--quiet").arg("--host").arg(&self.directory);
        while !ready.status().unwrap().success() {
            std::thread::yield_now();
        }
    }

    /// The connection string of a new database that belongs to the role `mayfly`.
    pub fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("mayfly{number}");
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER mayfly"));
        self.sql(&name, "GRANT EXECUTE ON FUNCTION pg_switch_wal() TO mayfly");
        let host = self.directory.display();
        format!("host={host} user=mayfly dbname={name}")
    }

    /// Executes a statement as PostgreSQL's superuser. Returns what it printed.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let output = Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--username=postgres", "--dbname", database, "--host"])
            .arg(&self.directory)
            .args(["--command", statement])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Whether any file of the server contains these bytes.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        holds(&self.directory, &AhoCorasick::new([bytes]).unwrap())
    }
}

/// Gives a file to the user of the servers. Returns whether that is another user.
pub fn give(path: &Path) -> bool {
    chown(path, Some(NOBODY), Some(NOBODY)).is_ok()
}

fn holds(directory: &Path, finder: &AhoCorasick) -> bool {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.flatten().map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            return holds(&path, finder);
        }
        // A file may be removed during the search.
        let content = std::fs::read(&path).unwrap_or_default();
        finder.is_match(&content)
    })
}

/// The directory in which Debian has the programs of the newest version.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let mut found: Vec<PathBuf> = versions
        .map(|versions| versions.flatten().map(|entry| entry.path().join("bin")))
        .map(Iterator::collect)
        .unwrap_or_default();
    found.retain(|programs| programs.join("initdb").exists());
    found.sort();
    found
        .pop()
        .expect("PostgreSQL is needed: apt-get install postgresql (cargo xtask test does)")
}
