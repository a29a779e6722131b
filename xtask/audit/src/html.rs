//! `target/audit.html`: the same findings for people who have only a browser.
//!
//! One file that loads nothing: the policy line by line, what was found when, and RAM at
//! every reading with the needles in colour.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};
use mayfly_host::tree;

use super::findings::{Load, Moment, Picture};
use super::map::colour;
use super::needle::Kind;
use super::report::Report;

const STYLE: &str = include_str!("page.css");

/// The introduction to the tables.
const INTRODUCTION: &str = "<p>Every VPN promises to keep no log. This page is about a promise that \
can be checked: an experiment that anyone can repeat on their own computer, with the commands at \
the end.</p>\
<p>The server was booted in virtual machines, from the image that ships. Customers whose every \
secret is known to this experiment enrolled, connected, looked up names and fetched pages, over \
the older and the newer internet protocol (IPv4, IPv6). Then they left: with a good-bye, or \
without, or because their server died. Again and again a machine was frozen, and its whole memory \
searched for each secret: as it is, and as text, hexadecimal and base64.</p>\
<p>While a customer is connected, the secrets have to be found, since a search that finds \
nothing then would prove nothing later. A minute after it left they have to be gone. After \
mere silence the enrolment stays until its token ends (its key, pre-shared key, ticket and inner \
address; not when it was used, nor from where), so that a phone that slept can come back.</p>";

/// Writes the file.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(report: &Report) -> Result<()> {
    fs::write(tree().join("target/audit.html"), page(report)).context("cannot write audit.html")
}

fn page(report: &Report) -> String {
    let (class, verdict) = if report.ok {
        (
            "good",
            "Nothing was remembered that should have been forgotten.",
        )
    } else {
        ("bad", "This node did not pass.")
    };
    let commit = escape(&report.commit);
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Mayfly: does it \
         forget?</title>\n<style>{STYLE}</style>\n<h1>Does it forget?</h1>\n{INTRODUCTION}\n\
         <p class=\"verdict {class}\">{verdict}</p>\n{}{}\n{}\n{}\n{}\n{}\n<h2>Repeat it</h2>\
         <p>On a Debian machine with Rust, as root, at commit <code>{commit}</code>: <code>cargo \
         xtask writes</code>, then <code>cargo xtask audit</code>. The same numbers for programs \
         are in <code>target/audit.json</code>.</p></html>\n",
        sums(report),
        failures(report),
        promises(report),
        pictures(report),
        hits(report),
        writes(report),
    )
}

/// The whole in four numbers.
fn sums(report: &Report) -> String {
    let count = |holds| {
        let promises = report.promises.iter();
        promises.filter(|promise| promise.holds == holds).count()
    };
    let readings: usize = report.pictures.iter().map(|(_, all)| all.len()).sum();
    format!(
        "<p class=\"sums\"><span><b class=\"good\">{}</b>promises hold</span><span><b \
         class=\"bad\">{}</b>do not hold</span><span><b class=\"open\">{}</b>were not \
         shown</span><span><b>{readings}</b>readings of memory</span></p>",
        count(Some(true)),
        count(Some(false)),
        count(None)
    )
}

fn failures(report: &Report) -> String {
    if report.failures.is_empty() {
        return String::new();
    }
    let lines = report.failures.iter();
    let lines: String = lines
        .map(|line| format!("<li>{}</li>", escape(line)))
        .collect();
    format!("<h3>What was wrong</h3><ul class=\"bad\">{lines}</ul>")
}

fn promises(report: &Report) -> String {
    let mut rows = String::new();
    for promise in &report.promises {
        let class = match promise.holds {
            Some(true) => "good",
            Some(false) => "bad",
            None => "open",
        };
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td class=\"result {class}\">{}</td></tr>",
            escape(promise.promise),
            escape(promise.experiment),
            promise.verdict()
        );
    }
    format!(
        "<h2>The policy, line by line</h2><table><tr><th>promise</th><th>experiment</th>\
         <th>result</th></tr>\n{rows}</table>"
    )
}

fn writes(report: &Report) -> String {
    let Some(writes) = &report.writes else {
        return String::new();
    };
    let allowed: Vec<_> = writes.allowed.iter().map(|name| escape(name)).collect();
    let verdict = if writes.ok {
        "All were refused but what the work needs"
    } else {
        "More came through than the work needs"
    };
    let mut text = format!(
        "<h2>Attempts to write</h2><p>{} ways to leave something behind were tried from inside the \
         server's confinement. {verdict}: {}. To show that the attempts are good ones, one layer of \
         the confinement was taken away at a time. This many then came through:</p>\
         <table class=\"bars\">",
        writes.attempts,
        allowed.join(", ")
    );
    for (layer, back) in &writes.without {
        let (count, percent) = (back.len(), back.len() * 85 / writes.attempts.max(1));
        let _ = write!(
            text,
            "<tr><td>without {}</td><td><i style=\"width:{percent}%\"></i>{count}</td></tr>",
            escape(layer)
        );
    }
    text + "</table>"
}

