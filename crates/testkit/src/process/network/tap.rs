//! A TAP device: an Ethernet interface to the kernel whose other end is this program. See
//! `Documentation/networking/tuntap.rst` in the Linux source.

use std::ffi::{c_int, c_short};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use rustix::fs::{Mode, OFlags, open};
use rustix::{io, ioctl};

/// `TUNSETIFF`.
const SET: ioctl::Opcode = ioctl::opcode::write::<c_int>(b'T', 202);
/// `IFF_TAP | IFF_NO_PI`: Ethernet frames without a packet information header.
const FRAMES: c_short = 0x1002;
/// Name pattern; the kernel substitutes the first free number.
const NAME: &[u8] = b"meridian%d";

/// `struct ifreq` of netdevice(7), reduced to the used fields.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: c_short,
    rest: [u8; 22],
}

/// A TAP device. Dropping it removes the interface, in whichever namespace it is by then.
#[derive(Debug)]
pub struct Tap {
    descriptor: OwnedFd,
    /// Name of the interface at creation.
    pub name: String,
}

impl Tap {
    /// Creates a device in the network namespace of the calling thread.
    ///
    /// # Errors
    /// If the kernel does not support TAP devices, or root privileges are missing.
    pub fn create() -> anyhow::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let descriptor =
            open("/dev/net/tun", flags, Mode::empty()).context("cannot open /dev/net/tun")?;
        let mut request = Request { name: [0; 16], flags: FRAMES, rest: [0; 22] };
        request.name[..NAME.len()].copy_from_slice(NAME);
        set(&descriptor, &mut request).context("cannot create a TAP device")?;
        let name = request.name.into_iter().take_while(|byte| *byte != 0).collect();
        Ok(Self {
            descriptor,
            name: String::from_utf8(name).context("the interface name is not UTF-8")?,
        })
    }

    /// Reads the next frame into the buffer and returns its length, or `None` if there is none.
    pub fn receive(&self, frame: &mut [u8]) -> Option<usize> {
        io::read(&self.descriptor, frame).ok()
    }

    /// Delivers a frame to the interface. If it is down, the frame is lost.
    pub fn send(&self, frame: &[u8]) {
        let _ = io::write(&self.descriptor, frame);
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[allow(unsafe_code, reason = "there is no safe API to create a TAP device")]
fn set(descriptor: &OwnedFd, request: &mut Request) -> io::Result<()> {
    // SAFETY: this request reads and writes a `struct ifreq`; `Request` has its layout and its size
    // of 40 bytes.
    unsafe { ioctl::ioctl(descriptor, ioctl::Updater::<SET, Request>::new(request)) }
}
