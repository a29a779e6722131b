//! A reading of RAM as a picture: what is in use, and where needles are.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::needle::Kind;

/// Bytes of RAM in one square of the picture.
pub(crate) const CELL: usize = 32 * 1024;
/// Squares in a row.
const COLUMNS: usize = 128;
/// Squares above the first row and below the last, so that a mark at the edge is whole.
const MARGIN: usize = 1;

/// One reading of RAM.
#[derive(Debug)]
pub struct Map {
    used: Vec<bool>,
    marks: BTreeMap<(usize, Kind), usize>,
}

impl Map {
    /// A picture of the parts that are not zero, without needles.
    pub fn of(ram: &[u8]) -> Self {
        let used = ram.chunks(CELL);
        let used = used.map(|cell| cell.iter().any(|byte| *byte != 0));
        Self {
            used: used.collect(),
            marks: BTreeMap::new(),
        }
    }

    /// Marks where a needle was found, in bytes from the beginning.
    pub fn mark(&mut self, kind: Kind, places: &[usize]) {
        for place in places {
            *self.marks.entry((place / CELL, kind)).or_default() += 1;
        }
    }

    /// How much of RAM is not zero, in per cent.
    pub fn percent_used(&self) -> usize {
        let used = self.used.iter().filter(|used| **used).count();
        used * 100 / self.used.len().max(1)
    }

    /// How many needles were found.
    pub fn marks(&self) -> usize {
        self.marks.values().sum()
    }

    /// Draws it as SVG, one unit a square, needles in the colours of [`colour`].
    pub fn draw(&self) -> String {
        let height = self.used.len().div_ceil(COLUMNS) + 2 * MARGIN;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {COLUMNS} {height}\" role=\"img\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#f4f1ea\"/>\n\
             <path fill=\"#cdc7ba\" d=\""
        );
        for (row, cells) in self.used.chunks(COLUMNS).enumerate() {
            for (column, length) in runs(cells) {
                let y = row + MARGIN;
                let _ = write!(svg, "M{column} {y}h{length}v1h-{length}z");
            }
        }
        svg.push_str("\"/>\n");
        for ((cell, kind), count) in &self.marks {
            let (x, y) = spot(*cell, *kind);
            let _ = writeln!(
                svg,
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"0.7\" fill=\"{}\" fill-opacity=\"0.85\">\
                 <title>{}, {count} times within 32 KiB</title></circle>",
                colour(*kind),
                kind.name()
            );
        }
        svg + "</svg>"
    }
}

/// The place of a kind's mark, beside those of other kinds in the same square.
fn spot(cell: usize, kind: Kind) -> (f64, f64) {
    let (column, row) = (kind as usize % 4, kind as usize / 4);
    let aside = |place: usize| (place as f64 - 1.5) * 0.5;
    let x = (cell % COLUMNS) as f64 + 0.5 + aside(column);
    let y = (cell / COLUMNS + MARGIN) as f64 + 0.5 + aside(row);
    (x, y)
}

/// The colour of a kind of needle.
pub(crate) fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Endpoint => "#d7263d",
        Kind::SessionKeys => "#00a6fb",
        Kind::Tls => "#8c6a9c",
        Kind::Connection => "#e8751a",
        Kind::Visited => "#b5179e",
        Kind::Name => "#0a8754",
        Kind::Page => "#2a6fdb",
        Kind::PublicKey => "#7a5c00",
        Kind::PresharedKey => "#3c1642",
        Kind::Ticket => "#1b7f79",
        Kind::Token => "#5e7c16",
        Kind::InnerAddress => "#17202a",
        Kind::Typed => "#ff5da2",
    }
}

/// Squares in use that lie side by side: the first, and how many.
fn runs(cells: &[bool]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (column, _) in cells.iter().enumerate().filter(|(_, used)| **used) {
        match runs.last_mut() {
            Some((first, length)) if *first + *length == column => *length += 1,
            _ => runs.push((column, 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_in_use_are_joined_side_by_side() {
        assert_eq!(runs(&[true, true, false, true]), [(0, 2), (3, 1)]);
    }

    #[test]
    fn a_needle_is_drawn_in_its_own_square_and_colour() {
        let mut ram = vec![0; CELL * (COLUMNS + 3)];
        ram[CELL * (COLUMNS + 2)] = 1;
        let mut map = Map::of(&ram);
        map.mark(Kind::Page, &[CELL * (COLUMNS + 2)]);
        let svg = map.draw();
        assert!(svg.contains("M2 2h1v1h-1z"), "{svg}");
        let mark = format!("r=\"0.7\" fill=\"{}\"", colour(Kind::Page));
        assert!(svg.contains(&mark), "{svg}");
        let (x, y) = spot(COLUMNS + 2, Kind::Page);
        assert!((x - 2.5).abs() < 1.0 && (y - 2.5).abs() < 1.0, "{x} {y}");
    }
}
