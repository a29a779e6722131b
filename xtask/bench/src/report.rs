//! `target/bench.json`, and the table.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};
use mayfly_host::progress::say;
use mayfly_host::tree;
use serde::Serialize;

use super::chart;
use super::floor::Units;
use super::kinds::Kind;
use super::load::Cost;

/// The whole file.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: u32,
    commit: String,
    ok: bool,
    failures: Vec<String>,
    /// By the test's id.
    pub tests: BTreeMap<String, Test>,
    /// By server and the test's id: its cost divided by ours.
    ratios: BTreeMap<String, BTreeMap<String, f64>>,
    /// The same for the whole machine's busy time, where that is measured.
    machine_ratios: BTreeMap<String, BTreeMap<String, f64>>,
    /// By the test's id: our cost divided by the machine's floor.
    floor: BTreeMap<String, f64>,
    /// What the floor is made of.
    floor_costs: Option<FloorCosts>,
    machine: Machine,
    #[serde(skip)]
    floors: Vec<Units>,
    #[serde(skip)]
    versions: BTreeMap<String, String>,
    #[serde(skip)]
    order: Vec<String>,
}

/// One test.
#[derive(Debug, Serialize)]
pub(crate) struct Test {
    /// `CPU-s/GB`, `CPU-us/packet`, `ms`, `MiB`, ...
    pub unit: &'static str,
    /// By name.
    pub servers: BTreeMap<String, Figures>,
}

/// A server's figures in one test.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    version: String,
    /// One value for each turn.
    raw: Vec<f64>,
    /// The median of those.
    pub median: f64,
    min: f64,
    max: f64,
    /// Median of the whole machine's busy time, in the same unit.
    machine: Option<f64>,
    /// Median of what came through.
    bits_per_s: Option<f64>,
    /// Median share of datagrams lost.
    lost: Option<f64>,
    #[serde(skip)]
    costs: Vec<Cost>,
}

/// The cipher and the kernel's part, with every offload and full trains.
#[derive(Debug, Serialize)]
struct FloorCosts {
    /// CPU seconds for a gigabyte of TCP payload over IPv4.
    up: f64,
    down: f64,
    /// Nanoseconds a full packet, medians of the turns: up is open, `udp_receive` and
    /// `tun_write`, down is `tun_read`, seal and `udp_send`.
    units: Units,
}

#[derive(Debug, Serialize)]
struct Machine {
    cores: usize,
    kernel: String,
    /// Whether the links segment trains of UDP datagrams themselves, in tests whose id does not end in
    /// `-nouso`.
    uso: bool,
}

