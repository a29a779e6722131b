//! Memory that outlives a process, that has no name, or that can be run.

use libc::{
    IPC_CREAT, IPC_PRIVATE, MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_EXEC, PROT_READ,
    PROT_WRITE,
};
use nix::errno::Errno;

use super::{Attempt, attempt, past};
use crate::call::{bytes, call, flags, number, text};

/// O_CREAT and O_RDWR, with no attributes.
const QUEUE: i32 = libc::O_CREAT | libc::O_RDWR;

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("memfd-create", |_| {
        call(libc::SYS_memfd_create, [text(c"seen"), number(1)]).map(drop)
    }),
    attempt("memfd-secret", |_| {
        call(libc::SYS_memfd_secret, [number(0)]).map(drop)
    }),
    attempt("shmget", |_| {
        let kind = flags(IPC_CREAT | 0o600);
        call(
            libc::SYS_shmget,
            [number(IPC_PRIVATE.into()), number(4096), kind],
        )
        .map(drop)
    }),
    attempt("msgget", |_| {
        let kind = flags(IPC_CREAT | 0o600);
        call(libc::SYS_msgget, [number(IPC_PRIVATE.into()), kind]).map(drop)
    }),
    attempt("semget", |_| {
        let kind = flags(IPC_CREAT | 0o600);
        call(
            libc::SYS_semget,
            [number(IPC_PRIVATE.into()), number(1), kind],
        )
        .map(drop)
    }),
    attempt("mq-open", |_| {
        let arguments = [text(c"mayfly"), flags(QUEUE), number(0o600), number(0)];
        call(libc::SYS_mq_open, arguments).map(drop)
    }),
    attempt("pipe", |_| {
        call(libc::SYS_pipe2, [bytes(&mut [0; 8]), number(0)]).map(drop)
    }),
    attempt("io-uring", |_| {
        call(libc::SYS_io_uring_setup, [number(1), bytes(&mut [0; 120])]).map(drop)
    }),
    attempt("io-setup", |_| {
        call(libc::SYS_io_setup, [number(1), bytes(&mut [0; 8])]).map(drop)
    }),
    attempt("userfaultfd", |_| {
        // UFFD_USER_MODE_ONLY, which needs no privilege.
        call(libc::SYS_userfaultfd, [number(1)]).map(drop)
    }),
    attempt("add-key", |_| {
        const PROCESS_KEYRING: i64 = -2;
        let mut seen = *b"seen";
        let (kind, name) = (text(c"user"), text(c"mayfly"));
        let arguments = [
            kind,
            name,
            bytes(&mut seen),
            number(4),
            number(PROCESS_KEYRING),
        ];
        call(libc::SYS_add_key, arguments).map(drop)
    }),
    attempt("keyctl", |_| {
        // KEYCTL_GET_KEYRING_ID of the thread's keyring, which is made if it does not exist.
        call(libc::SYS_keyctl, [number(0), number(-1), number(1)]).map(drop)
    }),
    attempt("map-shared", |_| map(PROT_READ | PROT_WRITE, MAP_SHARED)),
    attempt("map-to-execute", |_| {
        map(PROT_READ | PROT_EXEC, MAP_PRIVATE)
    }),
    attempt("protect-to-execute", |_| {
        let anywhere = [number(0), number(4096), flags(PROT_READ | PROT_WRITE)];
        let [at, length, how] = anywhere;
        let kind = flags(MAP_PRIVATE | MAP_ANONYMOUS);
        let page = call(
            libc::SYS_mmap,
            [at, length, how, kind, number(-1), number(0)],
        )?;
        let how = flags(PROT_READ | PROT_EXEC);
        call(libc::SYS_mprotect, [number(page), number(4096), how]).map(drop)
    }),
    attempt("swapon", |place| {
        let done = call(libc::SYS_swapon, [text(&place.named("none")), number(0)]);
        past(done, &[Errno::ENOENT])
    }),
];

fn map(how: i32, kind: i32) -> Result<(), Errno> {
    let kind = flags(kind | MAP_ANONYMOUS);
    let arguments = [
        number(0),
        number(4096),
        flags(how),
        kind,
        number(-1),
        number(0),
    ];
    call(libc::SYS_mmap, arguments).map(drop)
}
