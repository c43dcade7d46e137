//! Telemetry of an agent: logs on standard error, metrics and health over HTTP.

pub mod health;
pub mod logs;
pub mod metrics;
