//! Small files that hold secrets. They have mode 0600, are on the disk before they are used, and
//! are zeroed before they are removed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

/// Makes a directory that only its owner may enter, unless it exists.
///
/// # Errors
/// The directory cannot be made.
pub(crate) fn make_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a file. An existing file stays as it is.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], or the file cannot be written.
pub(crate) fn create_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()?;
    sync_directory_of(path)
}

/// Writes a file completely or not at all. An existing file is replaced.
///
/// # Errors
/// The file cannot be written or renamed.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => create_private(&new, content)?,
    }
    fs::rename(&new, path)?;
    sync_directory_of(path)
}

/// Replaces the file `old` by the file `new`, and zeroes the content of `old` as [`destroy`] does.
///
/// # Errors
/// A file is missing, or cannot be renamed or written.
pub(crate) fn replace(new: &Path, old: &Path) -> io::Result<()> {
    let mut former = OpenOptions::new().write(true).open(old)?;
    fs::rename(new, old)?;
    sync_directory_of(old)?;
    zero(&mut former)
}

/// Reads a file of at most 64 KiB.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] if the file is larger, or the file cannot be read.
pub(crate) fn read_private(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    if fs::metadata(path)?.len() > 64 * 1024 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    fs::read(path).map(Zeroizing::new)
}

/// Overwrites a file with zeros and removes it. A file system that copies on write, or a disk
/// that levels wear, may keep the old blocks; on a tmpfs nothing is left.
///
/// # Errors
/// The file is missing, or cannot be written or removed.
pub(crate) fn destroy(path: &Path) -> io::Result<()> {
    zero(&mut OpenOptions::new().write(true).open(path)?)?;
    fs::remove_file(path)?;
    sync_directory_of(path)
}

fn zero(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let zeros = vec![0; usize::try_from(length).unwrap_or(0)];
    file.write_all(&zeros)?;
    file.sync_all()
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
