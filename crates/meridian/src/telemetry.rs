//! What an agent tells about itself: logs to standard error, metrics and health over HTTP.

pub mod health;
pub mod http;
pub mod logs;
pub mod metrics;
