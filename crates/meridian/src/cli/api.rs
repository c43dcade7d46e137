//! `meridian api`.

use std::str::FromStr;

use clap::{Args, Subcommand};
use meridian_domain::api::BackendError;
use meridian_domain::{ApiPath, BackendUrl, limits};

use super::duration::{self, NotADuration};
use super::options::{ConfirmOption, Options, ServiceChangeOptions, ServiceReadOptions};

/// Subcommands of `meridian api`.
#[derive(Debug, Clone, Subcommand)]
pub enum ApiCommand {
    /// Publish an API of a service, or replace the one with the same name
    #[command(after_help = "\
Examples:
  meridian api publish orders --path /orders --backend http://10.0.0.7:8080
  meridian api publish orders --path /orders --response-timeout 2s --wait \\
      --backend https://orders.example.com \\
      --backend eastus=https://us.example.com
  meridian api publish greeter --path /hello.Greeter \\
      --backend h2c://greeter.internal:50051/hello.Greeter")]
    Publish(PublishArgs),
    /// List the APIs of a service
    #[command(visible_alias = "ls")]
    List(ServiceReadOptions),
    /// Show an API of a service
    Show(ShowApiArgs),
    /// Remove an API from a service
    #[command(visible_alias = "rm", alias = "delete")]
    Remove(RemoveApiArgs),
}

impl ApiCommand {
    pub(super) fn options(&self) -> Options {
        match self {
            Self::Publish(args) => Options::from(&args.options),
            Self::List(options) => options.into(),
            Self::Show(args) => Options::from(&args.options),
            Self::Remove(args) => Options::from(&args.options).with_confirm(&args.confirm),
        }
    }
}

/// `meridian api show`.
#[derive(Debug, Clone, Args)]
pub struct ShowApiArgs {
    /// API
    pub name: String,
    /// Options of a read.
    #[command(flatten)]
    pub options: ServiceReadOptions,
}

/// `meridian api remove`.
#[derive(Debug, Clone, Args)]
pub struct RemoveApiArgs {
    /// API
    pub name: String,
    /// Confirmation.
    #[command(flatten)]
    pub confirm: ConfirmOption,
    /// Options of a change to a service.
    #[command(flatten)]
    pub options: ServiceChangeOptions,
}

/// `meridian api publish`.
#[derive(Debug, Clone, Args)]
#[command(override_usage = "\
meridian api publish [OPTIONS] --path <PATH>
           --backend <[REGION=]URL>... <NAME>")]
pub struct PublishArgs {
    /// Name: 1 to 50 lowercase letters, digits and hyphens
    pub name: String,
    /// Path prefix of its requests: /orders matches /orders and /orders/5, not /ordersx. The
    /// longest matching prefix wins
    #[arg(long, value_name = "PATH")]
    pub path: ApiPath,
    /// Backend, without credentials. Give one without a region, and one with REGION= for each
    /// region that has its own backend. http is HTTP/1.1, https is HTTP/2 if the backend offers it,
    /// h2c is HTTP/2 without TLS
    #[arg(long = "backend", value_name = "[REGION=]URL", required = true)]
    pub backends: Vec<Backend>,
    /// Timeout for connecting to the backend, 1ms to 10m [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = parse_timeout)]
    pub connect_timeout: Option<u32>,
    /// Timeout for the response head, 1ms to 10m [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = parse_timeout)]
    pub response_timeout: Option<u32>,
    /// Timeout between two parts of a body, 1ms to 10m [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = parse_timeout)]
    pub idle_timeout: Option<u32>,
    /// Options of a change to a service.
    #[command(flatten)]
    pub options: ServiceChangeOptions,
}

/// Backend as given: `URL` or `REGION=URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Region that uses the backend, as given; `None` for the default backend.
    pub region: Option<String>,
    /// URL of the backend.
    pub url: BackendUrl,
}

/// The text is not a backend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotABackend {
    /// The region before the equals sign is empty.
    #[error("use URL, or REGION=URL for the backend of one region")]
    Region,
    /// The URL is invalid.
    #[error(transparent)]
    Url(#[from] BackendError),
}

