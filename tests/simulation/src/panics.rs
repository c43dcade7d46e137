//! Panics anywhere in the process: a runtime would swallow those of its tasks.

use std::sync::OnceLock;

static FIRST: OnceLock<String> = OnceLock::new();

/// Notes the first panic from here on.
pub fn watch() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Only the first one counts: others follow from it.
        let _ = FIRST.set(panic.to_string());
        before(panic);
    }));
}

/// The first panic, if there was one.
#[must_use]
pub fn first() -> Option<&'static str> {
    FIRST.get().map(String::as_str)
}
