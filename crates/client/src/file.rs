//! Files that hold secrets. They are read into memory that is zeroed, and written whole or not
//! at all.

use std::fs;
use std::io::{BufRead, Read, Write};
use std::path::Path;

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::error::Error;

/// The longest file or line that is read, in bytes. The rest is left out.
const MAX: u64 = 256 * 1024;

/// Reads a file as text.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let mut text = Zeroizing::new(String::new());
    fs::File::open(path)
        .and_then(|file| file.take(MAX).read_to_string(&mut text))
        .map_err(|source| failed(path, source))?;
    Ok(text)
}

/// Reads a password: the first line of a file, or of standard input.
pub(crate) fn read_password(path: Option<&Path>) -> Result<Zeroizing<String>, Error> {
    let mut line = Zeroizing::new(String::new());
    match path {
        Some(path) => line.push_str(&read(path)?),
        None => std::io::stdin()
            .lock()
            .take(MAX)
            .read_line(&mut line)
            .map(|_| ())
            .map_err(|_| Error::Password)?,
    }
    let password = line.lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(Error::Password);
    }
    Ok(Zeroizing::new(password.to_owned()))
}

/// Writes the file with mode 0600. An older file stays until the new one is on disk as a whole.
pub(crate) fn write(path: &Path, contents: &str) -> Result<(), Error> {
    let file = prepare(path, contents)?;
    file.persist(path)
        .map_err(|error| failed(path, error.error))?;
    Ok(())
}

/// Writes a file that must not exist yet, with mode 0600.
pub(crate) fn write_new(path: &Path, contents: &str) -> Result<(), Error> {
    let file = prepare(path, contents)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Error::Exists {
                path: path.to_owned(),
                why: "a lost key cannot be replaced",
            })
        }
        Err(error) => Err(failed(path, error.error)),
    }
}

fn prepare(path: &Path, contents: &str) -> Result<NamedTempFile, Error> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // tempfile creates with mode 0600.
    let write = || {
        let mut file = NamedTempFile::new_in(directory)?;
        file.write_all(contents.as_bytes())?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(|source| failed(path, source))
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_written_file_is_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.conf");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, "new").unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(read(&path).unwrap().as_str(), "new");
    }

    #[test]
    fn a_key_file_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write_new(&path, "first").unwrap();
        assert!(matches!(
            write_new(&path, "second"),
            Err(Error::Exists { .. })
        ));
        assert_eq!(read(&path).unwrap().as_str(), "first");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_password_is_the_first_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        fs::write(&path, "correct horse\r\nbattery\n").unwrap();
        assert_eq!(
            read_password(Some(&path)).unwrap().as_str(),
            "correct horse"
        );
        fs::write(&path, "\n").unwrap();
        assert!(matches!(read_password(Some(&path)), Err(Error::Password)));
    }
}
