//! What is wrong with a settings text, and where.

use std::ops::Range;

/// A settings text that was refused. It prints as `file:line: what was expected`.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {expected}")]
pub struct SettingsError {
    file: String,
    line: usize,
    expected: String,
}

/// A value that has the right shape, but does not fit.
pub(super) struct Wrong {
    pub(super) span: Range<usize>,
    pub(super) expected: String,
}

/// The standard library says that an address is wrong. An operator wants to know what is right.
const ADDRESS_SHAPES: [(&str, &str); 3] = [
    (
        "invalid socket address syntax",
        "expected an address with a port, like 192.0.2.1:443 or [2001:db8::1]:443",
    ),
    (
        "invalid IP address syntax",
        "expected an address, like 192.0.2.1 or 2001:db8::1",
    ),
    (
        "invalid IPv4 address syntax",
        "expected an IPv4 address, like 192.0.2.1",
    ),
];

impl SettingsError {
    pub(super) fn syntax(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let message = error.message();
        let expected = ADDRESS_SHAPES
            .iter()
            .find(|(theirs, _)| message == *theirs)
            .map_or(message, |(_, shape)| shape);
        Self {
            file: file.to_owned(),
            line: error.span().map_or(1, |span| line_of(text, span.start)),
            expected: expected.replace('\n', ", "),
        }
    }

    pub(super) fn value(file: &str, text: &str, wrong: Wrong) -> Self {
        Self {
            file: file.to_owned(),
            line: line_of(text, wrong.span.start),
            expected: wrong.expected,
        }
    }
}

/// The number of the line that holds a byte. Lines are counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|&byte| byte == b'\n')
        .count()
}
