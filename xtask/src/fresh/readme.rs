//! The commands of the README, which are the list of what `fresh` runs.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use mayfly_host::tree;

/// How a command stands in the README, as code that is set apart.
const INDENT: &str = "    ";
const CARGO: &str = "cargo xtask ";
/// Left out: it would run itself.
const OWN: &str = "cargo xtask fresh";
/// What a stranger tries first comes first, with no cache at all.
const FIRST: [&str; 2] = ["cargo xtask run", "cargo xtask test"];
/// What the README leaves to the reader, and what stands for it here: any 32 bytes in base64.
const STAND_INS: [(&str, &str); 1] = [(
    "<public key>",
    "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
)];

/// The commands, or those of them that have one of the words `only` in them.
///
/// # Errors
/// There is none.
pub(super) fn commands(only: &[String]) -> Result<Vec<String>> {
    let text = fs::read_to_string(tree().join("README.md")).context("cannot read README.md")?;
    let mut commands = of(&text);
    commands.retain(|command| only.is_empty() || only.iter().any(|words| command.contains(words)));
    ensure!(
        !commands.is_empty(),
        "the README has no command with these words; it has: {}",
        of(&text).join("; ")
    );
    Ok(commands)
}

fn of(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(INDENT));
    let commands = lines.filter(|line| line.starts_with(CARGO) && !line.starts_with(OWN));
    let mut commands: Vec<_> = commands.map(without_comment).map(filled_in).collect();
    let rank = |command: &String| {
        let mut first = FIRST.iter();
        first
            .position(|first| command.starts_with(first))
            .unwrap_or(FIRST.len())
    };
    // Stable: the others stay in the README's order.
    commands.sort_by_key(rank);
    commands
}

fn without_comment(line: &str) -> String {
    let (command, _) = line.split_once(" #").unwrap_or((line, ""));
    command.trim_end().to_owned()
}

fn filled_in(command: String) -> String {
    let fill = |command: String, (what, with): &(&str, &str)| command.replace(what, with);
    STAND_INS.iter().fold(command, fill)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_of_the_readme_is_run_and_none_is_left_to_the_reader() {
        let text = fs::read_to_string(tree().join("README.md")).unwrap();
        let commands = commands(&[]).unwrap();
        let in_readme = text.lines().filter(|line| {
            line.starts_with(|first: char| first.is_whitespace())
                && line.trim_start().starts_with(CARGO)
                && !line.trim_start().starts_with(OWN)
        });
        assert_eq!(commands.len(), in_readme.count(), "{commands:?}");
        assert!(commands[0].starts_with(FIRST[0]) && commands[1].starts_with(FIRST[1]));
        for command in commands {
            assert!(!command.contains(['<', '>', '#']), "{command}");
        }
        assert!(
            !text.contains("```"),
            "commands are set apart by four spaces"
        );
    }

    #[test]
    fn a_command_is_what_stands_before_its_comment() {
        let text = "    cargo xtask bench   # long\n\
                    \x20   cargo xtask fresh\n\
                    `cargo xtask fuzz`\n\
                    \x20   cargo xtask test\n\
                    \x20   cargo xtask run --once\n";
        assert_eq!(
            of(text),
            [
                "cargo xtask run --once",
                "cargo xtask test",
                "cargo xtask bench"
            ]
        );
    }
}
