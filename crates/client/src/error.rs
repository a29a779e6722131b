//! Everything that can go wrong, as one line that says what to do.

use std::io;
use std::path::PathBuf;

use mayfly_wire::Problem;

use crate::server::Server;

/// Why a command failed. No text repeats a key, a token or a password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// A file holds something else than it should.
    #[error("{}: expected {expected}", path.display())]
    Content {
        path: PathBuf,
        expected: &'static str,
    },
    /// A file that must not be overwritten.
    #[error("{}: exists already and {why}; name another file", path.display())]
    Exists { path: PathBuf, why: &'static str },
    /// The name of a wg-quick file is the name of an interface.
    #[error(
        "{}: wg-quick wants INTERFACE.conf, with 1 to 15 characters out of letters, digits and _=+.- for INTERFACE",
        .0.display()
    )]
    InterfaceName(PathBuf),
    /// The password is not one line of text.
    #[error("the password is empty or not text: give it as one line of UTF-8")]
    Password,
    /// The user name cannot be sent.
    #[error("a user name has no colon (RFC 7617): check --user")]
    UserName,
    /// No connection.
    #[error("{server}: cannot connect: {source}; check the address, and that the server runs")]
    Connect { server: Server, source: io::Error },
    /// The server is not who it should be, or speaks no TLS 1.3.
    #[error("{server}: no secure connection: {source}; check the name and the CA")]
    Tls { server: Server, source: io::Error },
    /// The connection broke, or nothing came in time.
    #[error("{server}: no answer; try again")]
    NoAnswer { server: Server },
    /// The server answered with something else than HTTP, or than this version knows.
    #[error("{server}: the answer was not understood; check the port, and for a newer mayfly")]
    Answer { server: Server },
    /// The server says no.
    #[error("{server}: {}", describe(problem, *retry_after))]
    Refused {
        server: Server,
        problem: Box<Problem>,
        /// Seconds, where the server named them.
        retry_after: Option<u64>,
    },
    /// What a server sent cannot stand in a wg-quick file.
    #[error("{server}: the answer makes no working tunnel: {why}")]
    Unusable { server: Server, why: &'static str },
    /// The signature just made does not verify.
    #[error("the new bundle does not verify: nothing was written")]
    Signature,
    /// A node would not take the bundle.
    #[error("{}: a node refuses it: {why}", path.display())]
    Bundle { path: PathBuf, why: String },
    /// A public key that is none.
    #[error("the public key is not base64 of 32 bytes, as `mayfly node keys` prints it")]
    PublicKey,
    /// No randomness, or no key out of it.
    #[error("the system gave no random numbers")]
    Random,
    /// No runtime.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}

impl Error {
    /// The exit status, after sysexits.h where it has one.
    pub(crate) fn exit_status(&self) -> u8 {
        const FAILED: u8 = 1;
        const UNAVAILABLE: u8 = 69;
        const INTERNAL: u8 = 70;
        const NO_PERMISSION: u8 = 77;
        const CONFIG: u8 = 78;
        match self {
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                NO_PERMISSION
            }
            Self::File { .. } | Self::Exists { .. } | Self::Unusable { .. } => FAILED,
            Self::Content { .. }
            | Self::InterfaceName(_)
            | Self::Password
            | Self::Bundle { .. }
            | Self::PublicKey
            | Self::UserName
            | Self::Tls { .. } => CONFIG,
            Self::Connect { .. } | Self::NoAnswer { .. } | Self::Answer { .. } => UNAVAILABLE,
            Self::Refused { problem, .. } => match problem.status {
                401..=403 => NO_PERMISSION,
                429 | 500.. => UNAVAILABLE,
                _ => FAILED,
            },
            Self::Signature | Self::Random | Self::Runtime(_) => INTERNAL,
        }
    }
}

/// One line out of a problem document, whatever a server put into it.
fn describe(problem: &Problem, retry_after: Option<u64>) -> String {
    let mut line = problem.title.to_string();
    if let Some(detail) = &problem.detail {
        line.push_str(": ");
        line.push_str(detail);
    }
    if let Some(seconds) = retry_after {
        line.push_str(&format!("; try again in {seconds} s"));
    }
    line.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_line_without_control_characters() {
        let problem =
            Problem::new(409, "/problems/x", "4 of 4\ndevices").detail("use \x1b[31m--anyway");
        let line = describe(&problem, Some(5));
        assert_eq!(line, "4 of 4 devices: use  [31m--anyway; try again in 5 s");
    }

    #[test]
    fn the_exit_status_tells_who_has_to_act() {
        let refused = |status| Error::Refused {
            server: "n@192.0.2.1:1".parse().unwrap(),
            problem: Box::new(Problem::new(status, "/problems/x", "x")),
            retry_after: None,
        };
        assert_eq!(refused(401).exit_status(), 77);
        assert_eq!(refused(409).exit_status(), 1);
        assert_eq!(refused(503).exit_status(), 69);
        assert_eq!(Error::Password.exit_status(), 78);
    }
}
