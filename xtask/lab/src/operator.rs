//! The operator: the account service, the node's settings, and looks at both.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mayfly_host::cargo;
use mayfly_host::namespace::Namespace;
use mayfly_host::process::{self, Job};
use mayfly_host::signals;
use mayfly_host::teardown::{Tag, runs};

use crate::network::{ACCOUNTS, BUNDLE_AT, Lab, NODE, NODE_V6, OPERATOR, OPERATOR_V6, RESOLVER};
use crate::settings::{self, ACCOUNTS_NAME, ENROLMENT_PORT, NODE_NAME};
use crate::web::Web;

/// The customer's account.
pub const USER: &str = "ann";

const LIMIT: Duration = Duration::from_secs(60);
/// How long the account service grants nothing new after its start (rule 5 of
/// `crates/counter/PROTOCOL.md`), and a second.
const GRACE: Duration = Duration::from_secs(31);
const LOOK: Duration = Duration::from_millis(50);

/// Builds the programs that an operator and a customer start.
///
/// # Errors
/// They do not build.
pub fn build() -> Result<()> {
    cargo::build(
        "build mayfly and mayfly-accounts",
        "4 min on 2 processors",
        "--package mayfly-client --package mayfly-accounts",
    )
}

/// The key that signs this run's settings.
pub struct BundleKey {
    file: PathBuf,
    /// The public key that the image pins, in base64.
    pub public: String,
}

impl BundleKey {
    /// The key of all runs of this tree; the first run makes it. With a key of its own, each run
    /// would have to link its own kernel.
    ///
    /// # Errors
    /// `mayfly node keys` fails.
    pub fn of_runs() -> Result<Self> {
        let (file, printed) = (runs().join("bundle.key"), runs().join("bundle.pub"));
        if let Ok(public) = fs::read_to_string(&printed)
            && file.is_file()
        {
            return Ok(Self { file, public });
        }
        let _ = fs::remove_file(&file);
        let key = Self::make_at(file)?;
        write(&printed, &key.public)?;
        Ok(key)
    }

    /// A key that no image pins.
    ///
    /// # Errors
    /// `mayfly node keys` fails.
    pub fn of_a_stranger(tag: &Tag) -> Result<Self> {
        Self::make_at(tag.directory().join("stranger.key"))
    }

    /// Makes one, in a file.
    ///
    /// # Errors
    /// `mayfly node keys` fails.
    pub fn make_at(file: PathBuf) -> Result<Self> {
        let mut command = process::command([]);
        command
            .arg(cargo::program("mayfly"))
            .args(["node", "keys", "--out"])
            .arg(&file);
        let public = process::output(&mut command, "mayfly node keys", LIMIT)?;
        Ok(Self {
            file,
            public: public.trim().to_owned(),
        })
    }

    /// Signs `settings` into a bundle, which is written to the file `bundle` and returned.
    ///
    /// # Errors
    /// `mayfly node bundle` fails.
    pub fn sign(&self, settings: &Path, bundle: &Path) -> Result<Vec<u8>> {
        let mut command = process::command([]);
        command
            .arg(cargo::program("mayfly"))
            .args(["node", "bundle", "--key"])
            .arg(&self.file)
            .arg("--out")
            .arg(bundle)
            .arg(settings);
        process::output(&mut command, "mayfly node bundle", LIMIT)?;
        fs::read(bundle).context("mayfly node bundle left no file")
    }
}

/// What an account service is started with. By default, one customer has an account.
pub struct Setting<'a> {
    /// Who has an account.
    pub users: &'a [&'a str],
    /// Words for its environment.
    pub environment: Vec<(&'static str, String)>,
    /// The file for its output; otherwise it prints where this process prints.
    pub prints_to: Option<PathBuf>,
}

impl Default for Setting<'_> {
    fn default() -> Self {
        Self {
            users: &[USER],
            environment: Vec::new(),
            prints_to: None,
        }
    }
}

/// The running account service, and the settings that a node can fetch.
pub struct Operator {
    hub: Namespace,
    service: Job,
    started: Instant,
    bundle: Web,
    /// The service's directory.
    pub data: PathBuf,
    ca: PathBuf,
    files: PathBuf,
}

