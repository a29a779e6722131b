//! A USB keyboard that types a word into a machine whose kernel has no driver for it.

use std::time::Duration;

use anyhow::Result;
use mayfly_lab::web::random_page;
use serde_json::json;

use super::qmp::Qmp;

/// Letters of the word.
const LETTERS: usize = 24;
/// This many of them in a row count as a hit.
const WINDOW: usize = 8;
/// How long a key is held, in milliseconds.
const HOLD: u64 = 5;

/// A random word of small letters.
///
/// # Errors
/// The kernel gives no randomness.
pub(crate) fn word() -> Result<String> {
    let bytes = random_page(LETTERS)?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(b'a' + byte % 26))
        .collect())
}

/// Attaches a keyboard and types the word.
///
/// # Errors
/// QEMU refuses.
pub(crate) fn type_on(qmp: &Qmp, word: &str) -> Result<()> {
    let device = json!({ "driver": "usb-kbd", "id": "keyboard", "bus": "usb.0" });
    qmp.ask("device_add", device)?;
    for letter in word.chars() {
        let key = json!({ "type": "qcode", "data": letter.to_string() });
        qmp.ask("send-key", json!({ "keys": [key], "hold-time": HOLD }))?;
    }
    // Each letter down and up, one after the other.
    std::thread::sleep(Duration::from_millis(2 * HOLD * LETTERS as u64));
    Ok(())
}

/// Whether no driver has given it an address on its bus (USB 2.0 section 9.1.1.4). Without one,
/// what is typed reaches no one.
///
/// # Errors
/// QEMU does not say.
pub(crate) fn is_unbound(qmp: &Qmp) -> Result<bool> {
    let line = json!({ "command-line": "info usb" });
    let said = qmp.ask("human-monitor-command", line)?;
    Ok(has_no_address(said.as_str().unwrap_or_default()))
}

/// `Device BUS.ADDRESS, Port N, ..., ID: keyboard`
fn has_no_address(said: &str) -> bool {
    let keyboard = said.lines().find(|line| line.contains("ID: keyboard"));
    let address = keyboard.and_then(|line| {
        let numbers = line.trim_start().strip_prefix("Device ")?;
        numbers.split(',').next()?.split('.').nth(1)
    });
    address == Some("0")
}

/// Any part of the word: as text, as the codes in a keyboard's reports (HID usage tables, section
/// 10: a is 4), in a row or in reports of 8 bytes with empty ones between, and as scan codes.
pub(crate) fn forms(word: &str) -> Vec<Vec<u8>> {
    let letters: Vec<_> = word.bytes().collect();
    let windows = letters.windows(WINDOW);
    windows
        .flat_map(|part| {
            let usages: Vec<_> = part.iter().map(|letter| letter - b'a' + 4).collect();
            let reports = usages.iter().flat_map(|usage| {
                let mut report = [0; 16];
                report[2] = *usage;
                report
            });
            let scan = part.iter().filter_map(|letter| scan_code(*letter));
            let both_ways = scan.clone().flat_map(|code| [code, code | 0x80]);
            [
                part.to_vec(),
                usages.clone(),
                reports.collect(),
                scan.clone().collect(),
                both_ways.collect(),
            ]
        })
        .collect()
}

/// Set 1 of the scan codes, row by row. Linux uses the same numbers for keys.
fn scan_code(letter: u8) -> Option<u8> {
    const ROWS: [(&[u8], u8); 3] = [(b"qwertyuiop", 16), (b"asdfghjkl", 30), (b"zxcvbnm", 44)];
    ROWS.iter().find_map(|(row, first)| {
        let place = row.iter().position(|other| *other == letter)?;
        Some(first + u8::try_from(place).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_searched_for_in_every_writing_of_a_keyboard() {
        let forms = forms("abcdefgh");
        assert!(forms.contains(&b"abcdefgh".to_vec()));
        assert!(forms.contains(&vec![4, 5, 6, 7, 8, 9, 10, 11]));
        assert!(forms.contains(&vec![30, 48, 46, 32, 18, 33, 34, 35]));
    }

    #[test]
    fn a_keyboard_that_a_driver_has_bound_has_an_address() {
        let line = |address| {
            format!(
                "  Device 0.{address}, Port 1, Speed 480 Mb/s, Product QEMU USB Keyboard, \
                 ID: keyboard\r\n"
            )
        };
        assert!(has_no_address(&line(0)));
        assert!(!has_no_address(&line(1)));
        assert!(!has_no_address(""));
    }
}
