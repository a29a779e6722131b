//! Tests of the account service's API: first a user's whole life with curl, then schemathesis, which
//! makes requests that the API's description allows and requests that it forbids, and checks each
//! answer against it.
//!
//! schemathesis comes from PyPI, at the versions of `tests/api/requirements.txt`, into a virtual
//! environment under `target/api`. The service is the real program on loopback, with one
//! account and no limits.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mayfly_host::cargo;
use mayfly_host::packages::{self, Need};
use mayfly_host::process::{self, Job};
use mayfly_host::progress::{say, step};
use mayfly_host::tree;
use mayfly_lab::operator;

use crate::pypi;

const LIMIT: Duration = Duration::from_secs(60);
const RUN: Duration = Duration::from_secs(900);

/// What it starts.
pub(crate) const NEEDS: &[&[Need]] = &[packages::PYTHON, packages::API];

/// Tries everything once, with the same requests every time.
///
/// # Errors
/// An answer is a server error, or not as described.
pub(crate) fn test() -> Result<()> {
    packages::provide(&NEEDS.concat())?;
    operator::build()?;
    let schemathesis = step("install schemathesis", install)?;
    let directory = tempfile::tempdir().context("cannot make a directory")?;
    let service = step("start the account service", || {
        Service::start(directory.path())
    })?;
    step("live a user's life with curl", || service.lived_through())?;
    let report = tree().join("target/api/report");
    let output = service.tried_by(&schemathesis, &report)?;
    let told = fs::read_to_string(&output).unwrap_or_default();
    say(told.trim_end());
    Ok(())
}

fn install() -> Result<PathBuf> {
    let environment = tree().join("target/api/venv");
    pypi::install(&tree().join("tests/api/requirements.txt"), &environment)?;
    Ok(environment.join("bin/schemathesis"))
}

/// The account service on loopback, with one account.
struct Service {
    url: String,
    ca: PathBuf,
    password: String,
    shop_key: String,
    job: Job,
}

impl Service {
    fn start(directory: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (config, data) = (directory.join("accounts.toml"), directory.join("data"));
        let many = u32::MAX;
        let text = format!(
            "listen = \"127.0.0.1:{port}\"\ndata = {data:?}\nnames = [\"localhost\"]\n\
             [limits]\ntokens = {many}\nsign_ups = {many}\nfailures = {many}\n"
        );
        fs::write(&config, text)?;
        let accounts = |words: &[&str]| {
            let mut command = process::command([]);
            command.arg(cargo::program("mayfly-accounts"));
            command.args(words).arg("--config").arg(&config);
            command
        };
        let run = |words| process::output(&mut accounts(words), "mayfly-accounts", LIMIT);
        run(&["ca", "init"])?;
        let password = run(&["account", "create", "ann", "--subscription-days", "30"])?;
        let shop_key = run(&["keys", "shop"])?;
        let service = Self {
            url: format!("https://localhost:{port}"),
            ca: data.join("ca.pem"),
            password: password.trim().to_owned(),
            shop_key: shop_key.trim().to_owned(),
            job: Job::start(&mut accounts(&["serve"]), "mayfly-accounts")?,
        };
        service.await_answer()
    }

    fn await_answer(mut self) -> Result<Self> {
        let end = Instant::now() + LIMIT;
        while !self.answers() {
            self.job.still_runs()?;
            ensure!(Instant::now() < end, "mayfly-accounts does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(self)
    }

    fn answers(&self) -> bool {
        let mut curl = process::command(["curl", "--silent", "--fail", "--output", "/dev/null"]);
        curl.arg("--cacert").arg(&self.ca);
        curl.arg(format!("{}/v1/openapi.json", self.url));
        process::output(&mut curl, "curl", LIMIT).is_ok()
    }

    /// Runs the session that the documentation shows. It checks each of its answers.
    fn lived_through(&self) -> Result<()> {
        let mut script = process::command(["sh"]);
        script
            .arg(tree().join("crates/accounts/life.sh"))
            .env("ACCOUNTS", &self.url)
            .env("CA", &self.ca)
            .env("DATA", self.ca.parent().unwrap_or(Path::new("")))
            .env("SHOP_KEY", &self.shop_key);
        process::output(&mut script, "life.sh", LIMIT).map(|_| ())
    }

    /// The file with schemathesis' output.
    fn tried_by(mut self, schemathesis: &Path, report: &Path) -> Result<PathBuf> {
        // Findings of an earlier run are not tried first: the requests are the same every time.
        let _ = fs::remove_dir_all(report);
        fs::create_dir_all(report)?;
        let output = report.join("schemathesis.txt");
        let written = fs::File::create(&output)?;
        let hooks = tree().join("tests/api");
        let mut command = process::command([]);
        command
            .current_dir(report)
            .arg(schemathesis)
            .arg("--config-file")
            .arg(hooks.join("schemathesis.toml"))
            .arg("run")
            .arg(format!("{}/v1/openapi.json", self.url))
            .arg("--tls-verify")
            .arg(&self.ca)
            .env("API_URL", &self.url)
            .env("API_CA", &self.ca)
            .env("API_PASSWORD", &self.password)
            .env("API_SHOP_KEY", &self.shop_key)
            .env("PYTHONPATH", hooks)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(written.try_clone()?)
            .stderr(written);
        let status = Job::start(&mut command, "schemathesis")?.wait(RUN)?;
        self.job.still_runs()?;
        if status.success() {
            return Ok(output);
        }
        let told = fs::read_to_string(&output).unwrap_or_default();
        say(&told);
        bail!("an answer is not as described: see {}", output.display())
    }
}
