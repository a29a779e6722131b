//! Problem documents (RFC 9457): how our servers refuse a request.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Body of every answer that is not a success, as `application/problem+json`.
/// It names the rule that the request broke, and repeats nothing of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The reason's name, as a relative reference: `/problems/token-expired`.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The reason, for a person.
    pub title: Cow<'static, str>,
    /// The HTTP status, repeated.
    pub status: u16,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Cow<'static, str>>,
}

impl Problem {
    /// The media type of a problem document.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";

    /// A problem with a fixed name and title; `kind` begins with `/problems/`.
    pub const fn new(status: u16, kind: &'static str, title: &'static str) -> Self {
        Self {
            kind: Cow::Borrowed(kind),
            title: Cow::Borrowed(title),
            status,
            detail: None,
        }
    }

    /// The same problem with a text that says what to do.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}
