//! What operators learn of a backend that cannot be reached: its callers are told no more than that.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After what time the same trouble is told again.
const SAME_AGAIN: Duration = Duration::from_secs(60);
/// After what time another is.
const OTHER_AGAIN: Duration = Duration::from_secs(1);

/// What was told last of a backend. Each call meets its trouble anew, so most is not worth a line.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    told: Mutex<Option<Told>>,
}

#[derive(Debug)]
struct Told {
    why: String,
    at: Instant,
}

impl Trouble {
    /// Logs that the backend of `api` cannot be reached.
    pub(crate) fn tell(&self, api: &str, error: &(dyn Error + 'static)) {
        let why = whole(error);
        if self.is_news(&why, Instant::now()) {
            tracing::warn!(api, %why, "the backend of an API cannot be reached");
        } else {
            tracing::debug!(api, %why, "the backend of an API cannot be reached");
        }
    }

    fn is_news(&self, why: &str, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = told.as_ref().is_some_and(|told| {
            let again = if told.why == why { SAME_AGAIN } else { OTHER_AGAIN };
            now.saturating_duration_since(told.at) < again
        });
        if !is_known {
            *told = Some(Told { why: why.to_owned(), at: now });
        }
        !is_known
    }
}

/// An error with its causes. Wrapped ones say the same again.
fn whole(error: &(dyn Error + 'static)) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.dedup();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_no_news_for_a_minute() {
        let (trouble, begin) = (Trouble::default(), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        for (why, at, is_news) in [
            ("refused", 0, true),
            ("refused", 59, false),
            ("expired", 59, true),
            ("refused", 59, false),
            ("expired", 61, false),
            ("expired", 119, true),
        ] {
            assert_eq!(trouble.is_news(why, after(at)), is_news, "{why} after {at} s");
        }
    }
}
