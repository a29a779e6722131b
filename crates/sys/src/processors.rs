//! The processors of this process, and how to keep a thread on one.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::io;

/// The calling thread.
const SELF: Pid = Pid::from_raw(0);

/// The processors that the calling thread may use, up to `limit` of them.
///
/// # Errors
/// The kernel does not answer.
pub fn own(limit: usize) -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(SELF)?;
    let own = (0..CpuSet::count()).filter(|&number| set.is_set(number) == Ok(true));
    Ok(own.take(limit).collect())
}

/// Keeps the calling thread on one processor.
///
/// # Errors
/// There is no such processor.
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
