//! The image that boots in a lab, with the lab's addresses on its command line.

use std::time::Instant;

use anyhow::Result;
use mayfly_host::progress::{say, seconds};
use mayfly_host::{process, teardown};
use mayfly_image::{Image, Profile};

use crate::network::{BUNDLE_AT, NODE, OPERATOR};
use crate::operator::BundleKey;

/// The image for nodes of a lab whose settings `key` signs.
///
/// # Errors
/// It does not build.
pub fn build(profile: Profile, key: &BundleKey) -> Result<Image> {
    build_with(profile, key, "")
}

/// The same with more words on the kernel's command line, where a later word overrides an earlier
/// one.
///
/// # Errors
/// As [`build`].
pub fn build_with(profile: Profile, key: &BundleKey, words: &str) -> Result<Image> {
    let started = Instant::now();
    let options = mayfly_image::Options {
        profile,
        bundle_key: mayfly_image::parse_bundle_key(&key.public)?,
        least_serial: 0,
        kernel_words: words.to_owned(),
        command_line: format!(
            "mayfly.address={NODE}/24 mayfly.gateway={OPERATOR} \
             mayfly.bundle=http://{BUNDLE_AT}/node.bundle"
        ),
        from_nothing: false,
        out: teardown::runs().join(format!("image-{}{words}", profile.name())),
    };
    let image = process::interruptible(|| mayfly_image::build(&options))?;
    say(&format!(
        "the image is built, {}",
        seconds(started.elapsed())
    ));
    Ok(image)
}
