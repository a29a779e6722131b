//! The attempts in the image: boots it, and reads the findings from its RAM.
//!
//! Then it boots a second time, for a write under the shipped filter: see [`violation`].

pub mod violation;

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mayfly_host::process::{self, Job};
use mayfly_host::progress::step;
use mayfly_host::{signals, tree};
use mayfly_image::{Image, Options, Profile};
use mayfly_lab::operator::BundleKey;
use mayfly_lab::qemu::{self, Accelerator, Machine};
use mayfly_lab::web::Web;
use sha2::{Digest as _, Sha256};

use self::violation::Violation;
use super::Findings;

/// Any port of the loopback interface.
const ANY_PORT: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
/// Size of the guest's RAM, which is a file, in MiB.
const RAM: u32 = 192;
/// Pause between two looks at it.
const LOOK: Duration = Duration::from_secs(1);
/// How long the attempts may take under emulation.
const PATIENCE: Duration = Duration::from_secs(600);

/// As in `tests/attack/src/marked.rs`.
const PAGE: usize = 4096;
const PHRASE: &str = "mayfly: findings of an attack";
const HASH: usize = 32;

/// Builds the attack image, boots it and waits for its findings.
///
/// # Errors
/// It does not come up, or reports nothing in time.
pub fn run() -> Result<(Findings, Violation)> {
    let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
    let scratch = scratch.path();
    let key = BundleKey::make_at(scratch.join("bundle.key"))?;
    let signed = scratch.join("node.bundle");
    let ram = scratch.join("ram");
    let example = tree().join("crates/node/example.toml");
    // The attacker needs no settings, but PID 1 starts it only with some.
    let web = Web::serve(ANY_PORT.into(), key.sign(&example, &signed)?)?;
    let address = web.address();
    let image = build(&key.public, address.port())?;
    let findings = step("attempts in the attack image", || {
        let mut guest = boot(&image, empty(&ram)?, false)?;
        await_findings(&ram, &mut guest)
    })?;
    drop(web);
    let settings = scratch.join("violation.toml");
    fs::write(&settings, violation::settings(&example)?).context("cannot write a settings file")?;
    let bundle = key.sign(&settings, &signed)?;
    let violation = step("a write under the shipped filter", || {
        let web = Web::serve(address, bundle)?;
        let mut guest = boot(&image, empty(&ram)?, true)?;
        violation::observe(&ram, &mut guest, web)
    })?;
    Ok((findings, violation))
}

/// Empties the file: the RAM of an earlier guest is no finding, and QEMU takes a while to make the
/// file.
fn empty(ram: &Path) -> Result<&Path> {
    File::create(ram).context("cannot make a file for the guest's RAM")?;
    Ok(ram)
}

/// On QEMU's own network, 10.0.2.2 is the loopback interface of this machine.
fn build(public: &str, port: u16) -> Result<Image> {
    mayfly_image::build(&Options {
        profile: Profile::Attack,
        bundle_key: mayfly_image::parse_bundle_key(public)?,
        least_serial: 0,
        kernel_words: String::new(),
        command_line: format!(
            "mayfly.address=10.0.2.15/24 mayfly.gateway=10.0.2.2 \
             mayfly.bundle=http://10.0.2.2:{port}/node.bundle"
        ),
        from_nothing: false,
        out: tree().join("target/audit/attack"),
    })
}

fn boot(image: &Image, ram: &Path, again: bool) -> Result<Job> {
    let mut machine = Machine::on_user_network(RAM)
        .ram_in(ram)
        .kernel(&image.file);
    if again {
        machine = machine.restarting();
    }
    let mut command = process::command([qemu::PROGRAM]);
    Job::start(command.args(machine.words(Accelerator::Tcg)), "QEMU")
}

fn await_findings(ram: &Path, guest: &mut Job) -> Result<Findings> {
    let started = Instant::now();
    loop {
        if let Some(text) = File::open(ram).and_then(text)? {
            return serde_json::from_slice(&text).context("the findings are not understood");
        }
        guest.still_runs()?;
        signals::check()?;
        ensure!(started.elapsed() < PATIENCE, "the image reports nothing");
        std::thread::sleep(LOOK);
    }
}

/// The text of all marked pages together, if all are there.
fn text(mut ram: impl io::Read) -> io::Result<Option<Vec<u8>>> {
    let mark = Sha256::digest(PHRASE);
    let mut parts: Vec<Option<Vec<u8>>> = Vec::new();
    let mut page = [0; PAGE];
    while ram.read_exact(&mut page).is_ok() {
        if let Some((index, count, part)) = part(&page, &mark) {
            parts.resize(count, None);
            if let Some(place) = parts.get_mut(index) {
                *place = Some(part.to_vec());
            }
        }
    }
    let whole: Option<Vec<_>> = parts.into_iter().collect();
    Ok(whole
        .filter(|parts| !parts.is_empty())
        .map(|parts| parts.concat()))
}

/// Number, count and text of a page that is marked and whole.
fn part<'a>(page: &'a [u8; PAGE], mark: &[u8]) -> Option<(usize, usize, &'a [u8])> {
    let rest = page.strip_prefix(mark)?;
    let (hash, rest) = rest.split_at_checked(HASH)?;
    let number = |at: usize| {
        let bytes = rest.get(4 * at..4 * at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let (index, count, length) = (number(0)?, number(1)?, number(2)?);
    let hashed = rest.get(..12 + length)?;
    let is_whole = Sha256::digest(hashed).as_slice() == hash;
    is_whole.then_some((index, count, hashed.get(12..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(index: u32, count: u32, text: &[u8]) -> Vec<u8> {
        let numbers = [index, count, text.len() as u32];
        let rest = [numbers.map(u32::to_le_bytes).concat(), text.to_vec()].concat();
        let hash = Sha256::digest(&rest);
        let mut page = [Sha256::digest(PHRASE).as_slice(), &hash, &rest].concat();
        page.resize(PAGE, 0);
        page
    }

    #[test]
    fn pages_are_put_together_in_their_order() {
        let ram = [
            vec![1; PAGE],
            page(1, 2, b"there"),
            vec![0; PAGE],
            page(0, 2, b"here, "),
        ];
        let found = text(ram.concat().as_slice()).unwrap();
        assert_eq!(found.unwrap(), b"here, there");
    }

    #[test]
    fn a_page_that_is_missing_or_half_written_is_waited_for() {
        assert!(text(page(1, 2, b"there").as_slice()).unwrap().is_none());
        let mut half = page(0, 1, b"here");
        half[HASH + HASH + 12] = b'x';
        assert!(text(half.as_slice()).unwrap().is_none());
        assert!(text([0; PAGE].as_slice()).unwrap().is_none());
    }
}
