//! Steering: which socket of a group a datagram comes to (socket(7) SO_ATTACH_REUSEPORT_CBPF).

use std::os::fd::OwnedFd;

use nix::sys::socket::{self, sockopt};

/// Describes datagrams that name the socket of a group that they are for.
#[derive(Debug, Clone, Copy)]
pub struct Steering {
    /// The first byte of such a datagram.
    pub kind: u8,
    /// The offset of the byte that names the socket: the byte modulo the number of sockets.
    pub at: u32,
}

impl Steering {
    /// Attaches the steering to a group of `count` sockets. `socket` is any of them.
    pub(super) fn attach(self, socket: &OwnedFd, count: usize) -> nix::Result<()> {
        let mut program = self.program(count as u32);
        let whole = libc::sock_fprog {
            len: program.len() as libc::c_ushort,
            filter: program.as_mut_ptr(),
        };
        socket::setsockopt(socket, sockopt::AttachReusePortCbpf, &whole)
    }

    /// Classic BPF over the UDP payload. For a number that no socket has, the hash decides.
    fn program(self, count: u32) -> [libc::sock_filter; 6] {
        let load_byte = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
        let step = |code: u32, jt, jf, k| libc::sock_filter {
            code: code as u16,
            jt,
            jf,
            k,
        };
        [
            step(load_byte, 0, 0, 0),
            step(
                libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
                0,
                3,
                self.kind.into(),
            ),
            step(load_byte, 0, 0, self.at),
            step(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, 0, 0, count),
            step(libc::BPF_RET | libc::BPF_A, 0, 0, 0),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
        ]
    }
}
