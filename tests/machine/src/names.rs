//! Name lookups.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use libc::addrinfo;

use crate::page::page;

/// Suffix of the names that contain their address. Reserved for tests (RFC 6761, section 6.2).
const SUFFIX: &str = ".machine.test";

type GetAddrInfo = unsafe extern "C" fn(
    *const c_char,
    *const c_char,
    *const addrinfo,
    *mut *mut addrinfo,
) -> c_int;

/// The function of the C library, which this library hides.
static NEXT: LazyLock<Option<GetAddrInfo>> = LazyLock::new(|| {
    // SAFETY: the name is a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, c"getaddrinfo".as_ptr()) };
    // SAFETY: the C library defines the function with this signature; a null pointer is `None`.
    unsafe { mem::transmute::<*mut c_void, Option<GetAddrInfo>>(found) }
});

/// See `getaddrinfo(3)`. An address instead of a name is never delayed.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    found: *mut *mut addrinfo,
) -> c_int {
    let Some(next) = *NEXT else { return libc::EAI_FAIL };
    // SAFETY: the caller passes a C string or null.
    let name = (!node.is_null()).then(|| unsafe { CStr::from_ptr(node) }.to_string_lossy());
    let name = name.filter(|name| name.parse::<IpAddr>().is_err());
    if let (Some(page), Some(_)) = (page(), &name) {
        page.delay_lookup();
    }
    let address = name.as_deref().and_then(address);
    let node = address.as_ref().map_or(node, |address| address.as_ptr());
    // SAFETY: the other arguments are passed on, and `address` outlives the call.
    unsafe { next(node, service, hints, found) }
}

/// Returns the address that a name contains.
fn address(name: &str) -> Option<CString> {
    let address: Ipv4Addr = name.strip_suffix(SUFFIX)?.replace('-', ".").parse().ok()?;
    CString::new(address.to_string()).ok()
}
