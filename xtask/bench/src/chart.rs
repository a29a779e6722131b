//! The costs by server as bars, in SVG.

use std::fmt::Write as _;

use super::report::Report;

const COLOURS: [&str; 6] = [
    "#1b7f79", "#c8553d", "#e0a458", "#6a7fa8", "#8c6a9c", "#7d7d7d",
];
const WIDTH: f64 = 860.0;
const LEFT: f64 = 190.0;
const BAR: f64 = 12.0;
const GAP: f64 = 14.0;
const TOP: f64 = 56.0;

/// Draws every test that is measured in CPU seconds a gigabyte, servers in the order given.
pub(crate) fn draw(report: &Report, order: &[String]) -> String {
    let tests: Vec<_> = report
        .tests
        .iter()
        .filter(|(_, test)| test.unit == "CPU-s/GB")
        .collect();
    let most = tests
        .iter()
        .flat_map(|(_, test)| test.servers.values())
        .map(|figures| figures.median)
        .fold(1.0, f64::max);
    let group = BAR * order.len() as f64 + GAP;
    let height = TOP + group * tests.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"8\" y=\"18\" font-size=\"14\">CPU seconds of the server for a gigabyte \
         of payload, median</text>\n"
    );
    for (number, (name, colour)) in order.iter().zip(COLOURS).enumerate() {
        let x = 8.0 + 150.0 * number as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"28\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"37\">{name}</text>",
            x + 15.0
        );
    }
    for (row, (id, test)) in tests.iter().enumerate() {
        let y = TOP + group * row as f64;
        let middle = y + (group - GAP) / 2.0 + 4.0;
        let _ = writeln!(svg, "<text x=\"8\" y=\"{middle}\">{id}</text>");
        for (number, (name, colour)) in order.iter().zip(COLOURS).enumerate() {
            let Some(figures) = test.servers.get(name) else {
                continue;
            };
            let width = figures.median / most * (WIDTH - LEFT - 60.0);
            let y = y + BAR * number as f64;
            let _ = writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" \
                 fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\">{:.2}</text>",
                BAR - 2.0,
                LEFT + width + 4.0,
                y + BAR - 3.0,
                figures.median
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}