impl FromStr for Backend {
    type Err = NotABackend;

    fn from_str(text: &str) -> Result<Self, NotABackend> {
        // An equals sign after the scheme belongs to the URL.
        let scheme_end = text.find("://").unwrap_or(text.len());
        let (region, url) = match text.split_at(scheme_end).0.split_once('=') {
            Some((region, _)) => (Some(region), &text[region.len() + 1..]),
            None => (None, text),
        };
        if region.is_some_and(|region| region.trim().is_empty()) {
            return Err(NotABackend::Region);
        }
        Ok(Self { region: region.map(str::to_owned), url: BackendUrl::new(url)? })
    }
}

/// The text is not a timeout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum NotATimeout {
    #[error(transparent)]
    Duration(#[from] NotADuration),
    #[error("use whole milliseconds, from 1ms to {}m", limits::MAX_TIMEOUT_MS / 60_000)]
    Range,
}

/// Parses a timeout, in milliseconds.
fn parse_timeout(text: &str) -> Result<u32, NotATimeout> {
    let timeout = duration::parse(text)?;
    let is_whole = timeout.subsec_nanos() % 1_000_000 == 0;
    let millis = u32::try_from(timeout.as_millis()).ok().filter(|_| is_whole);
    millis.filter(|millis| *millis <= limits::MAX_TIMEOUT_MS).ok_or(NotATimeout::Range)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn backend(region: Option<&str>, url: &str) -> Backend {
        let url = BackendUrl::new(url).expect("is a backend");
        Backend { region: region.map(str::to_owned), url }
    }

    #[test]
    fn a_backend_has_a_region_if_an_equals_sign_precedes_the_scheme() {
        for (text, expected) in [
            ("http://a", backend(None, "http://a")),
            ("http://a/x=1", backend(None, "http://a/x=1")),
            ("http://a/x=http://b", backend(None, "http://a/x=http:/b")),
            ("eastus=http://a:1", backend(Some("eastus"), "http://a:1")),
            ("East US=https://a/x=1", backend(Some("East US"), "https://a/x=1")),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_invalid_backend_is_refused_with_its_reason() {
        let refused = |text: &str| text.parse::<Backend>().expect_err(text);
        assert_eq!(refused("=http://a"), NotABackend::Region);
        assert_eq!(refused(" =http://a"), NotABackend::Region);
        for text in ["", "orders", "eastus=", "eastus=orders:80", "a=b=http://c"] {
            assert_eq!(refused(text), NotABackend::Url(BackendError::Scheme), "{text}");
        }
        assert_eq!(refused("eastus=http://u:p@a"), NotABackend::Url(BackendError::Credentials));
    }

    #[test]
    fn a_timeout_is_parsed_in_milliseconds() {
        for (text, millis) in [("5s", 5_000), ("0.25", 250), ("7ms", 7), ("10m", 600_000)] {
            assert_eq!(parse_timeout(text), Ok(millis), "{text}");
        }
        for bad in ["11m", "1h", "0.5ms", "1.5ms"] {
            assert_eq!(parse_timeout(bad), Err(NotATimeout::Range), "{bad}");
        }
        assert_eq!(parse_timeout("soon"), Err(NotATimeout::Duration(NotADuration)));
    }

    #[test]
    fn an_api_requires_a_name_a_path_and_a_backend() {
        let parses = |line: &str| {
            let words = ["meridian", "api", "publish"].into_iter().chain(line.split(' '));
            Cli::try_parse_from(words).is_ok()
        };
        assert!(parses("a --path /a --backend http://a --backend eastus=http://b"));
        for line in [
            "a --path /a",
            "a --backend http://a",
            "--path /a --backend http://a",
            "a --path a --backend http://a",
            "a --path /a --backend a",
            "a --path /a --backend http://a --idle-timeout 0",
        ] {
            assert!(!parses(line), "{line}");
        }
    }
}
