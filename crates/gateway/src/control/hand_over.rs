//! A descriptor beside the bytes of a frame (unix(7), SCM_RIGHTS).

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Sends `bytes`, or their beginning, and with the first of them a duplicate of `descriptor`.
/// Returns how many were sent.
pub(super) async fn send(
    stream: &UnixStream,
    bytes: &[u8],
    descriptor: &impl AsFd,
) -> io::Result<usize> {
    let descriptors = [descriptor.as_fd()];
    stream
        .async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut beside = SendAncillaryBuffer::new(&mut space);
            let fits = beside.push(SendAncillaryMessage::ScmRights(&descriptors));
            debug_assert!(fits, "the space is for one descriptor");
            let slices = [IoSlice::new(bytes)];
            Ok(sendmsg(stream, &slices, &mut beside, SendFlags::NOSIGNAL)?)
        })
        .await
}
