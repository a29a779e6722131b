//! `target/audit.html`: the same findings for somebody who has only a browser.
//!
//! One file that loads nothing: the policy line by line, what was found when, and RAM at
//! every reading with the needles in colour.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};

use super::map::colour;
use super::report::{Report, column};
use crate::tree;

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#17202a}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;\
border-bottom:1px solid #ddd;vertical-align:top}td.n,th.n{text-align:right}.good{color:#0a6b45}\
.bad{color:#b00020;font-weight:bold}.open{color:#777}svg{width:100%;display:block}\
figure{margin:1.5rem 0}.key span{display:inline-block;margin-right:1rem}\
.key i{display:inline-block;width:.8rem;height:.8rem;border-radius:50%;margin-right:.3rem}";

/// What the reader has to know before the tables.
const INTRODUCTION: &str = "<p>A VPN server was booted in a virtual machine, from the image that \
ships. A customer whose every secret is known to this experiment enrolled, connected, looked up a \
name and fetched a page. Then it left. The server's whole memory was read again and again, and \
searched for each secret: as it is, and as text, hexadecimal and base64.</p>\
<p>While the customer is connected, its secrets have to be found: a search that finds nothing \
then proves nothing later. A minute after it left, they have to be gone. After mere silence the \
enrolment stays until its token ends (the key, the pre-shared key, the ticket, the inner \
address), so that a phone that slept can come back.</p>";

/// Writes the file.
///
/// # Errors
/// It cannot be written.
pub fn write(report: &Report) -> Result<()> {
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
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Mayfly: does it \
         forget?</title>\n<style>{STYLE}</style>\n<h1>Does it forget?</h1>\n{INTRODUCTION}\n\
         <p class=\"{class}\">{verdict}</p>\n{}\n{}\n{}\n{}\n{}\n<h2>Repeat it</h2>\
         <p>On a Debian machine, as root, at commit <code>{commit}</code>: <code>cargo xtask \
         writes</code>, then <code>cargo xtask audit</code>.</p></html>\n",
        failures(report),
        promises(report),
        writes(report),
        hits(report),
        maps(report),
    )
}

fn failures(report: &Report) -> String {
    let lines = report.failures.iter();
    let lines: String = lines
        .map(|line| format!("<li>{}</li>", escape(line)))
        .collect();
    format!("<ul class=\"bad\">{lines}</ul>")
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
            "<tr><td>{}</td><td>{}</td><td class=\"{class}\">{}</td></tr>",
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
        "<h2>Attempts to write</h2><p>{} attempts from inside the server's confinement. {verdict}: \
         {}. With one layer of the confinement taken away:</p><ul>",
        writes.attempts,
        allowed.join(", ")
    );
    for (layer, back) in &writes.without {
        let _ = write!(
            text,
            "<li>without {}: {} come back</li>",
            escape(layer),
            back.len()
        );
    }
    text + "</ul>"
}

fn hits(report: &Report) -> String {
    let moments = report.moments();
    let head: String = moments
        .iter()
        .map(|moment| format!("<th class=\"n\">{}</th>", column(*moment)))
        .collect();
    let mut rows = String::new();
    for kind in report.kinds() {
        let cells: String = moments
            .iter()
            .map(|moment| format!("<td class=\"n\">{}</td>", report.cell(*moment, kind)))
            .collect();
        let _ = writeln!(rows, "<tr><td>{}</td>{cells}</tr>", kind.name());
    }
    format!(
        "<h2>What was found in memory</h2><p>How often each secret was there. An IPv4 address is \
         only four bytes, which turn up by chance: for those, behind the count, how often the bare \
         four bytes were there, and what 999 of 1,000 addresses that nobody has stay \
         within.</p><table><tr><th></th>{head}</tr>\n{rows}</table>"
    )
}

fn maps(report: &Report) -> String {
    let mut text =
        "<h2>Memory over time</h2><p>Each square is 32 KiB of the server's memory, dark \
                    if anything is in it; each dot, a secret of the customer's.</p>\
                    <p class=\"key\">"
            .to_owned();
    for kind in report.kinds() {
        let (colour, name) = (colour(kind), kind.name());
        let _ = write!(
            text,
            "<span><i style=\"background:{colour}\"></i>{name}</span>"
        );
    }
    text.push_str("</p>");
    for (moment, map) in &report.maps {
        let (moment, used) = (moment.name(), map.percent_used());
        let _ = writeln!(
            text,
            "<figure><figcaption>{moment}: {used} % of memory in use</figcaption>{}</figure>",
            map.draw()
        );
    }
    text
}

/// As HTML text.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::dump::Hits;
    use super::super::map::Map;
    use super::super::needle::{Kind, Needle};
    use super::super::report::Moment;
    use super::*;

    fn report() -> Report {
        let needle = Needle {
            kind: Kind::Page,
            forms: Vec::new(),
            bare: None,
        };
        let hits = Hits {
            full: 77,
            ..Hits::default()
        };
        let mut report = Report::new().unwrap();
        report.add(Moment::ReleasedAndAMinute, &[needle], &[hits]);
        let mut map = Map::of(&[1; 4096]);
        map.mark(Kind::Page, &[0]);
        report.map(Moment::ReleasedAndAMinute, map);
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
