//! Handing a listening socket to a unit that could not inherit it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Sends a duplicate of `listener` to the unit that waits at `path`, beside one byte (unix(7),
/// `SCM_RIGHTS`).
pub(in crate::driver) async fn hand_over(path: &Path, listener: &TcpListener) -> io::Result<()> {
    let stream = UnixStream::connect(path).await?;
    let descriptors = [listener.as_fd()];
    let send = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        let fits = beside.push(SendAncillaryMessage::ScmRights(&descriptors));
        debug_assert!(fits, "the space is for one descriptor");
        Ok(sendmsg(&stream, &[IoSlice::new(&[0])], &mut beside, SendFlags::NOSIGNAL)?)
    };
    stream.async_io(Interest::WRITABLE, send).await.map(drop)
}
