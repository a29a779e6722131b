//! `mayfly.iso`: the image on a CD, as a BMC's virtual media presents it.
//!
//! The file is on it twice: beside isolinux for a BIOS, and in a FAT of its own for UEFI, whose
//! firmware looks for `EFI/BOOT/BOOTX64.EFI`. Every time stamp on it is the image's.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mayfly_host::process;

/// Files of Debian's isolinux and syslinux-common.
pub(crate) const LOADER: [&str; 2] = [
    "/usr/lib/ISOLINUX/isolinux.bin",
    "/usr/lib/syslinux/modules/bios/ldlinux.c32",
];

const MENU: &str = "DEFAULT mayfly\nLABEL mayfly\n  LINUX /mayfly.efi\n";
/// Of the FAT and the CD.
const NAME: &str = "MAYFLY";
/// The FAT's serial number ("MYFL"). Any will do, as long as it is the same each time.
const SERIAL: &str = "4d59464c";
/// What a FAT needs beside a file.
const ROOM: u64 = 1 << 20;
const SECTOR: u64 = 512;
const LIMIT: Duration = Duration::from_secs(120);

/// Writes `iso` with `image` on it, as of `time` in Unix seconds.
///
/// # Errors
/// A tool fails.
pub(crate) fn write(image: &Path, iso: &Path, time: u64) -> Result<()> {
    let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
    let root = scratch.path();
    fs::create_dir(root.join("isolinux"))?;
    fs::copy(image, root.join("mayfly.efi"))?;
    fs::write(root.join("isolinux/isolinux.cfg"), MENU)?;
    for file in LOADER.map(Path::new) {
        let name = file.file_name().unwrap_or_default();
        fs::copy(file, root.join("isolinux").join(name))
            .with_context(|| format!("cannot copy {}", file.display()))?;
    }
    fat(image, &root.join("efi.img"), time)?;
    let date = date(time)?;
    let mut xorriso = tool("xorriso", time);
    xorriso
        .args(["-report_about", "WARNING", "-as", "mkisofs", "-quiet"])
        .arg("-o")
        .arg(iso)
        .args(["-V", NAME, "-J", "-r", "--set_all_file_dates", &date])
        .arg(format!("--modification-date={date}"))
        .args(["-c", "isolinux/boot.cat", "-b", "isolinux/isolinux.bin"])
        .args(["-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"])
        .args(["-eltorito-alt-boot", "-e", "efi.img", "-no-emul-boot"])
        .arg(root);
    process::output(&mut xorriso, "xorriso", LIMIT).map(drop)
}

/// A FAT with the image where UEFI looks.
fn fat(image: &Path, to: &Path, time: u64) -> Result<()> {
    let sectors = (fs::metadata(image)?.len() + ROOM).div_ceil(SECTOR);
    File::create(to)?.set_len(sectors * SECTOR)?;
    let run = |program: &str, words: &[&OsStr]| {
        let mut command = tool(program, time);
        command.arg("-i").arg(to).args(words);
        process::output(&mut command, program, LIMIT).map(drop)
    };
    let words = |words: &'static str| words.split(' ').map(OsStr::new);
    let sectors = sectors.to_string();
    let mut format: Vec<_> = words("-H 0 -h 16 -s 63 -N").collect();
    format.extend([SERIAL, "-v", NAME, "-T", &sectors, "::"].map(OsStr::new));
    run("mformat", &format)?;
    run("mmd", &words("::EFI ::EFI/BOOT").collect::<Vec<_>>())?;
    run(
        "mcopy",
        &[image.as_os_str(), OsStr::new("::EFI/BOOT/BOOTX64.EFI")],
    )
}

/// A tool for which `time` is the present, and which reads no user's settings.
fn tool(name: &str, time: u64) -> Command {
    let mut command = process::command([name]);
    command
        .env("SOURCE_DATE_EPOCH", time.to_string())
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .env("MTOOLSRC", "/dev/null");
    command
}

/// The format of xorriso: from the year to hundredths of seconds.
fn date(time: u64) -> Result<String> {
    let mut date = process::command(["date", "--utc", "+%Y%m%d%H%M%S00"]);
    date.args(["--date", &format!("@{time}")]);
    let date = process::output(&mut date, "date", LIMIT)?;
    Ok(date.trim().to_owned())
}
