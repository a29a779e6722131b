//! Words that a program would log. A program that cannot log does not contain them.
//!
//! A log call that is compiled out leaves no text behind, so anyone can check with `strings` that
//! there is none. The words are those of the libraries: the project's own shipped crates make no
//! log call.

/// Words of log calls, each with the package that has it in its source.
const LOG_WORDS: [(&str, &str); 23] = [
    ("boringtun", "Sending handshake_initiation"),
    ("boringtun", "Received handshake_initiation"),
    ("boringtun", "Sending handshake_response"),
    ("boringtun", "Received handshake_response"),
    ("boringtun", "Received cookie_reply"),
    ("boringtun", "Sending keepalive"),
    ("boringtun", "New session"),
    ("boringtun", "HANDSHAKE(REKEY_TIMEOUT)"),
    ("boringtun", "KEEPALIVE(PERSISTENT_KEEPALIVE)"),
    ("boringtun", "CONNECTION_EXPIRED(REJECT_AFTER_TIME * 3)"),
    ("rustls", "we got a clienthello"),
    ("rustls", "decided upon suite"),
    ("rustls", "sending server hello"),
    ("rustls", "sending certificate-verify"),
    ("rustls", "client CertificateVerify OK"),
    ("rustls", "Resuming connection"),
    ("rustls", "Ticket received"),
    ("rustls", "Session saved"),
    ("tungstenite", "Received close frame"),
    ("tungstenite", "Client handshake done"),
    ("hyper", "incoming body is"),
    ("netlink-proto", "forwarding unsolicited messages"),
    ("ureq", "Resolved: "),
];

/// Destinations of log lines.
const LOGS: [&str; 3] = ["syslog", "/dev/log", "/dev/kmsg"];

/// Those of all these words that a program contains.
pub fn log_words(program: &[u8]) -> Vec<&'static str> {
    let words = LOG_WORDS.iter().map(|(_, word)| *word).chain(LOGS);
    let holds = |word: &&str| {
        program
            .windows(word.len())
            .any(|part| part == word.as_bytes())
    };
    words.filter(holds).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::*;
    use mayfly_host::tree;

    #[test]
    fn a_word_is_found_wherever_it_stands() {
        assert_eq!(
            log_words(b"\x7fELF..New session..syslog"),
            ["New session", "syslog"]
        );
        assert!(log_words(b"\x7fELF..a new session..SYSLOG").is_empty());
    }

    /// Otherwise the search would look for words that no library has.
    #[test]
    fn every_word_stands_in_the_source_of_its_package() {
        let metadata = Command::new(env!("CARGO"))
            .args(["metadata", "--locked", "--offline", "--format-version=1"])
            // The source of what is built exists here; that of crates for other systems may not.
            .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
            .current_dir(tree())
            .output()
            .unwrap();
        let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        for (name, word) in LOG_WORDS {
            let mut of_it = packages.iter().filter(|package| package["name"] == name);
            let says = of_it.any(|package| {
                let manifest = Path::new(package["manifest_path"].as_str().unwrap());
                says(manifest.parent().unwrap().join("src"), word)
            });
            assert!(says, "{name}: {word}");
        }
    }

    fn says(path: PathBuf, word: &str) -> bool {
        if path.is_dir() {
            let mut entries = fs::read_dir(path).unwrap();
            return entries.any(|entry| says(entry.unwrap().path(), word));
        }
        fs::read_to_string(path).is_ok_and(|source| source.contains(word))
    }
}