fn hits(report: &Report) -> String {
    let mut text = "<h2>What was found in memory</h2><p>How often each secret was there. An IPv4 \
        address is only four bytes, which turn up by chance: for those, behind the count, how \
        often the bare four bytes were there, and what 999 of 1,000 addresses of the same kind \
        that are not in use do not exceed.</p>"
        .to_owned();
    for (load, ip) in report.cases() {
        let moments = report.moments(load);
        let head: String = moments
            .iter()
            .map(|moment| format!("<th class=\"n\">{}</th>", moment.column()))
            .collect();
        let _ = write!(
            text,
            "<table><caption>{} node, customer over IPv{ip}</caption><tr><th></th>{head}</tr>",
            load.name()
        );
        for kind in report.kinds(load, ip) {
            let cells: String = moments
                .iter()
                .map(|moment| cell(report, load, ip, *moment, kind))
                .collect();
            let _ = writeln!(text, "<tr><td>{}</td>{cells}</tr>", kind.name());
        }
        text.push_str("</table>");
    }
    text
}

fn cell(report: &Report, load: Load, ip: u8, moment: Moment, kind: Kind) -> String {
    let Some(seen) = report.worst(load, ip, moment, kind) else {
        return "<td class=\"n\"></td>".to_owned();
    };
    let class = match (seen.is_remembered(), seen.is_found(), moment.is_late()) {
        (true, _, _) => "n bad",
        (_, true, true) => "n kept",
        (_, true, false) => "n there",
        _ => "n",
    };
    let bare = match (seen.bare_hits, seen.expected_by_chance) {
        (Some(bare), Some(chance)) => format!("<small>{bare} / {chance}</small>"),
        _ => String::new(),
    };
    format!("<td class=\"{class}\">{}{bare}</td>", seen.full_hits)
}

fn pictures(report: &Report) -> String {
    let mut text =
        "<h2>Memory over time</h2><p>Each picture is the whole memory of a server at one \
                    moment. A square is 32 KiB, dark if anything is in it; each dot is a secret of \
                    a customer's.</p>\
                    <p class=\"key\">"
            .to_owned();
    let kinds: BTreeSet<_> = report.ram.iter().map(|seen| seen.needle).collect();
    for kind in kinds {
        let (colour, name) = (colour(kind), kind.name());
        let _ = write!(
            text,
            "<span><i style=\"background:{colour}\"></i>{name}</span>"
        );
    }
    text.push_str("</p>");
    for (load, pictures) in &report.pictures {
        let _ = write!(text, "<h3>A {} node</h3><div class=\"time\">", load.name());
        for Picture { title, map } in pictures {
            let (used, marks) = (map.percent_used(), map.marks());
            let secrets = if marks == 1 { "secret" } else { "secrets" };
            let _ = writeln!(
                text,
                "<figure><figcaption><b>{title}</b><span>{used} % of memory in use, {marks} \
                 {secrets} found</span></figcaption>{}</figure>",
                map.draw()
            );
        }
        text.push_str("</div>");
    }
    text
}

/// Escapes text for HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::dump::{Hits, Reading};
    use super::super::enrolment::Ip;
    use super::super::findings::Findings;
    use super::super::needle::Needle;
    use super::*;

    fn report() -> Report {
        let needle = Needle {
            kind: Kind::Page,
            ip: Ip::V4,
            forms: Vec::new(),
            bare: None,
        };
        let hits = Hits {
            full: 77,
            ..Hits::default()
        };
        let mut reading = Reading::of(hits);
        reading.map.mark(Kind::Page, &[0]);
        let mut findings = Findings::new(Load::Quiet);
        findings.add(Moment::ReleasedAndAMinute, &[needle], reading);
        let mut report = Report::new().unwrap();
        report.add(findings);
        report.judge();
        report
    }

    #[test]
    fn what_was_remembered_stands_in_the_page_and_in_the_picture() {
        let page = page(&report());
        for part in ["did not pass", ">77<", "<circle", "DOES NOT HOLD"] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn what_was_not_shown_is_said_to_be_so() {
        assert!(page(&report()).contains("not shown"));
    }

    #[test]
    fn the_page_loads_nothing() {
        let page = page(&report());
        for word in ["http://", "https://", "src=", "href=", "url(", "@import"] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
