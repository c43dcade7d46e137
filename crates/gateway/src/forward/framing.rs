//! Validation of message framing.

use hyper::Version;
use hyper::header::TRANSFER_ENCODING;
use hyper::http::request::Parts;

use crate::client_connection::Framing;
use crate::problem::Problem;

/// Rejects a request whose end an intermediary before or after the unit may see elsewhere. Returns
/// true if that cannot be ruled out, so that the connection must be closed after the response.
pub(crate) fn check_framing(parts: &Parts, framing: Framing) -> Result<bool, Problem> {
    let mut encodings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let encoding = match encodings.next() {
        Some(encoding) if parts.version < Version::HTTP_2 => encoding.as_bytes(),
        _ => return Ok(false),
    };
    let is_chunked = encoding.trim_ascii().eq_ignore_ascii_case(b"chunked");
    if !is_chunked || encodings.next().is_some() {
        return Err(Problem::BadRequest(
            "unsupported Transfer-Encoding: only chunked is supported",
        ));
    }
    match framing {
        Framing::Ambiguous => {
            Err(Problem::BadRequest("both Content-Length and Transfer-Encoding are present"))
        }
        Framing::NotScanned => Ok(true),
        Framing::Unambiguous => Ok(false),
    }
}
