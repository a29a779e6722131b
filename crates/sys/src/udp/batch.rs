//! The buffers and headers of a batch, made once and used for every call.

use std::mem;
use std::net::{IpAddr, SocketAddr};

use super::MAX_DATAGRAM;
use super::address::RawAddress;
use super::control::Control;

/// Datagrams that go to the kernel in one call, at most.
const SEND_AT_ONCE: usize = 64;

/// One datagram that has come.
pub struct Datagram<'a> {
    /// Who sent it.
    pub remote: SocketAddr,
    /// The address that it was sent to.
    pub local: Option<IpAddr>,
    /// Its payload.
    pub bytes: &'a mut [u8],
}

/// Room for datagrams to receive.
pub struct RecvBatch {
    payload: Vec<u8>,
    addresses: Vec<RawAddress>,
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    received: usize,
}

// SAFETY: the pointers in it lead only to the heap buffers that it owns itself.
unsafe impl Send for RecvBatch {}

impl RecvBatch {
    /// Room for `datagrams` datagrams of any length.
    pub fn new(datagrams: usize) -> Self {
        Self {
            payload: vec![0; datagrams * MAX_DATAGRAM],
            addresses: vec![RawAddress::EMPTY; datagrams],
            controls: vec![Control::EMPTY; datagrams],
            vectors: Vec::with_capacity(datagrams),
            headers: Vec::with_capacity(datagrams),
            received: 0,
        }
    }

    /// The datagrams of the last receive.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = Datagram<'_>> {
        let headers = self.headers.iter().take(self.received);
        let payloads = self.payload.chunks_exact_mut(MAX_DATAGRAM);
        headers
            .zip(&self.addresses)
            .zip(payloads)
            .filter_map(|((header, address), payload)| {
                Some(Datagram {
                    remote: address.to_std()?,
                    local: Control::came_to(&header.msg_hdr),
                    bytes: payload.get_mut(..header.msg_len as usize)?,
                })
            })
    }

    /// Points every header at its buffers; the kernel writes lengths over them.
    pub(super) fn prepare(&mut self) -> &mut [libc::mmsghdr] {
        self.received = 0;
        self.vectors.clear();
        self.headers.clear();
        for chunk in self.payload.chunks_exact_mut(MAX_DATAGRAM) {
            self.vectors.push(vector(chunk.as_mut_ptr(), chunk.len()));
        }
        let parts = self.vectors.iter_mut().zip(&mut self.addresses);
        for ((vector, address), control) in parts.zip(&mut self.controls) {
            let name = (address, mem::size_of::<RawAddress>() as libc::socklen_t);
            self.headers
                .push(header(name, vector, control, Control::LEN));
        }
        &mut self.headers
    }

    pub(super) fn received(&mut self, count: usize) {
        self.received = count;
    }
}

/// Room for the addresses of datagrams to send; the payloads stay where they are.
pub struct SendBatch {
    addresses: Vec<RawAddress>,
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: its pointers are followed only during `Udp::send_batch`, which sets them anew.
unsafe impl Send for SendBatch {}

impl Default for SendBatch {
    fn default() -> Self {
        Self {
            addresses: vec![RawAddress::EMPTY; SEND_AT_ONCE],
            controls: vec![Control::EMPTY; SEND_AT_ONCE],
            vectors: vec![vector(std::ptr::null_mut(), 0); SEND_AT_ONCE],
            headers: Vec::with_capacity(SEND_AT_ONCE),
        }
    }
}

impl SendBatch {
    /// Takes datagrams until there are no more or the batch is full. The headers point at the
    /// payloads, which `'a` keeps.
    pub(super) fn fill<'a>(
        &mut self,
        datagrams: &mut impl Iterator<Item = (SocketAddr, Option<IpAddr>, &'a [u8])>,
        dual: bool,
    ) -> &mut [libc::mmsghdr] {
        self.headers.clear();
        let slots = self.addresses.iter_mut().zip(&mut self.controls);
        for ((address, control), place) in slots.zip(&mut self.vectors) {
            let Some((raw, length, local, bytes)) = datagrams.find_map(|(remote, local, bytes)| {
                let (raw, length) = RawAddress::new(remote, dual)?;
                Some((raw, length, local, bytes))
            }) else {
                break;
            };
            *address = raw;
            *place = vector(bytes.as_ptr().cast_mut(), bytes.len());
            let used = local.and_then(|local| control.leave_from(local, dual));
            let name = (address, length);
            self.headers
                .push(header(name, place, control, used.unwrap_or(0)));
        }
        &mut self.headers
    }
}

fn vector(base: *mut u8, length: usize) -> libc::iovec {
    libc::iovec {
        iov_base: base.cast(),
        iov_len: length,
    }
}

fn header(
    (address, length): (&mut RawAddress, libc::socklen_t),
    vector: &mut libc::iovec,
    control: &mut Control,
    control_length: usize,
) -> libc::mmsghdr {
    // SAFETY: mmsghdr is plain numbers and pointers, for which all zero is a value.
    let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
    header.msg_hdr.msg_name = (&raw mut *address).cast();
    header.msg_hdr.msg_namelen = length;
    header.msg_hdr.msg_iov = vector;
    header.msg_hdr.msg_iovlen = 1;
    if control_length > 0 {
        header.msg_hdr.msg_control = control.as_mut_ptr();
        header.msg_hdr.msg_controllen = control_length as _;
    }
    header
}