impl Operator {
    /// Sets up the account service as its documentation says, with one account and one
    /// node, starts it, and signs the node's settings.
    ///
    /// # Errors
    /// A command fails.
    pub fn start(lab: &Lab, key: &BundleKey) -> Result<Self> {
        Self::start_with(lab, key, Setting::default())
    }

    /// The same with more than one account, or in another environment.
    ///
    /// # Errors
    /// As [`Operator::start`].
    pub fn start_with(lab: &Lab, key: &BundleKey, setting: Setting<'_>) -> Result<Self> {
        let config = lab.file("accounts.toml");
        let data = lab.file("accounts");
        write(
            &config,
            &settings::accounts(ACCOUNTS, &data, &[("tokens", 1000)]),
        )?;
        let accounts = |words: &[&str]| {
            let mut command = process::command([]);
            command.arg(cargo::program("mayfly-accounts")).args(words);
            command.arg("--config").arg(&config);
            command
        };
        run(&mut accounts(&["ca", "init"]))?;
        let secret = run(&mut accounts(&["ca", "node", NODE_NAME]))?;
        let token_key = run(&mut accounts(&["keys"]))?;
        let files = lab.file("");
        for user in setting.users {
            let create = [
                "account",
                "create",
                user,
                "--ipv6",
                "--subscription-days",
                "30",
            ];
            let made = run(&mut accounts(&create))?;
            write(&password(&files, user), &made)?;
            let words = format!("user = \"{user}:{}\"\n", made.trim());
            write(&login(&files, user), &words)?;
        }

        let mut serve = lab.hub.command([]);
        serve
            .arg(cargo::program("mayfly-accounts"))
            .args(["serve", "--config"])
            .arg(&config)
            .envs(setting.environment);
        if let Some(path) = &setting.prints_to {
            let output = File::create(path).context("cannot write what the service prints")?;
            serve.stdout(output.try_clone()?).stderr(output);
        }
        let started = Instant::now();
        let service = Job::start(&mut serve, "mayfly-accounts")?;
        let ca = data.join("ca.pem");
        let plain = lab.file("node.toml");
        let authority = fs::read_to_string(&ca).context("mayfly-accounts left no ca.pem")?;
        let text = settings::Node {
            addresses: (NODE, NODE_V6),
            uplink: format!(
                "interface = \"eth0\"\naddresses = [\"{NODE_V6}/64\"]\ngateways = [\"{OPERATOR_V6}\"]"
            ),
            resolver: RESOLVER,
            streaming: None,
            token_keys: &[token_key.trim()],
            accounts: ACCOUNTS,
            secret: secret.trim(),
            ca: &authority,
            landlock_abi: 6,
        }
        .text();
        write(&plain, &text)?;
        let bundle = key.sign(&plain, &lab.file("node.bundle"))?;
        let operator = Self {
            hub: lab.hub.clone(),
            service,
            started,
            bundle: lab.hub.inside(|| Web::serve(BUNDLE_AT, bundle))?,
            data,
            ca,
            files,
        };
        operator.await_service()
    }

    fn await_service(mut self) -> Result<Self> {
        let started = Instant::now();
        while self
            .hub
            .inside(|| Ok(TcpStream::connect(ACCOUNTS)?))
            .is_err()
        {
            self.service.still_runs()?;
            pause(started, LIMIT, "the account service does not listen")?;
        }
        Ok(self)
    }

    /// How often settings were asked for.
    pub fn bundle_requests(&self) -> usize {
        self.bundle.visitors().len()
    }

