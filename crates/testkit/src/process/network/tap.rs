//! A TAP device: an Ethernet interface like any other to the kernel, and its cable ends in this
//! program. See `Documentation/networking/tuntap.rst` of Linux.

use std::ffi::{c_int, c_short};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use rustix::fs::{Mode, OFlags, open};
use rustix::{io, ioctl};

/// `TUNSETIFF`.
const SET: ioctl::Opcode = ioctl::opcode::write::<c_int>(b'T', 202);
/// `IFF_TAP | IFF_NO_PI`: Ethernet frames, and nothing before each.
const FRAMES: c_short = 0x1002;
/// What the kernel makes a name of that is free.
const NAME: &[u8] = b"meridian%d";

/// `struct ifreq` of netdevice(7), as far as it is used here.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: c_short,
    rest: [u8; 22],
}

/// A device. It is gone once this is dropped, in whichever namespace it is by then.
#[derive(Debug)]
pub struct Tap {
    descriptor: OwnedFd,
    /// Its name where it was made.
    pub name: String,
}

impl Tap {
    /// Makes one in the network namespace of this thread.
    ///
    /// # Errors
    /// If the kernel has no such devices, or it is not root who asks.
    pub fn create() -> anyhow::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let descriptor = open("/dev/net/tun", flags, Mode::empty()).context("/dev/net/tun")?;
        let mut request = Request { name: [0; 16], flags: FRAMES, rest: [0; 22] };
        request.name[..NAME.len()].copy_from_slice(NAME);
        set(&descriptor, &mut request).context("a TAP device cannot be made")?;
        let name = request.name.into_iter().take_while(|byte| *byte != 0).collect();
        Ok(Self { descriptor, name: String::from_utf8(name).context("a name is ASCII")? })
    }

    /// The next frame that was sent over it, if there is one, and its length.
    pub fn receive(&self, frame: &mut [u8]) -> Option<usize> {
        io::read(&self.descriptor, frame).ok()
    }

    /// Has a frame arrive there. Where the device is down, it is lost, as by any cable.
    pub fn send(&self, frame: &[u8]) {
        let _ = io::write(&self.descriptor, frame);
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[allow(unsafe_code, reason = "no safe call makes a TAP device")]
fn set(descriptor: &OwnedFd, request: &mut Request) -> io::Result<()> {
    // SAFETY: the kernel reads and writes a `struct ifreq` for this request, which `Request` is, in
    // layout and in its 40 bytes.
    unsafe { ioctl::ioctl(descriptor, ioctl::Updater::<SET, Request>::new(request)) }
}
