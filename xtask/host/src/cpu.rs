//! How much CPU time something took.

use std::fs;

/// Seconds of CPU, in hundredths: what the kernel counts (proc(5), USER_HZ).
const TICK: f64 = 0.01;

/// CPU seconds of a process so far, all threads together; 0 if there is none.
pub fn of_process(pid: u32) -> f64 {
    ticks(&format!("/proc/{pid}/stat"), 11, 13)
}

/// CPU seconds of all children of this process that have ended and were waited for.
pub fn of_ended_children() -> f64 {
    ticks("/proc/self/stat", 13, 15)
}

/// CPU seconds that the machine was busy, interrupts included.
pub fn of_machine() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut words = stat.split_whitespace().skip(1);
    // user nice system idle iowait irq softirq
    let numbers: Vec<f64> = words
        .by_ref()
        .take(7)
        .filter_map(|word| word.parse().ok())
        .collect();
    match numbers[..] {
        [user, nice, system, _, _, irq, softirq] => (user + nice + system + irq + softirq) * TICK,
        _ => 0.0,
    }
}

fn ticks(path: &str, from: usize, to: usize) -> f64 {
    let stat = fs::read_to_string(path).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let sum: f64 = fields
        .split(' ')
        .skip(from)
        .take(to - from)
        .filter_map(|word| word.parse::<f64>().ok())
        .sum();
    sum * TICK
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The machine's time is sampled by ticks, a process's is not: they agree in the long run.
    #[test]
    fn work_is_counted() {
        const LONG: f64 = 5.0;
        let (own, machine) = (of_process(std::process::id()), of_machine());
        let worked = || of_process(std::process::id()) - own;
        let mut sum = 0_u64;
        while worked() < 0.05 || (of_machine() - machine < 0.05 && worked() < LONG) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(worked() < LONG, "{sum}");
    }
}
