//! The initramfs: the literal list of `initramfs/files.toml`, as a cpio archive.
//!
//! It is written in this process, so that device nodes need no root and two runs give the same
//! bytes:
//! sorted names, inodes 1 to n, no times, one compression thread.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use cpio::NewcBuilder;
use cpio::newc::{ModeFileType, trailer};
use mayfly_host::tree;
use serde::{Deserialize, Serialize};

use super::binaries::Programs;
use super::manifest::{File, digest};

/// What the image knows beside its programs: `/etc/mayfly/image.toml`, read by init.
#[derive(Debug, Serialize)]
pub(crate) struct Pins {
    /// Ed25519 public key that signs settings bundles, base64.
    pub bundle_key: String,
    /// When the image's commit was made, in Unix seconds. The node's clock is never earlier.
    pub built: u64,
    /// The least serial of a bundle that is taken.
    pub least_serial: u64,
}

/// An archive, and what is in it.
pub(crate) struct Packed {
    /// cpio "newc", packed with zstd.
    pub archive: Vec<u8>,
    /// Every path.
    pub files: Vec<File>,
    /// Paths with an execute bit.
    pub executables: Vec<String>,
}

/// `files.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    files: Vec<Entry>,
}

/// A path of the RAM root.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: String,
    #[serde(rename = "type")]
    kind: Kind,
    mode: u32,
    uid: u32,
    gid: u32,
    /// Of a device.
    #[serde(default)]
    device: (u32, u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Dir,
    File,
    Char,
}

impl Entry {
    fn file<'a>(&self, content: impl Fn(&str) -> Option<&'a [u8]>) -> File {
        let content = content(&self.path);
        File {
            path: self.path.clone(),
            mode: format!("{:06o}", self.kind.bits() | self.mode),
            uid: self.uid,
            gid: self.gid,
            sha256: content.map(digest),
            bytes: content.map_or(0, <[u8]>::len) as u64,
        }
    }
}

impl Kind {
    /// As in `st_mode`, inode(7).
    fn bits(self) -> u32 {
        match self {
            Self::Dir => 0o040_000,
            Self::File => 0o100_000,
            Self::Char => 0o020_000,
        }
    }

    fn file_type(self) -> ModeFileType {
        match self {
            Self::Dir => ModeFileType::Directory,
            Self::File => ModeFileType::Regular,
            Self::Char => ModeFileType::Char,
        }
    }
}

/// Packs the listed files.
///
/// # Errors
/// A list that is not one, or names a file that is not known.
pub(crate) fn pack(programs: &Programs, pins: &Pins) -> Result<Packed> {
    let text = fs::read_to_string(tree().join("initramfs/files.toml"))
        .context("cannot read initramfs/files.toml")?;
    let list = parse(&text).context("initramfs/files.toml")?;
    let pins = toml::to_string(pins)?;
    let content = |path: &str| match path {
        "/init" => Some(programs.init.as_slice()),
        "/bin/mayfly-node" => Some(programs.node.as_slice()),
        "/etc/mayfly/image.toml" => Some(pins.as_bytes()),
        _ => None,
    };
    Ok(Packed {
        archive: compress(&archive(&list, content)?)?,
        files: list.files.iter().map(|entry| entry.file(content)).collect(),
        executables: executables(&list),
    })
}

/// The list, sorted by path, each directory before what is in it.
fn parse(text: &str) -> Result<List> {
    let mut list: List = toml::from_str(text)?;
    list.files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut dirs = BTreeSet::from([Path::new("/")]);
    let mut last = None;
    for entry in &list.files {
        let path = Path::new(&entry.path);
        ensure!(
            last.replace(path) != Some(path),
            "{} is listed twice",
            entry.path
        );
        ensure!(
            path.parent().is_some_and(|parent| dirs.contains(parent)),
            "{} is in no listed directory",
            entry.path
        );
        if entry.kind == Kind::Dir {
            dirs.insert(path);
        }
    }
    Ok(list)
}