    /// Waits until a new device can be counted: for a while after its start the service grants only
    /// what a node reports before `synced` (rule 5).
    ///
    /// # Errors
    /// A signal.
    pub fn await_counting(&self) -> Result<()> {
        while self.started.elapsed() < GRACE {
            signals::check()?;
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Waits until the account's `devices` is `value`, and returns it.
    ///
    /// # Errors
    /// It is not within `limit`.
    pub fn await_devices(&self, value: u8, limit: Duration) -> Result<u8> {
        self.await_devices_of(USER, value, limit)
    }

    /// The same for the account of a user.
    ///
    /// # Errors
    /// As [`Operator::await_devices`].
    pub fn await_devices_of(&self, user: &str, value: u8, limit: Duration) -> Result<u8> {
        let started = Instant::now();
        loop {
            let devices = self.devices(user)?;
            if devices == value {
                return Ok(devices);
            }
            pause(
                started,
                limit,
                &format!("devices is {devices}, not {value}"),
            )?;
        }
    }

    /// The account's `devices`, by the request that its owner makes.
    fn devices(&self, user: &str) -> Result<u8> {
        let resolve = format!("{ACCOUNTS_NAME}:{}:{OPERATOR}", ACCOUNTS.port());
        let url = format!("https://{ACCOUNTS_NAME}:{}/v1/account", ACCOUNTS.port());
        let words = [
            "curl",
            "--silent",
            "--show-error",
            "--fail",
            "--noproxy",
            "*",
        ];
        let mut command = self.hub.command(words);
        command
            .args(["--resolve", &resolve, &url, "--cacert"])
            .arg(&self.ca)
            .arg("--config")
            .arg(login(&self.files, user));
        let record = process::output(&mut command, "curl", LIMIT)?;
        let record: serde_json::Value =
            serde_json::from_str(&record).context("the account record is no JSON")?;
        record
            .get("devices")
            .and_then(serde_json::Value::as_u64)
            .and_then(|devices| devices.try_into().ok())
            .context("the account record has no devices")
    }

    /// The process of the account service.
    pub fn service(&self) -> u32 {
        self.service.id()
    }

    /// The authority that vouches for the service and for nodes, in PEM.
    ///
    /// # Errors
    /// The file is gone.
    pub fn authority(&self) -> Result<String> {
        fs::read_to_string(&self.ca).context("the account service has no ca.pem")
    }

    /// The password of a user.
    ///
    /// # Errors
    /// There is no such user.
    pub fn password(&self, user: &str) -> Result<String> {
        let word = fs::read_to_string(password(&self.files, user))
            .with_context(|| format!("{user} has no account"))?;
        Ok(word.trim().to_owned())
    }

    /// The arguments of `mayfly enrol`, without the file to write.
    pub fn enrol_words(&self) -> Vec<String> {
        let file = |path: &Path| path.display().to_string();
        [
            ("--accounts", format!("{ACCOUNTS_NAME}@{ACCOUNTS}")),
            ("--accounts-ca", file(&self.ca)),
            ("--user", USER.to_owned()),
            ("--password-file", file(&password(&self.files, USER))),
            ("--node", format!("{NODE_NAME}@{NODE}:{ENROLMENT_PORT}")),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }

    /// Commands that bring up one more device of the account.
    pub fn how_to_connect(&self, lab: &Lab) -> Vec<String> {
        let customer = lab.customer.name();
        let conf = lab.file("wg9.conf").display().to_string();
        vec![
            format!("ip netns exec {customer} bash"),
            format!(
                "{} enrol {} --out {conf}",
                cargo::program("mayfly").display(),
                self.enrol_words().join(" ")
            ),
            format!("wg-quick up {conf}"),
            format!("curl http://{}/", crate::network::PAGE_AT),
        ]
    }
}

fn password(files: &Path, user: &str) -> PathBuf {
    files.join(format!("{user}.password"))
}

/// The file from which curl reads the login.
fn login(files: &Path, user: &str) -> PathBuf {
    files.join(format!("{user}.curl"))
}

fn run(command: &mut Command) -> Result<String> {
    process::output(command, "mayfly-accounts", LIMIT)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Pauses before the next look. Fails after `limit`, and on a signal.
fn pause(started: Instant, limit: Duration, what: &str) -> Result<()> {
    signals::check()?;
    ensure!(
        started.elapsed() < limit,
        "{what}, after {} s",
        limit.as_secs()
    );
    thread::sleep(LOOK);
    Ok(())
}
