//! Runs wrk and parses its output.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use super::cores::command;

/// Number of connections; each sends its next request after the response to the last.
const CONNECTIONS: usize = 64;

/// Result of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Number of successful requests.
    pub requests: u64,
    /// Requests per second.
    pub per_second: f64,
    /// Median latency.
    pub median: Duration,
    /// 99th percentile of the latency.
    pub p99: Duration,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { per_second, median, p99, .. } = self;
        write!(f, "{per_second:.0}/s, median {median:.2?}, p99 {p99:.2?}")
    }
}

/// Returns true if wrk is installed.
pub async fn is_installed() -> bool {
    // None of its options exits with status 0.
    Command::new("wrk").arg("-v").output().await.is_ok()
}

/// Sends requests to `url` for `time` with the given number of threads on these cores.
///
/// # Errors
/// If a request fails.
pub async fn run(url: &str, threads: usize, cores: &str, time: Duration) -> anyhow::Result<Sample> {
    let mut command = command(Some(cores), Path::new("wrk"));
    command.args(["--latency", "--threads", &threads.to_string()]);
    command.args(["--connections", &CONNECTIONS.to_string()]);
    command.args(["--duration", &format!("{}s", time.as_secs())]).arg(url);
    let output = command.kill_on_drop(true).output().await.context("cannot run wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk failed for {url}: {text}");
    parse(&text).with_context(|| format!("{url}: {text}"))
}

fn parse(text: &str) -> anyhow::Result<Sample> {
    for bad in ["Socket errors", "Non-2xx or 3xx"] {
        let line = text.lines().find(|line| line.trim_start().starts_with(bad));
        ensure!(line.is_none(), "requests failed: {}", line.unwrap_or_default().trim());
    }
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(name));
        line.map(str::trim).with_context(|| format!("wrk output has no {name}"))
    };
    let requests = text.lines().find_map(|line| line.trim_start().split_once(" requests in "));
    let requests = requests.context("wrk output has no number of requests")?.0.parse()?;
    ensure!(requests > 0, "no request succeeded");
    Ok(Sample {
        requests,
        per_second: value("Requests/sec:")?.parse()?,
        median: duration(value("50%")?)?,
        p99: duration(value("99%")?)?,
    })
}

/// Parses a duration of wrk: `950.00us`, `1.05ms`, `2.00s`, `1.00m`.
fn duration(text: &str) -> anyhow::Result<Duration> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).context("the duration has no unit")?;
    let seconds = match &text[unit..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        other => anyhow::bail!("unknown unit of time: {other}"),
    };
    Ok(Duration::from_secs_f64(text[..unit].parse::<f64>()? * seconds))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    const OUTPUT: &str = "Running 5s test @ http://127.0.0.1:8080/\n  1 threads and 64 connections\n  \
        Thread Stats   Avg      Stdev     Max   +/- Stdev\n    \
        Latency     1.31ms    1.02ms  24.14ms   96.22%\n    \
        Req/Sec    52.04k     3.86k   56.65k    88.00%\n  \
        Latency Distribution\n     50%  950.00us\n     75%    1.40ms\n     90%    1.80ms\n     \
        99%    5.04ms\n  258917 requests in 5.00s, 293.12MB read\n\
        Requests/sec:  51771.70\nTransfer/sec:     58.61MB\n";

    #[test]
    fn the_output_of_wrk_is_parsed() {
        let sample = parse(OUTPUT).unwrap();
        assert_eq!((sample.requests, sample.per_second), (258_917, 51_771.7));
        assert_eq!(sample.median, Duration::from_micros(950));
        assert_eq!(sample.p99, Duration::from_micros(5_040));
    }

    #[test]
    fn a_run_with_failed_requests_is_an_error() {
        let errors = "  Socket errors: connect 0, read 3, write 0, timeout 0\nRequests/sec";
        let failed = parse(&OUTPUT.replace("Requests/sec", errors)).unwrap_err();
        assert!(failed.to_string().contains("read 3"), "{failed}");
        let status = "  Non-2xx or 3xx responses: 7\nRequests/sec";
        let failed = parse(&OUTPUT.replace("Requests/sec", status)).unwrap_err();
        assert!(failed.to_string().contains("responses: 7"), "{failed}");
    }
}
