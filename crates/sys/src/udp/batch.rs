//! The buffers and headers of a batch of trains. They are made once and used for every call.

use std::mem;
use std::net::{IpAddr, SocketAddr};

use super::MAX_DATAGRAM;
use super::address::RawAddress;
use super::control::{Control, Told};

/// How many trains go to the kernel in one call, at most.
const SEND_AT_ONCE: usize = 64;

/// Datagrams that were received together, from one sender to one address.
pub struct Received<'a> {
    /// The address of their sender.
    pub remote: SocketAddr,
    /// The address that they were sent to.
    pub local: Option<IpAddr>,
    /// The ECN field of their headers (RFC 3168 section 5). The rest of the service class is
    /// dropped.
    pub ecn: u8,
    /// Length of each payload except the last, which may be shorter. Never 0.
    pub segment: usize,
    /// The payloads, one behind the other.
    pub bytes: &'a mut [u8],
}

/// Datagrams to be sent together.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// The address that they are sent to.
    pub remote: SocketAddr,
    /// The address of this machine that they leave from.
    pub local: Option<IpAddr>,
    /// The service class of their headers: an ECN field, and otherwise zero.
    pub ecn: u8,
    /// Length of each payload except the last, which may be shorter.
    pub segment: usize,
    /// The payloads, one behind the other.
    pub bytes: &'a [u8],
}

/// Room for trains to receive.
pub struct RecvBatch {
    payload: Vec<u8>,
    addresses: Vec<RawAddress>,
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    received: usize,
    /// How far each buffer has been written since the last scrub.
    touched: Vec<usize>,
}

// SAFETY: its pointers lead only to the heap buffers that it owns.
unsafe impl Send for RecvBatch {}

impl RecvBatch {
    /// Room for `trains` trains, or datagrams, of any length.
    pub fn new(trains: usize) -> Self {
        Self {
            payload: vec![0; trains * MAX_DATAGRAM],
            addresses: vec![RawAddress::EMPTY; trains],
            controls: vec![Control::EMPTY; trains],
            vectors: Vec::with_capacity(trains),
            headers: Vec::with_capacity(trains),
            received: 0,
            touched: vec![0; trains],
        }
    }

    /// Zeroes everything that was received: payloads and senders.
    pub fn scrub(&mut self) {
        let payloads = self.payload.chunks_exact_mut(MAX_DATAGRAM);
        let used = payloads.zip(&mut self.touched);
        for (payload, touched) in used.filter(|(_, touched)| **touched > 0) {
            payload[..*touched].fill(0);
            *touched = 0;
        }
        self.addresses.fill(RawAddress::EMPTY);
        self.controls.fill(Control::EMPTY);
        self.headers.clear();
        self.received = 0;
    }

    /// The trains of the last receive.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = Received<'_>> {
        let headers = self.headers.iter().take(self.received);
        let payloads = self.payload.chunks_exact_mut(MAX_DATAGRAM);
        headers
            .zip(&self.addresses)
            .zip(payloads)
            .filter_map(|((header, address), payload)| {
                let told = Told::read(&header.msg_hdr);
                let bytes = payload.get_mut(..header.msg_len as usize)?;
                Some(Received {
                    remote: address.to_std()?,
                    local: told.local,
                    ecn: told.ecn,
                    segment: told.segment.unwrap_or(bytes.len()).max(1),
                    bytes,
                })
            })
    }

    /// Points every header at its buffers. The kernel overwrites the lengths of the headers that it
    /// uses, so they are set again.
    pub(super) fn prepare(&mut self) -> &mut [libc::mmsghdr] {
        let used = mem::take(&mut self.received);
        if self.headers.is_empty() {
            let payloads = self.payload.chunks_exact_mut(MAX_DATAGRAM);
            self.vectors = payloads
                .map(|payload| vector(payload.as_mut_ptr(), payload.len()))
                .collect();
            let parts = self.vectors.iter_mut().zip(&mut self.addresses);
            let whole = parts.zip(&mut self.controls);
            self.headers = whole
                .map(|((vector, address), control)| {
                    let name = (address, mem::size_of::<RawAddress>() as libc::socklen_t);
                    header(name, vector, control, Control::LEN)
                })
                .collect();
        }
        for header in self.headers.iter_mut().take(used) {
            header.msg_len = 0;
            header.msg_hdr.msg_namelen = mem::size_of::<RawAddress>() as libc::socklen_t;
            header.msg_hdr.msg_controllen = Control::LEN as _;
            header.msg_hdr.msg_flags = 0;
        }
        &mut self.headers
    }

    pub(super) fn received(&mut self, count: usize) {
        self.received = count;
        let headers = self.headers.iter().take(count);
        for (touched, header) in self.touched.iter_mut().zip(headers) {
            *touched = (*touched).max(header.msg_len as usize).min(MAX_DATAGRAM);
        }
    }
}

/// Room for the addresses of datagrams to send. The payloads stay where they are.
pub struct SendBatch {
    addresses: Vec<RawAddress>,
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: its pointers are followed only during `Udp::send_batch`, which sets them first.
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
    /// Zeroes the addresses of all receivers.
    pub fn scrub(&mut self) {
        self.addresses.fill(RawAddress::EMPTY);
        self.controls.fill(Control::EMPTY);
    }

    /// Takes trains until there are no more or the batch is full. The headers point at the
    /// payloads, which live for `'a`.
    pub(super) fn fill<'a>(
        &mut self,
        trains: &mut impl Iterator<Item = Outgoing<'a>>,
        dual: bool,
    ) -> &mut [libc::mmsghdr] {
        self.headers.clear();
        let slots = self.addresses.iter_mut().zip(&mut self.controls);
        for ((address, control), place) in slots.zip(&mut self.vectors) {
            let Some((raw, length, train)) = trains.find_map(|train| {
                let (raw, length) = RawAddress::new(train.remote, dual)?;
                Some((raw, length, train))
            }) else {
                break;
            };
            *address = raw;
            *place = vector(train.bytes.as_ptr().cast_mut(), train.bytes.len());
            let local = train
                .local
                .and_then(|local| control.leave_from(local, dual));
            let mut used = local.unwrap_or(0);
            if train.ecn != 0 {
                used = control.mark(used, train.remote, train.ecn);
            }
            if let Ok(segment) = u16::try_from(train.segment)
                && train.bytes.len() > train.segment
            {
                used = control.split_into(used, segment);
            }
            self.headers
                .push(header((address, length), place, control, used));
        }
        &mut self.headers
    }

    /// Whether there may be more trains than the last fill took.
    pub(super) fn is_full(&self) -> bool {
        self.headers.len() == SEND_AT_ONCE
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrubbed_batch_holds_nobody() {
        let mut batch = SendBatch::default();
        let train = Outgoing {
            remote: SocketAddr::from(([203, 0, 113, 2], 4420)),
            local: Some(IpAddr::from([192, 0, 2, 2])),
            ecn: 0,
            bytes: &[0; 32],
            segment: 32,
        };
        batch.fill(&mut [train].into_iter(), true);
        let remote = |batch: &SendBatch| batch.addresses[0].to_std();
        assert!(remote(&batch).is_some());
        batch.scrub();
        assert!(remote(&batch).is_none());
    }
}
