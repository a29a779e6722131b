//! Files, by name and by a descriptor that was open before.

use libc::{
    AT_FDCWD, MAP_SHARED, O_APPEND, O_CREAT, O_NONBLOCK, O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY,
    PROT_READ, PROT_WRITE, S_IFCHR, S_IFIFO,
};
use nix::errno::Errno;

use super::{Attempt, attempt};
use crate::call::{bytes, call, flags, number, text};
use crate::place::Place;

/// FS_IOC_SETFLAGS and FS_NODUMP_FL (linux/fs.h)
const SET_FLAGS: i64 = 0x4008_6602;
const NO_DUMP: i32 = 0x40;

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("open-for-writing", |place| open(&place.file(), O_WRONLY)),
    attempt("open-for-appending", |place| {
        open(&place.file(), O_WRONLY | O_APPEND)
    }),
    attempt("open-truncating", |place| {
        open(&place.file(), O_WRONLY | O_TRUNC)
    }),
    attempt("open-creating", |place| {
        open(&place.named("new"), O_WRONLY | O_CREAT)
    }),
    attempt("open-a-nameless-file", |place| {
        open(&place.directory(), O_RDWR | O_TMPFILE)
    }),
    attempt("creat", |place| {
        call(libc::SYS_creat, [text(&place.named("new")), number(0o600)]).map(drop)
    }),
    attempt("openat", |place| {
        let new = place.named("new");
        let how = flags(O_WRONLY | O_CREAT);
        call(
            libc::SYS_openat,
            [flags(AT_FDCWD), text(&new), how, number(0o600)],
        )
        .map(drop)
    }),
    attempt("openat2", |place| {
        let new = place.named("new");
        // struct open_how: flags, mode, resolve
        let mut how = [0; 24];
        how[..8].copy_from_slice(&((O_WRONLY | O_CREAT) as u64).to_ne_bytes());
        how[8..16].copy_from_slice(&0o600_u64.to_ne_bytes());
        let arguments = [flags(AT_FDCWD), text(&new), bytes(&mut how), number(24)];
        call(libc::SYS_openat2, arguments).map(drop)
    }),
    attempt("dev-null", |_| open(c"/dev/null", O_WRONLY)),
    attempt("dev-tun", |_| open(c"/dev/net/tun", O_RDWR)),
    attempt("dev-console", |_| {
        open(c"/dev/console", O_WRONLY | O_NONBLOCK)
    }),
    attempt("dev-tty", |_| open(c"/dev/tty", O_WRONLY | O_NONBLOCK)),
    attempt("dev-ttyS0", |_| open(c"/dev/ttyS0", O_WRONLY | O_NONBLOCK)),
    attempt("dev-kmsg", |_| open(c"/dev/kmsg", O_WRONLY)),
    attempt("dev-mem", |_| open(c"/dev/mem", O_RDWR)),
    attempt("dev-vda", |_| open(c"/dev/vda", O_RDWR)),
    attempt("proc-self-mem", |_| open(c"/proc/self/mem", O_RDWR)),
    attempt("proc-self-comm", |_| open(c"/proc/self/comm", O_WRONLY)),
    attempt("proc-core-pattern", |_| {
        open(c"/proc/sys/kernel/core_pattern", O_WRONLY)
    }),
    attempt("proc-sysrq", |_| open(c"/proc/sysrq-trigger", O_WRONLY)),
    attempt("sys-power", |_| open(c"/sys/power/state", O_WRONLY)),
    attempt("efi-variable", |_| {
        let variable = c"/sys/firmware/efi/efivars/Mayfly-8be4df61-93ca-11d2-aa0d-00e098032b8c";
        open(variable, O_WRONLY | O_CREAT)
    }),
    attempt("shm-open", |_| {
        open(c"/dev/shm/mayfly-attack", O_RDWR | O_CREAT)?;
        call(libc::SYS_unlink, [text(c"/dev/shm/mayfly-attack")]).map(drop)
    }),
    attempt("truncate", |place| {
        call(libc::SYS_truncate, [text(&place.file()), number(1)]).map(drop)
    }),
    attempt("rename", |place| {
        call(
            libc::SYS_rename,
            [text(&place.file()), text(&place.named("new"))],
        )
        .map(drop)
    }),
    attempt("renameat2", |place| {
        let (from, to) = (place.file(), place.named("new"));
        let here = || flags(AT_FDCWD);
        call(
            libc::SYS_renameat2,
            [here(), text(&from), here(), text(&to), number(0)],
        )
        .map(drop)
    }),
    attempt("link", |place| {
        call(
            libc::SYS_link,
            [text(&place.file()), text(&place.named("new"))],
        )
        .map(drop)
    }),
    attempt("linkat", |place| {
        let (from, to) = (place.file(), place.named("new"));
        let here = || flags(AT_FDCWD);
        call(
            libc::SYS_linkat,
            [here(), text(&from), here(), text(&to), number(0)],
        )
        .map(drop)
    }),
    attempt("symlink", |place| {
        call(
            libc::SYS_symlink,
            [text(c"what was seen"), text(&place.named("new"))],
        )
        .map(drop)
    }),
    attempt("unlink", |place| {
        call(libc::SYS_unlink, [text(&place.file())]).map(drop)
    }),
    attempt("mkdir", |place| {
        call(libc::SYS_mkdir, [text(&place.named("new")), number(0o700)]).map(drop)
    }),
    attempt("mkdirat", |place| {
        let new = place.named("new");
        call(
            libc::SYS_mkdirat,
            [flags(AT_FDCWD), text(&new), number(0o700)],
        )
        .map(drop)
    }),
    attempt("rmdir", |place| {
        call(libc::SYS_rmdir, [text(&place.empty())]).map(drop)
    }),
    attempt("mknod-fifo", |place| mknod(place, S_IFIFO, 0)),
    // 1:3 is /dev/null.
    attempt("mknod-device", |place| mknod(place, S_IFCHR, 0x103)),
    attempt("chmod", |place| {
        call(libc::SYS_chmod, [text(&place.file()), number(0o600)]).map(drop)
    }),
    attempt("fchmodat2", |place| {
        let file = place.file();
        let arguments = [flags(AT_FDCWD), text(&file), number(0o600), number(0)];
        call(libc::SYS_fchmodat2, arguments).map(drop)
    }),
    attempt("chown", |place| {
        call(libc::SYS_chown, [text(&place.file()), number(1), number(1)]).map(drop)
    }),
    attempt("utimensat", |place| {
        let file = place.file();
        let arguments = [flags(AT_FDCWD), text(&file), number(0), number(0)];
        call(libc::SYS_utimensat, arguments).map(drop)
    }),
    attempt("utimes", |place| {
        call(libc::SYS_utimes, [text(&place.file()), number(0)]).map(drop)
    }),
    attempt("setxattr", |place| {
        let (file, mut value) = (place.file(), *b"seen");
        let value = bytes(&mut value);
        let arguments = [
            text(&file),
            text(c"user.mayfly"),
            value,
            number(4),
            number(0),
        ];
        call(libc::SYS_setxattr, arguments).map(drop)
    }),
    attempt("removexattr", |place| {
        // The file has none, which is checked after the permission.
        let done = call(
            libc::SYS_removexattr,
            [text(&place.file()), text(c"user.mayfly")],
        );
        super::past(done, &[Errno::ENODATA])
    }),
    attempt("write-to-open-file", |place| {
        let mut line = *b"seen";
        let arguments = [number(place.opened()?), bytes(&mut line), number(4)];
        call(libc::SYS_write, arguments).map(drop)
    }),
    attempt("pwrite-to-open-file", |place| {
        let mut line = *b"seen";
        let arguments = [
            number(place.opened()?),
            bytes(&mut line),
            number(4),
            number(9),
        ];
        call(libc::SYS_pwrite64, arguments).map(drop)
    }),
    attempt("writev-to-open-file", |place| {
        let line = *b"seen";
        // struct iovec
        let mut vector = [0; 16];
        vector[..8].copy_from_slice(&(line.as_ptr() as u64).to_ne_bytes());
        vector[8] = 4;
        let arguments = [number(place.opened()?), bytes(&mut vector), number(1)];
        call(libc::SYS_writev, arguments).map(drop)
    }),
    attempt("sendfile-to-open-file", |place| {
        let file = place.opened()?;
        call(libc::SYS_lseek, [number(file), number(0), number(0)])?;
        let own = call(libc::SYS_open, [text(c"/proc/self/exe"), number(0)])?;
        call(
            libc::SYS_sendfile,
            [number(file), number(own), number(0), number(16)],
        )
        .map(drop)
    }),
    attempt("copy-range-in-open-file", |place| {
        let file = number(place.opened()?);
        let mut to = 2048_u64.to_ne_bytes();
        let again = number(place.opened()?);
        let arguments = [
            file,
            number(0),
            again,
            bytes(&mut to),
            number(16),
            number(0),
        ];
        call(libc::SYS_copy_file_range, arguments).map(drop)
    }),
    attempt("truncate-open-file", |place| {
        call(libc::SYS_ftruncate, [number(place.opened()?), number(1)]).map(drop)
    }),
    attempt("allocate-in-open-file", |place| {
        let arguments = [number(place.opened()?), number(0), number(0), number(9000)];
        call(libc::SYS_fallocate, arguments).map(drop)
    }),
    attempt("map-open-file-shared", |place| {
        let (how, kind) = (flags(PROT_READ | PROT_WRITE), flags(MAP_SHARED));
        let file = number(place.opened()?);
        let arguments = [number(0), number(4096), how, kind, file, number(0)];
        call(libc::SYS_mmap, arguments).map(drop)
    }),
    attempt("chmod-open-file", |place| {
        call(libc::SYS_fchmod, [number(place.opened()?), number(0o600)]).map(drop)
    }),
    attempt("chown-open-file", |place| {
        call(
            libc::SYS_fchown,
            [number(place.opened()?), number(1), number(1)],
        )
        .map(drop)
    }),
    attempt("times-of-open-file", |place| {
        let arguments = [number(place.opened()?), number(0), number(0), number(0)];
        call(libc::SYS_utimensat, arguments).map(drop)
    }),
    attempt("xattr-of-open-file", |place| {
        let mut value = *b"seen";
        let (file, value) = (number(place.opened()?), bytes(&mut value));
        let arguments = [file, text(c"user.mayfly"), value, number(4), number(0)];
        call(libc::SYS_fsetxattr, arguments).map(drop)
    }),
    attempt("flags-of-open-file", |place| {
        let mut set = NO_DUMP.to_ne_bytes();
        let arguments = [number(place.opened()?), number(SET_FLAGS), bytes(&mut set)];
        call(libc::SYS_ioctl, arguments).map(drop)
    }),
    attempt("stderr", |_| {
        // Only the other end can see whether this arrives.
        let mut line = *b"seen";
        call(libc::SYS_write, [number(2), bytes(&mut line), number(4)])?;
        Err(Errno::EPIPE)
    }),
];

fn open(path: &std::ffi::CStr, how: i32) -> Result<(), Errno> {
    call(libc::SYS_open, [text(path), flags(how), number(0o600)]).map(drop)
}

fn mknod(place: &Place, kind: u32, device: i64) -> Result<(), Errno> {
    let mode = number(i64::from(kind | 0o600));
    call(
        libc::SYS_mknod,
        [text(&place.named("new")), mode, number(device)],
    )
    .map(drop)
}
