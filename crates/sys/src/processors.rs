//! The processors of this process, and threads that keep to one.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::io;

/// The calling thread, or its process.
const SELF: Pid = Pid::from_raw(0);

/// Those that this process may use, `most` at most.
///
/// # Errors
/// The kernel does not say.
pub fn own(most: usize) -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(SELF)?;
    let own = (0..CpuSet::count()).filter(|&number| set.is_set(number) == Ok(true));
    Ok(own.take(most).collect())
}

/// Keeps the calling thread on one.
///
/// # Errors
/// There is no such processor any more.
pub fn keep_to(number: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(number)?;
    Ok(sched_setaffinity(SELF, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_to_its_processor_and_the_others_stay_free() {
        let all = own(usize::MAX).unwrap();
        let last = *all.last().unwrap();
        let kept = std::thread::spawn(move || {
            keep_to(last).unwrap();
            own(usize::MAX).unwrap()
        });
        assert_eq!(kept.join().unwrap(), [last]);
        assert_eq!(own(usize::MAX).unwrap(), all);
        assert_eq!(own(1).unwrap().len(), 1);
    }
}