fn executables(list: &List) -> Vec<String> {
    list.files
        .iter()
        .filter(|entry| entry.kind == Kind::File && entry.mode & 0o111 != 0)
        .map(|entry| entry.path.clone())
        .collect()
}

fn archive<'a>(list: &List, content: impl Fn(&str) -> Option<&'a [u8]>) -> Result<Vec<u8>> {
    let mut archive = Vec::new();
    for (inode, entry) in (1..).zip(&list.files) {
        let content = match (entry.kind, content(&entry.path)) {
            (Kind::File, Some(content)) => content,
            (Kind::File, None) => bail!("{}: nothing makes this file", entry.path),
            (Kind::Dir | Kind::Char, _) => &[],
        };
        let (major, minor) = entry.device;
        let mut file = NewcBuilder::new(entry.path.trim_start_matches('/'))
            .ino(inode)
            .mode(entry.mode)
            .set_mode_file_type(entry.kind.file_type())
            .uid(entry.uid)
            .gid(entry.gid)
            .rdev_major(major)
            .rdev_minor(minor)
            .write(&mut archive, u32::try_from(content.len())?);
        file.write_all(content)?;
        file.finish()?;
    }
    trailer(&mut archive)?;
    Ok(archive)
}

fn compress(archive: &[u8]) -> Result<Vec<u8>> {
    const LEVEL: i32 = 19;
    zstd::encode_all(archive, LEVEL).context("cannot compress the initramfs")
}

#[cfg(test)]
mod tests {
    use cpio::NewcReader;

    use super::*;

    const LIST: &str = r#"
        files = [
            { path = "/dev/null", type = "char", mode = 0o666, uid = 0, gid = 0, device = [1, 3] },
            { path = "/dev", type = "dir", mode = 0o755, uid = 0, gid = 0 },
            { path = "/init", type = "file", mode = 0o500, uid = 0, gid = 0 },
        ]
    "#;

    #[test]
    fn the_archive_is_the_list_and_no_more() {
        let list = parse(LIST).unwrap();
        let archive = archive(&list, |_| Some(b"program")).unwrap();
        let mut rest = archive.as_slice();
        let mut seen = Vec::new();
        loop {
            let reader = NewcReader::new(rest).unwrap();
            let entry = reader.entry();
            if entry.is_trailer() {
                break;
            }
            let device = (entry.rdev_major(), entry.rdev_minor());
            seen.push((entry.name().to_owned(), entry.ino(), entry.mode(), device));
            assert_eq!((entry.mtime(), entry.uid(), entry.gid()), (0, 0, 0));
            rest = reader.finish().unwrap();
        }
        let expected = [
            ("dev".to_owned(), 1, 0o040_755, (0, 0)),
            ("dev/null".to_owned(), 2, 0o020_666, (1, 3)),
            ("init".to_owned(), 3, 0o100_500, (0, 0)),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_image_holds_two_executables() {
        let text = fs::read_to_string(tree().join("initramfs/files.toml")).unwrap();
        let list = parse(&text).unwrap();
        assert_eq!(executables(&list), ["/bin/mayfly-node", "/init"]);
    }

    #[test]
    fn a_list_that_leaves_something_open_is_refused() {
        let orphan = LIST.replace(r#""/dev", type"#, r#""/deb", type"#);
        assert!(parse(&orphan).is_err());
        let twice = LIST.replace(r#""/init", type = "file""#, r#""/dev", type = "dir""#);
        assert!(parse(&twice).is_err());
        let unknown = parse(LIST).unwrap();
        assert!(archive(&unknown, |_| None).is_err());
    }

    #[test]
    fn two_archives_of_one_list_are_equal() {
        let once = || {
            let list = parse(LIST).unwrap();
            compress(&archive(&list, |_| Some(&[7; 100_000])).unwrap()).unwrap()
        };
        assert_eq!(once(), once());
    }
}
