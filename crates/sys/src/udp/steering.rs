//! Which socket of a group a datagram comes to (socket(7) SO_ATTACH_REUSEPORT_CBPF).

use std::os::fd::OwnedFd;

use nix::sys::socket::{self, sockopt};

/// Datagrams that tell by themselves which socket of a group they are for.
#[derive(Debug, Clone, Copy)]
pub struct Steering {
    /// Their first byte.
    pub kind: u8,
    /// The place of the byte that tells it, by what is left of it divided by the number of sockets.
    pub at: u32,
}

impl Steering {
    /// Puts it before a group of `count` sockets, of which `socket` is any.
    pub(super) fn attach(self, socket: &OwnedFd, count: usize) -> nix::Result<()> {
        let mut program = self.program(count as u32);
        let whole = libc::sock_fprog {
            len: program.len() as libc::c_ushort,
            filter: program.as_mut_ptr(),
        };
        socket::setsockopt(socket, sockopt::AttachReusePortCbpf, &whole)
    }

    /// Classic BPF over the UDP payload; a number that no socket has leaves it to the hash.
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
