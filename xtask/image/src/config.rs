//! Kernel configuration: the fragments' demands, and the check that the result meets them.
//!
//! Kconfig drops options whose dependencies are missing and adds options that others select, both
//! almost silently. So every line of a fragment is compared with the final configuration.

use std::fmt;
use std::fs;

use anyhow::{Context as _, Result, bail};
use mayfly_host::tree;

use super::Profile;

/// One line of a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Demand {
    /// `CONFIG_X=value`
    Set { option: String, value: String },
    /// `# CONFIG_X is not set`
    Unset { option: String },
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { option, value } => write!(f, "{option}={value}"),
            Self::Unset { option } => write!(f, "# {option} is not set"),
        }
    }
}

/// All demands on the kernel of `profile`, in the order of the fragments.
///
/// # Errors
/// A fragment that cannot be read, or a line that is neither demand, comment nor empty.
pub(crate) fn demands(profile: Profile) -> Result<Vec<Demand>> {
    let mut demands = Vec::new();
    for fragment in [
        "core",
        "net",
        "virt",
        "baremetal",
        "single-file",
        profile.kernel(),
    ] {
        let name = format!("image/kernel/{fragment}.config");
        let text = fs::read_to_string(tree().join(&name))
            .with_context(|| format!("cannot read {name}"))?;
        for (number, line) in (1..).zip(text.lines()) {
            demands.extend(parse(line).with_context(|| format!("{name}:{number}"))?);
        }
    }
    Ok(demands)
}

/// What `make` reads: the demands without their reasons.
pub(crate) fn to_text(demands: &[Demand]) -> String {
    demands.iter().map(|demand| format!("{demand}\n")).collect()
}

/// Compares the final configuration with the demands.
///
/// # Errors
/// Names every option that is missing and every forbidden one that is there.
pub(crate) fn check(demands: &[Demand], config: &str) -> Result<()> {
    let is_set = |option: &str| {
        config
            .lines()
            .find_map(|line| line.strip_prefix(option)?.strip_prefix('='))
    };
    let unheard: Vec<String> = demands
        .iter()
        .filter_map(|demand| match demand {
            Demand::Set { option, value } => match is_set(option) {
                Some(found) if found == value => None,
                Some(found) => Some(format!("{option} is {found}, not {value}")),
                None => Some(format!("{option} is missing")),
            },
            Demand::Unset { option } => {
                is_set(option).map(|found| format!("{option} is forbidden, but {found}"))
            }
        })
        .collect();
    if unheard.is_empty() {
        return Ok(());
    }
    bail!(
        "the kernel's configuration is not what image/kernel demands:\n  {}",
        unheard.join("\n  ")
    )
}

fn parse(line: &str) -> Result<Option<Demand>> {
    if let Some(option) = line
        .strip_prefix("# ")
        .and_then(|rest| rest.strip_suffix(" is not set"))
        .filter(|option| option.starts_with("CONFIG_"))
    {
        let option = option.to_owned();
        return Ok(Some(Demand::Unset { option }));
    }
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    match line.split_once('=') {
        Some((option, value)) if option.starts_with("CONFIG_") => Ok(Some(Demand::Set {
            option: option.to_owned(),
            value: value.to_owned(),
        })),
        _ => bail!("expected CONFIG_X=value or `# CONFIG_X is not set`, found: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(line: &str) -> Demand {
        parse(line).unwrap().unwrap()
    }

    #[test]
    fn an_option_that_kconfig_dropped_fails_the_build() {
        let demands = [demand("CONFIG_TUN=y"), demand("CONFIG_NR_CPUS=512")];
        check(&demands, "CONFIG_TUN=y\nCONFIG_NR_CPUS=512\n").unwrap();
        let refusal = check(&demands, "CONFIG_NR_CPUS=64\nCONFIG_TUNNEL=y\n")
            .unwrap_err()
            .to_string();
        assert!(refusal.contains("CONFIG_TUN is missing"), "{refusal}");
        assert!(refusal.contains("CONFIG_NR_CPUS is 64"), "{refusal}");
    }

    #[test]
    fn an_option_that_kconfig_brought_back_fails_the_build() {
        let demands = [demand("# CONFIG_MEMFD_CREATE is not set")];
        check(&demands, "# CONFIG_MEMFD_CREATE is not set\n").unwrap();
        check(&demands, "CONFIG_MEMFD=y\n").unwrap();
        let refusal = check(&demands, "CONFIG_MEMFD_CREATE=y\n").unwrap_err();
        assert!(refusal.to_string().contains("CONFIG_MEMFD_CREATE"));
    }

    #[test]
    fn a_reason_is_no_demand_and_a_slip_is_no_reason() {
        assert_eq!(parse("# Nothing is set here by chance.").unwrap(), None);
        assert_eq!(parse("").unwrap(), None);
        assert!(parse("CONFG_TUN=y").is_err());
    }

    #[test]
    fn no_two_fragments_contradict_each_other() {
        for profile in [Profile::Sealed, Profile::Dev] {
            let demands = demands(profile).unwrap();
            check(&demands, &to_text(&demands)).unwrap();
        }
    }
}
