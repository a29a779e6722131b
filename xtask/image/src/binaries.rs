//! The two programs of the image: static, stripped, and without any path of the machine that
//! built them.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use mayfly_host::{cargo, tree};

use super::{Profile, paths, silence};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The contents of the programs.
pub struct Programs {
    /// `/init`
    pub init: Vec<u8>,
    /// `/bin/mayfly-node`
    pub node: Vec<u8>,
}

/// Builds init, and the profile's program in the node's place, in one call of cargo and without
/// anything else: cargo unifies the features of what it builds together, and only in these two is
/// every log call compiled out. They have a target directory of their own, so that host builds are
/// not rebuilt.
///
/// # Errors
/// They do not build, are not static, or contain a path of this machine or words for a log.
pub fn build(profile: Profile) -> Result<Programs> {
    let (init_package, init) = profile.init();
    let (package, node) = profile.node();
    let out = tree().join("target/image-build");
    let mut command = cargo::command();
    command
        .args(["build", "--locked", "--profile", "image"])
        .args(["--target", TARGET])
        .args(["--package", init_package, "--package", package])
        .arg("--target-dir")
        .arg(&out)
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags()?.join("\x1f"))
        .env_remove("RUSTFLAGS")
        .env(format!("CFLAGS_{}", TARGET.replace('-', "_")), c_flags()?);
    cargo::run(
        &format!("build {init} and {node}, static"),
        "10 min on 2 processors",
        &mut command,
    )?;

    let program = |name: &str| {
        let path = out.join(TARGET).join("image").join(name);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        check(name, &bytes)?;
        // The attacker prints the names of its attempts.
        if profile != Profile::Attack {
            let words = silence::log_words(&bytes);
            ensure!(words.is_empty(), "{name} could log: it holds {words:?}");
        }
        Ok::<_, anyhow::Error>(bytes)
    };
    Ok(Programs {
        init: program(init)?,
        node: program(node)?,
    })
}

/// glibc is linked statically, since the image has no loader, and paths of this machine are
/// replaced. Without the last flag, crate getrandom would ask the loader for a function, and open
/// /dev/urandom if there is none; our kernel has the system call.
fn rust_flags() -> Result<Vec<String>> {
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        "--cfg=getrandom_backend=\"linux_getrandom\"".to_owned(),
    ];
    let remapped = paths::replaced()?.into_iter();
    flags.extend(
        remapped.map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())),
    );
    Ok(flags)
}

/// The same for the C in ring and aws-lc.
fn c_flags() -> Result<String> {
    let flags: Vec<String> = paths::replaced()?
        .into_iter()
        .map(|(path, name)| format!("-ffile-prefix-map={}={name}", path.display()))
        .collect();
    Ok(flags.join(" "))
}

fn check(name: &str, program: &[u8]) -> Result<()> {
    ensure!(!wants_a_loader(program)?, "{name} is not static");
    paths::none_in(name, program)
}

/// Whether an ELF file names an interpreter (program header PT_INTERP).
fn wants_a_loader(elf: &[u8]) -> Result<bool> {
    const PT_INTERP: u64 = 3;
    let field = |at: usize, size: usize| {
        let bytes = elf.get(at..at + size).context("a truncated ELF file")?;
        Ok::<_, anyhow::Error>(
            bytes
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    };
    if elf.get(..6) != Some(b"\x7fELF\x02\x01") {
        bail!("not a 64-bit little-endian ELF file");
    }
    // Elf64_Ehdr: e_phoff at 32, e_phentsize at 54, e_phnum at 56.
    let (table, size, count) = (field(32, 8)?, field(54, 2)?, field(56, 2)?);
    for index in 0..count {
        let header = usize::try_from(table + index * size)?;
        if field(header, 4)? == PT_INTERP {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    #[test]
    fn a_dynamic_program_is_told_from_a_static_one() {
        let this_test = fs::read(env::current_exe().unwrap()).unwrap();
        assert!(wants_a_loader(&this_test).unwrap());

        let mut headless = this_test;
        headless[56..58].fill(0);
        assert!(!wants_a_loader(&headless).unwrap());
        assert!(wants_a_loader(b"#!/bin/sh").is_err());
    }

    #[test]
    fn a_path_of_this_machine_is_found() {
        let mut program = fs::read(env::current_exe().unwrap()).unwrap();
        program[56..58].fill(0);
        let truncated = &mut program[..4096];
        check("it", truncated).unwrap();
        let path = tree().into_os_string().into_encoded_bytes();
        truncated[2048..2048 + path.len()].copy_from_slice(&path);
        assert!(check("it", truncated).is_err());
    }
}
