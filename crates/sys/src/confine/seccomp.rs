//! The system call filter (seccomp(2)).

use std::collections::BTreeMap;

use nix::errno::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::Failure;

/// One row of an allow table.
pub struct Allowed {
    /// The call's number, `libc::SYS_*`.
    pub call: libc::c_long,
    /// Arguments, counted from 0, with the only values that they may have, as 32-bit numbers.
    /// Several rows for one call are alternatives.
    pub only: &'static [(u8, u32)],
    /// What it is for.
    pub reason: &'static str,
}

impl Allowed {
    /// Allows a call with any arguments.
    pub const fn any(call: libc::c_long, reason: &'static str) -> Self {
        Self::only(call, &[], reason)
    }

    /// Allows a call if its arguments have these values.
    pub const fn only(
        call: libc::c_long,
        only: &'static [(u8, u32)],
        reason: &'static str,
    ) -> Self {
        Self { call, only, reason }
    }
}

/// What happens to a thread that makes another call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnViolation {
    /// The whole process dies by SIGSYS.
    Kill,
    /// The call fails with EPERM: for tests that count what is refused.
    Refuse,
}

/// Refuses a kernel that cannot filter calls, or cannot end a process for one.
pub(super) fn require() -> Result<(), Failure> {
    let action = libc::SECCOMP_RET_KILL_PROCESS;
    // SAFETY: the kernel reads the four bytes of `action`, which outlives the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::c_long::from(libc::SECCOMP_GET_ACTION_AVAIL),
            0 as libc::c_long,
            &raw const action,
        )
    };
    Errno::result(answer)
        .map(drop)
        .map_err(|_| Failure::Seccomp)
}

/// Translates a table for the kernel.
pub(super) fn compile(allowed: &[Allowed], violation: OnViolation) -> Result<BpfProgram, Failure> {
    translate(allowed, violation).map_err(|_| Failure::Seccomp)
}

fn translate(
    allowed: &[Allowed],
    violation: OnViolation,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let mut always = Vec::new();
    for row in allowed {
        let alternatives = rules.entry(row.call).or_default();
        if row.only.is_empty() {
            always.push(row.call);
        } else {
            alternatives.push(SeccompRule::new(conditions(row.only)?)?);
        }
    }
    // An empty list of alternatives allows any arguments.
    for call in always {
        rules.insert(call, Vec::new());
    }
    let otherwise = match violation {
        OnViolation::Kill => SeccompAction::KillProcess,
        OnViolation::Refuse => SeccompAction::Errno(libc::EPERM.cast_unsigned()),
    };
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, otherwise, SeccompAction::Allow, arch)?.try_into()
}

fn conditions(only: &[(u8, u32)]) -> Result<Vec<SeccompCondition>, seccompiler::BackendError> {
    let equal = |&(argument, value): &(u8, u32)| {
        let (length, equal) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq);
        SeccompCondition::new(argument, length, equal, u64::from(value))
    };
    only.iter().map(equal).collect()
}

/// Puts the filter on every thread of the process.
pub(super) fn apply(filter: &BpfProgram) -> Result<(), Failure> {
    seccompiler::apply_filter_all_threads(filter).map_err(|_| Failure::Seccomp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_compiles() {
        let table = [
            Allowed::any(libc::SYS_read, "input"),
            Allowed::only(libc::SYS_socket, &[(0, libc::AF_INET as u32)], "TCP"),
        ];
        let filter = compile(&table, OnViolation::Kill).unwrap();
        assert!(!filter.is_empty());
    }
}
