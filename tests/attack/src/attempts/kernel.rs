//! The kernel: its log, its file systems, its modules, its successor.

use nix::errno::Errno;

use super::{Attempt, attempt, past};
use crate::call::{bytes, call, flags, number, text};

/// ADJ_TICK (linux/timex.h). A tick of no length is refused after the permission.
const ADJUST_TICK: u8 = 0x40;

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("syslog-read", |_| {
        // SYSLOG_ACTION_READ_ALL
        call(
            libc::SYS_syslog,
            [number(3), bytes(&mut [0; 64]), number(64)],
        )
        .map(drop)
    }),
    attempt("syslog-size", |_| {
        // SYSLOG_ACTION_SIZE_UNREAD
        call(libc::SYS_syslog, [number(9), number(0), number(0)]).map(drop)
    }),
    attempt("mount", |place| {
        let (kind, on) = (text(c"tmpfs"), place.empty());
        call(
            libc::SYS_mount,
            [text(c"none"), text(&on), kind, number(0), number(0)],
        )
        .map(drop)
    }),
    attempt("remount-root", |_| {
        // MS_REMOUNT and MS_BIND: change only the flags of this mount, to what they are.
        const KIND: i64 = 32 | 4096;
        let (from, root) = (text(c"none"), text(c"/"));
        call(
            libc::SYS_mount,
            [from, root, number(0), number(KIND), number(0)],
        )
        .map(drop)
    }),
    attempt("umount", |place| {
        let done = call(libc::SYS_umount2, [text(&place.empty()), number(0)]);
        past(done, &[Errno::EINVAL])
    }),
    attempt("fsopen", |_| {
        call(libc::SYS_fsopen, [text(c"tmpfs"), number(0)]).map(drop)
    }),
    attempt("open-tree", |_| {
        // OPEN_TREE_CLONE
        call(
            libc::SYS_open_tree,
            [flags(libc::AT_FDCWD), text(c"/"), number(1)],
        )
        .map(drop)
    }),
    attempt("pivot-root", |place| {
        let empty = place.empty();
        let done = call(libc::SYS_pivot_root, [text(&empty), text(&empty)]);
        past(done, &[Errno::EINVAL, Errno::EBUSY])
    }),
    attempt("chroot", |place| {
        call(libc::SYS_chroot, [text(&place.empty())]).map(drop)
    }),
    attempt("init-module", |_| {
        let mut garbage = [0; 64];
        let arguments = [bytes(&mut garbage), number(64), text(c"")];
        past(call(libc::SYS_init_module, arguments), &[Errno::ENOEXEC])
    }),
    attempt("finit-module", |_| {
        let done = call(libc::SYS_finit_module, [number(-1), text(c""), number(0)]);
        past(done, &[Errno::EBADF])
    }),
    attempt("delete-module", |_| {
        let done = call(
            libc::SYS_delete_module,
            [text(c"no_such_module"), number(0)],
        );
        past(done, &[Errno::ENOENT])
    }),
    attempt("kexec-load", |_| {
        // More segments than the kernel allows.
        let arguments = [number(0), number(9999), number(0), number(0)];
        past(call(libc::SYS_kexec_load, arguments), &[Errno::EINVAL])
    }),
    attempt("kexec-file-load", |_| {
        let arguments = [number(-1), number(-1), number(0), text(c""), number(0)];
        past(call(libc::SYS_kexec_file_load, arguments), &[Errno::EBADF])
    }),
    attempt("reboot", |_| {
        // The magic numbers are wrong.
        let done = call(
            libc::SYS_reboot,
            [number(0), number(0), number(0), number(0)],
        );
        past(done, &[Errno::EINVAL])
    }),
    attempt("bpf", |_| {
        // BPF_MAP_CREATE of an array: type 2, key of 4 bytes, value of 8, one entry.
        let mut map = [0; 72];
        (map[0], map[4], map[8], map[12]) = (2, 4, 8, 1);
        call(libc::SYS_bpf, [number(0), bytes(&mut map), number(72)]).map(drop)
    }),
    attempt("perf-event", |_| {
        // A software event (type 1) of this process, struct perf_event_attr of version 0.
        let mut event = [0; 64];
        (event[0], event[4]) = (1, 64);
        let arguments = [
            bytes(&mut event),
            number(0),
            number(-1),
            number(-1),
            number(0),
        ];
        call(libc::SYS_perf_event_open, arguments).map(drop)
    }),
    attempt("inotify", |_| {
        call(libc::SYS_inotify_init1, [number(0)]).map(drop)
    }),
    attempt("fanotify", |_| {
        call(libc::SYS_fanotify_init, [number(0), number(0)]).map(drop)
    }),
    attempt("hostname", |_| {
        let done = call(libc::SYS_sethostname, [text(c"seen"), number(-1)]);
        past(done, &[Errno::EINVAL])
    }),
    attempt("domain-name", |_| {
        let done = call(libc::SYS_setdomainname, [text(c"seen"), number(-1)]);
        past(done, &[Errno::EINVAL])
    }),
    attempt("clock", |_| {
        // struct timex
        let mut adjust = [0; 208];
        adjust[1] = ADJUST_TICK;
        past(
            call(libc::SYS_adjtimex, [bytes(&mut adjust)]),
            &[Errno::EINVAL],
        )
    }),
    attempt("accounting", |place| {
        let done = call(libc::SYS_acct, [text(&place.named("none"))]);
        past(done, &[Errno::ENOENT])
    }),
    attempt("io-ports", |_| call(libc::SYS_iopl, [number(3)]).map(drop)),
];