impl Report {
    /// An empty report.
    ///
    /// # Errors
    /// git does not say which commit this is.
    pub(crate) fn new(kinds: &[Kind]) -> Result<Self> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let version = |kind: &Kind| (kind.name().to_owned(), kind.version.clone());
        Ok(Self {
            schema: 1,
            commit: mayfly_host::commit()?,
            ok: true,
            failures: Vec::new(),
            tests: BTreeMap::new(),
            ratios: BTreeMap::new(),
            machine_ratios: BTreeMap::new(),
            floor: BTreeMap::new(),
            floor_costs: None,
            machine: Machine {
                cores: std::thread::available_parallelism().map_or(1, usize::from),
                kernel: kernel.trim().to_owned(),
                uso: true,
            },
            floors: Vec::new(),
            versions: kinds.iter().map(version).collect(),
            order: kinds.iter().map(|kind| kind.name().to_owned()).collect(),
        })
    }

    /// Adds one run.
    pub(crate) fn add(&mut self, id: &str, unit: &'static str, kind: &Kind, cost: &Cost) {
        let test = self.tests.entry(id.to_owned()).or_insert_with(|| Test {
            unit,
            servers: BTreeMap::new(),
        });
        let version = self.versions.get(kind.name()).cloned().unwrap_or_default();
        let figures = test
            .servers
            .entry(kind.name().to_owned())
            .or_insert_with(|| Figures {
                version,
                ..Figures::default()
            });
        figures.costs.push(*cost);
        figures.reckon();
    }

    /// Notes what could not be measured.
    pub(crate) fn fail(&mut self, what: String) {
        self.failures.push(what);
        self.ok = false;
    }

    /// What could not be measured.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Adds what the floor is in one turn.
    pub(crate) fn add_floor(&mut self, units: Units) {
        self.floors.push(units);
    }

    /// Writes the report and the chart.
    ///
    /// # Errors
    /// They cannot be written.
    pub(crate) fn write(&mut self) -> Result<()> {
        self.compare();
        let target = tree().join("target");
        let text = serde_json::to_string_pretty(self).context("no JSON")?;
        fs::write(target.join("bench.json"), text + "\n").context("cannot write bench.json")?;
        let chart = chart::draw(self, &self.order);
        fs::write(target.join("bench.svg"), chart).context("cannot write bench.svg")
    }

    fn compare(&mut self) {
        let units = Units::medians(&self.floors);
        self.floor_costs = units.map(|units| FloorCosts {
            up: units.up(false),
            down: units.down(false),
            units,
        });
        for (id, test) in &self.tests {
            let Some(mayfly) = test.servers.get("mayfly") else {
                continue;
            };
            let ours = mayfly.median;
            for (name, figures) in test.servers.iter().filter(|(name, _)| *name != "mayfly") {
                let ratios = self.ratios.entry(name.clone()).or_default();
                let ratio = dearer(test.unit, figures.median, ours);
                ratios.insert(id.clone(), ratio);
                // Other work on the machine can outweigh it; then it is meaningless.
                let machine = |of: &Figures| of.machine.filter(|busy| *busy > 0.0);
                if let (Some(its), Some(ours)) = (machine(figures), machine(mayfly)) {
                    let ratios = self.machine_ratios.entry(name.clone()).or_default();
                    ratios.insert(id.clone(), its / ours);
                }
            }
            if let Some(units) = units.filter(|_| test.unit == "CPU-s/GB") {
                let v6 = id.contains("-v6");
                let floor = if id.contains("-down") {
                    units.down(v6)
                } else {
                    units.up(v6)
                };
                self.floor.insert(id.clone(), ours / floor);
            }
        }
    }

    /// Prints the table: medians, and the ratio of the others' costs to ours, by the server's time
    /// and by the whole machine's.
    pub(crate) fn print(&self) {
        let columns: String = self
            .order
            .iter()
            .map(|name| format!("{name:>22}"))
            .collect();
        say(&format!(
            "\n{:<22}{:<14}{columns}{:>12}",
            "", "unit", "over floor"
        ));
        for (id, test) in &self.tests {
            let cells: String = self
                .order
                .iter()
                .map(|name| self.cell(id, test, name))
                .collect();
            let floor = self.floor.get(id);
            let floor = floor.map_or(String::new(), |ratio| format!("{ratio:.2}x"));
            say(&format!("{id:<22}{:<14}{cells}{floor:>12}", test.unit));
        }
        if let Some(costs) = &self.floor_costs {
            say(&format!(
                "the floor of this machine: {:.2} CPU-s/GB up, {:.2} down",
                costs.up, costs.down
            ));
        }
    }

    fn cell(&self, id: &str, test: &Test, name: &str) -> String {
        let Some(figures) = test.servers.get(name) else {
            return format!("{:>22}", "-");
        };
        let of = |ratios: &BTreeMap<String, BTreeMap<String, f64>>| {
            let ratio = ratios.get(name)?.get(id)?;
            Some(format!("{ratio:.1}x"))
        };
        let ratios: Vec<_> = [of(&self.ratios), of(&self.machine_ratios)]
            .into_iter()
            .flatten()
            .collect();
        let mut cell = format!("{:.2}", figures.median);
        if !ratios.is_empty() {
            cell.push_str(&format!(" ({})", ratios.join(", ")));
        }
        format!("{cell:>22}")
    }
}

impl Figures {
    fn reckon(&mut self) {
        self.raw = self.costs.iter().map(|cost| cost.value).collect();
        self.median = median(self.raw.iter().copied()).unwrap_or_default();
        self.min = self.raw.iter().copied().fold(f64::INFINITY, f64::min);
        self.max = self.raw.iter().copied().fold(0.0, f64::max);
        let of = |part: fn(&Cost) -> Option<f64>| median(self.costs.iter().filter_map(part));
        self.machine = of(|cost| cost.machine);
        self.bits_per_s = of(|cost| cost.bits_per_s);
        self.lost = of(|cost| cost.lost);
    }
}

/// The ratio of its cost to ours. For a rate it is inverted, since more is better.
fn dearer(unit: &str, its: f64, ours: f64) -> f64 {
    if unit.ends_with("/s") {
        ours / its
    } else {
        its / ours
    }
}

/// The middle one, or the mean of the middle two.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some((values.get(low)? + values.get(high)?) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_more_a_second_is_not_the_dearer_one() {
        assert!(dearer("handshakes/s", 1_000.0, 2_000.0) > 1.0);
        assert!(dearer("CPU-s/GB", 1.0, 2.0) < 1.0);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([]), None);
    }
}
