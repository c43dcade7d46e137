//! The script, the style sheet and the icon, which are part of the binary.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Content of the files.
const SCRIPT: &str = include_str!("../assets/portal.js");
const STYLE: &str = include_str!("../assets/portal.css");
const ICON: &str = include_str!("../assets/icon.svg");

/// Paths of the files. They contain a digest of the content, so that a browser keeps a file for as long as
/// it is the same.
pub(crate) static SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| path("portal", SCRIPT, "js"));
pub(crate) static STYLE_PATH: LazyLock<String> = LazyLock::new(|| path("portal", STYLE, "css"));
pub(crate) static ICON_PATH: LazyLock<String> = LazyLock::new(|| path("icon", ICON, "svg"));

/// Returns a file. A name with another digest is that of another version of this software: it gets this
/// one's file, which nobody keeps.
pub(crate) async fn get(Path(name): Path<String>) -> Response {
    let path = format!("/assets/{name}");
    let (known, kind, content) = match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js") => (&*SCRIPT_PATH, "text/javascript; charset=utf-8", SCRIPT),
        Some("css") => (&*STYLE_PATH, "text/css; charset=utf-8", STYLE),
        Some("svg") => (&*ICON_PATH, "image/svg+xml", ICON),
        _ => return (StatusCode::NOT_FOUND, "not found\n").into_response(),
    };
    let keep = if *known == path { "public, max-age=31536000, immutable" } else { "no-store" };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)], content).into_response()
}

fn path(name: &str, content: &str, extension: &str) -> String {
    // FNV-1a (draft-eastlake-fnv): it only has to differ between versions.
    let digest = content.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("/assets/{name}-{digest:016x}.{extension}")
}
