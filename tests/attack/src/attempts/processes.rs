//! Other processes, other programs, other rights.

use std::thread;

use nix::errno::Errno;

use super::{Attempt, attempt, past};
use crate::call::{bytes, call, flags, number, text};
use crate::place::Place;

/// PTRACE_SEIZE, which does not stop the other process.
const SEIZE: i64 = 0x4206;
/// _LINUX_CAPABILITY_VERSION_3
const CAPABILITIES: u32 = 0x2008_0522;

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("fork", |_| {
        // Both processes continue from here, and end.
        let kind = flags(libc::SIGCHLD);
        call(
            libc::SYS_clone,
            [kind, number(0), number(0), number(0), number(0)],
        )
        .map(drop)
    }),
    attempt("clone3", |_| {
        // struct clone_args: exit_signal is the fifth word.
        let mut how = [0; 64];
        how[32] = libc::SIGCHLD as u8;
        call(libc::SYS_clone3, [bytes(&mut how), number(64)]).map(drop)
    }),
    attempt("thread", |_| {
        let born = thread::Builder::new().spawn(|| ());
        born.map(|thread| drop(thread.join()))
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EPERM)))
    }),
    attempt("execute", |_| {
        // Without arguments this program does nothing and succeeds.
        call(
            libc::SYS_execve,
            [text(c"/proc/self/exe"), number(0), number(0)],
        )
        .map(drop)
    }),
    attempt("trace-another", |place| {
        let arguments = [number(SEIZE), parent(place), number(0), number(0)];
        call(libc::SYS_ptrace, arguments).map(drop)
    }),
    attempt("write-into-another", |place| {
        vm(libc::SYS_process_vm_writev, place)
    }),
    attempt("read-from-another", |place| {
        vm(libc::SYS_process_vm_readv, place)
    }),
    attempt("descriptor-of-another", |place| {
        let process = call(libc::SYS_pidfd_open, [parent(place), number(0)])?;
        call(
            libc::SYS_pidfd_getfd,
            [number(process), number(0), number(0)],
        )
        .map(drop)
    }),
    attempt("memory-of-another", |place| {
        let path = std::ffi::CString::new(format!("/proc/{}/mem", place.parent));
        let path = path.unwrap_or_default();
        call(libc::SYS_open, [text(&path), flags(libc::O_RDWR)]).map(drop)
    }),
    attempt("signal-another", |place| {
        call(libc::SYS_kill, [parent(place), number(0)]).map(drop)
    }),
    attempt("new-user-namespace", |_| unshare(libc::CLONE_NEWUSER)),
    attempt("new-mount-namespace", |_| unshare(libc::CLONE_NEWNS)),
    attempt("new-network-namespace", |_| unshare(libc::CLONE_NEWNET)),
    attempt("enter-a-namespace", |place| {
        let path = std::ffi::CString::new(format!("/proc/{}/ns/mnt", place.parent));
        let path = path.unwrap_or_default();
        let namespace = call(libc::SYS_open, [text(&path), number(0)])?;
        call(libc::SYS_setns, [number(namespace), number(0)]).map(drop)
    }),
    attempt("larger-files", |_| {
        const FILE_SIZE: i64 = libc::RLIMIT_FSIZE as i64;
        let (process, new, old) = (number(0), &mut [0xff; 16], number(0));
        let arguments = [process, number(FILE_SIZE), bytes(new), old];
        call(libc::SYS_prlimit64, arguments).map(drop)
    }),
    attempt("become-root", |_| {
        call(libc::SYS_setresuid, [number(0), number(0), number(0)]).map(drop)
    }),
    attempt("take-capabilities", |_| {
        let mut header = [0; 8];
        header[..4].copy_from_slice(&CAPABILITIES.to_ne_bytes());
        // Effective and permitted: CAP_DAC_OVERRIDE, CAP_SYS_ADMIN.
        let mut sets = [0; 24];
        (sets[0], sets[2]) = (0b10, 0b10_0000);
        (sets[4], sets[6]) = (0b10, 0b10_0000);
        call(libc::SYS_capset, [bytes(&mut header), bytes(&mut sets)]).map(drop)
    }),
    attempt("keep-capabilities", |_| prctl(libc::PR_SET_KEEPCAPS, 1)),
    attempt("dumpable", |_| prctl(libc::PR_SET_DUMPABLE, 1)),
    attempt("thread-name", |_| {
        call(libc::SYS_prctl, [flags(libc::PR_SET_NAME), text(c"seen")]).map(drop)
    }),
    attempt("personality", |_| {
        const READ_IMPLIES_EXEC: i64 = 0x040_0000;
        call(libc::SYS_personality, [number(READ_IMPLIES_EXEC)]).map(drop)
    }),
];

fn parent(place: &Place) -> crate::call::Argument<'static> {
    number(place.parent.as_raw().into())
}

/// Uses an address that is mapped in no process, which is checked after the permission.
fn vm(how: libc::c_long, place: &Place) -> Result<(), Errno> {
    let here = [0; 8];
    let mut local = [0; 16];
    local[..8].copy_from_slice(&(here.as_ptr() as u64).to_ne_bytes());
    local[8] = 8;
    let mut remote = [0; 16];
    (remote[0], remote[8]) = (16, 8);
    let (local, remote) = (bytes(&mut local), bytes(&mut remote));
    let done = call(
        how,
        [
            parent(place),
            local,
            number(1),
            remote,
            number(1),
            number(0),
        ],
    );
    past(done, &[Errno::EFAULT])
}

fn unshare(what: i32) -> Result<(), Errno> {
    call(libc::SYS_unshare, [flags(what)]).map(drop)
}

fn prctl(what: i32, value: i64) -> Result<(), Errno> {
    let arguments = [flags(what), number(value), number(0), number(0), number(0)];
    call(libc::SYS_prctl, arguments).map(drop)
}
