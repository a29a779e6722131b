//! Every failure, as one line that says what happened and what to do next.

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
    /// The content of a file is not what it should be.
    #[error("{}: expected {expected}", path.display())]
    Content {
        path: PathBuf,
        expected: &'static str,
    },
    /// A file exists and must not be overwritten.
    #[error("{}: already exists and {why}; name another file", path.display())]
    Exists { path: PathBuf, why: &'static str },
    /// The file's name, from which wg-quick takes the interface's name, is invalid.
    #[error(
        "{}: wg-quick needs INTERFACE.conf, with 1 to 15 letters, digits or any of _=+.- before .conf",
        .0.display()
    )]
    InterfaceName(PathBuf),
    /// The password is empty or not text.
    #[error("the password is empty or not text: give it as one line of UTF-8")]
    Password,
    /// The user name cannot stand in an HTTP header.
    #[error("a user name must not contain a colon (RFC 7617): check --user")]
    UserName,
    /// The connection failed.
    #[error(
        "{server}: cannot connect: {source}; check the address, and that the server is running"
    )]
    Connect { server: Server, source: io::Error },
    /// The server could not prove its name, or it does not speak TLS 1.3.
    #[error("{server}: no secure connection: {source}; check the name and the CA")]
    Tls { server: Server, source: io::Error },
    /// The connection broke, or no answer came in time.
    #[error("{server}: no answer; try again")]
    NoAnswer { server: Server },
    /// The answer is not HTTP, or this version does not know its form.
    #[error("{server}: cannot understand the answer; check the port, or update mayfly")]
    Answer { server: Server },
    /// The server refused the request.
    #[error("{server}: {}", describe(problem, *retry_after))]
    Refused {
        server: Server,
        problem: Box<Problem>,
        /// Seconds to wait, if the server named them.
        retry_after: Option<u64>,
    },
    /// The answer is well formed but makes no working wg-quick file.
    #[error("{server}: the answer makes no working tunnel: {why}; ask the operator")]
    Unusable { server: Server, why: &'static str },
    /// The signature that was just made does not verify.
    #[error("the new bundle does not verify; nothing was written")]
    Signature,
    /// A node would refuse the bundle.
    #[error("{}: a node would refuse it: {why}", path.display())]
    Bundle { path: PathBuf, why: String },
    /// The text is not a public key.
    #[error("the public key is not base64 of 32 bytes, as `mayfly node keys` prints it")]
    PublicKey,
    /// The system gave no random bytes, or no key could be made of them.
    #[error("the system gave no random numbers")]
    Random,
    /// The tokio runtime could not start.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}

impl Error {
    /// The exit status: a value of sysexits.h where one fits.
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

/// Makes one line of a problem document, whatever a server put into it.
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
