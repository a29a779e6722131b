//! What is wrong with a settings text, and where.

use std::ops::Range;

/// A settings text that was refused; prints as `file:line: what was expected`.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {expected}")]
pub struct SettingsError {
    file: String,
    line: usize,
    expected: String,
}

/// A value that has the right shape and does not fit.
pub(super) struct Wrong {
    pub span: Range<usize>,
    pub expected: String,
}

/// The standard library says what an address is not; an operator wants to know what it is.
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
            .find(|(said, _)| message == *said)
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

/// Number, from 1, of the line in which a byte stands.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|&byte| byte == b'\n')
        .count()
}
