//! Batches of messages, received and sent with one system call each.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::{io, iter};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage,
    recvmmsg, sendmmsg,
};

/// Maximum number of messages in a batch. The system calls are a small part of its cost by then, and
/// its first response waits some 0.1 ms for the last.
pub(super) const MESSAGES: usize = 32;
/// Maximum size of a query. Longer ones, which the network would fragment, are cut off, and malformed.
const QUERY_BYTES: usize = 1_500;

/// Sender of a query.
#[derive(Clone, Copy)]
pub(super) struct Sender {
    pub(super) address: SocketAddr,
    /// Address that was asked, if the socket has an unspecified one.
    asked: Option<Asked>,
}

/// Address that was asked, as the system receives and sends it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Ipv4(in_pktinfo),
    Ipv6(in6_pktinfo),
}

impl Asked {
    fn of(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<Self> {
        message.cmsgs().ok()?.find_map(|control| match control {
            // Routes decide the interface of the response, except for a link-local address.
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                let ipi_addr = in_addr { s_addr: 0 };
                Some(Self::Ipv4(in_pktinfo { ipi_ifindex: 0, ipi_addr, ..info }))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let is_local = Ipv6Addr::from(info.ipi6_addr.s6_addr).is_unicast_link_local();
                let ipi6_ifindex = if is_local { info.ipi6_ifindex } else { 0 };
                Some(Self::Ipv6(in6_pktinfo { ipi6_ifindex, ..info }))
            }
            _ => None,
        })
    }

    fn control(&self) -> ControlMessage<'_> {
        match self {
            Self::Ipv4(info) => ControlMessage::Ipv4PacketInfo(info),
            Self::Ipv6(info) => ControlMessage::Ipv6PacketInfo(info),
        }
    }
}

/// Headers of a batch, with space for the address that was asked if the socket needs it.
fn headers(local: SocketAddr) -> MultiHeaders<SockaddrStorage> {
    let control = local.ip().is_unspecified().then(|| match local {
        SocketAddr::V4(_) => cmsg_space!(in_pktinfo),
        SocketAddr::V6(_) => cmsg_space!(in6_pktinfo),
    });
    MultiHeaders::preallocate(MESSAGES, control)
}

/// Received queries.
pub(super) struct Inbox {
    needs_asked: bool,
    headers: MultiHeaders<SockaddrStorage>,
    buffers: Vec<[u8; QUERY_BYTES]>,
    received: Vec<(usize, Option<Sender>)>,
}

impl Inbox {
    pub(super) fn new(local: SocketAddr) -> Self {
        Self {
            needs_asked: local.ip().is_unspecified(),
            headers: headers(local),
            buffers: vec![[0; QUERY_BYTES]; MESSAGES],
            received: Vec::with_capacity(MESSAGES),
        }
    }

    /// Waits for a query, and receives all that have arrived.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        self.received.clear();
        let mut slices: Vec<_> =
            self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        let fd = socket.as_raw_fd();
        let messages = recvmmsg(fd, &mut self.headers, &mut slices, flags, None)?;
        let needs_asked = self.needs_asked;
        self.received.extend(messages.map(|message| {
            let asked = if needs_asked { Asked::of(&message) } else { None };
            let is_known = asked.is_some() || !needs_asked;
            let address = message.address.as_ref().and_then(as_std).filter(|_| is_known);
            (message.bytes, address.map(|address| Sender { address, asked }))
        }));
        Ok(())
    }

    /// Returns the queries of the last batch with their senders.
    pub(super) fn queries(&self) -> impl Iterator<Item = (&[u8], Sender)> {
        let messages = iter::zip(&self.buffers, &self.received);
        messages.filter_map(|(buffer, (length, sender))| Some((buffer.get(..*length)?, (*sender)?)))
    }
}

fn as_std(address: &SockaddrStorage) -> Option<SocketAddr> {
    let ipv4 = address.as_sockaddr_in().map(|address| SocketAddr::from(*address));
    ipv4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::from(*address)))
}

/// Responses to be sent.
pub(super) struct Outbox {
    headers: MultiHeaders<SockaddrStorage>,
    /// Buffers of responses, of which the first ones are in use.
    responses: Vec<Vec<u8>>,
    receivers: Vec<Option<SockaddrStorage>>,
    /// Address that all of them are sent from.
    asked: Option<Asked>,
    unsent: u64,
}

impl Outbox {
    pub(super) fn new(local: SocketAddr) -> Self {
        Self {
            headers: headers(local),
            responses: vec![Vec::new(); MESSAGES],
            receivers: Vec::with_capacity(MESSAGES),
            asked: None,
            unsent: 0,
        }
    }

    /// Adds the response that `write` writes, unless it returns false. Sends the previous ones first if
    /// they are too many, or leave from another address.
    pub(super) fn push(
        &mut self,
        receiver: Sender,
        socket: &UdpSocket,
        write: impl FnOnce(&mut Vec<u8>) -> bool,
    ) {
        if self.receivers.len() == MESSAGES || self.asked != receiver.asked {
            self.flush(socket);
        }
        self.asked = receiver.asked;
        let response = &mut self.responses[self.receivers.len()];
        response.clear();
        if write(response) {
            self.receivers.push(Some(receiver.address.into()));
        }
    }

    /// Sends all responses. One that cannot be sent at once is dropped: its client will retry.
    pub(super) fn flush(&mut self, socket: &UdpSocket) {
        let control = self.asked.as_ref().map(Asked::control);
        let control = control.as_slice();
        let fd = socket.as_raw_fd();
        let mut first = 0;
        while first < self.receivers.len() {
            let responses = &self.responses[first..self.receivers.len()];
            let slices: Vec<_> = responses.iter().map(|bytes| [IoSlice::new(bytes)]).collect();
            let receivers = &self.receivers[first..];
            let flags = MsgFlags::MSG_DONTWAIT;
            match sendmmsg(fd, &mut self.headers, &slices, receivers, control, flags) {
                Ok(sent) => first += sent.count().max(1),
                Err(Errno::EINTR) => {}
                Err(_) => {
                    self.unsent += 1;
                    first += 1;
                }
            }
        }
        self.receivers.clear();
    }

    /// Returns the number of responses dropped since the last call.
    pub(super) fn take_unsent(&mut self) -> u64 {
        std::mem::take(&mut self.unsent)
    }
}
