//! Whether it is certain where a call ends.

use hyper::Version;
use hyper::header::TRANSFER_ENCODING;
use hyper::http::request::Parts;

use crate::caller::Framing;
use crate::problem::Problem;

/// Refuses a call whose end an intermediary before or after the unit may see elsewhere. Whether
/// the connection has to be closed after its answer, since that cannot be ruled out.
pub(crate) fn check_framing(parts: &Parts, framing: Framing) -> Result<bool, Problem> {
    let mut encodings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let encoding = match encodings.next() {
        Some(encoding) if parts.version < Version::HTTP_2 => encoding.as_bytes(),
        _ => return Ok(false),
    };
    let is_chunked = encoding.trim_ascii().eq_ignore_ascii_case(b"chunked");
    if !is_chunked || encodings.next().is_some() {
        return Err(Problem::BadRequest("the one Transfer-Encoding that is known is chunked"));
    }
    match framing {
        Framing::Ambiguous => {
            Err(Problem::BadRequest("there are both Content-Length and Transfer-Encoding"))
        }
        Framing::Unseen => Ok(true),
        Framing::Clear => Ok(false),
    }
}
