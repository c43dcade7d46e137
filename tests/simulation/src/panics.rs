//! Detection of panics in the process, because runtimes catch those of their tasks.

use std::sync::OnceLock;

static FIRST: OnceLock<String> = OnceLock::new();

/// Records the first panic from now on.
pub fn watch() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Only the first panic is kept; later ones are consequences.
        let _ = FIRST.set(panic.to_string());
        before(panic);
    }));
}

/// Returns the first panic, if any.
#[must_use]
pub fn first() -> Option<&'static str> {
    FIRST.get().map(String::as_str)
}
