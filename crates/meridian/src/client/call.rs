//! `meridian call`: calls a service as its clients do, and shows who answered.
//!
//! ```text
//! agents --GetDns--> zone, name servers        name_servers
//! SERVICE.ZONE --DNS--> addresses              resolver
//! address --HTTP--> response, unit             request
//! calls --> requests, failed, longest gap      summary
//! ```

mod name_servers;
mod request;
mod resolver;
mod summary;

use std::io;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::cli::CallArgs;

use self::request::{Destination, Response};
use self::resolver::Resolver;
use self::summary::{CallView, Summary};
use super::failure::Failure;
use super::lookup;
use super::output;
use super::session::Session;

/// Maximum time of a call, lookup included. A region that was cut off refuses nothing.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Calls a service once, or at an interval until Ctrl-C, and prints each call and a summary.
///
/// # Errors
/// If the name of the service cannot be resolved at all, because no agent responds or no zone is
/// configured; after printing if a call failed.
pub async fn run(session: &Session, args: CallArgs) -> Result<(), Failure> {
    let servers = name_servers::find(session, args.near.as_deref()).await?;
    let services = lookup::services(session).await?;
    let name = args.destination.service.as_str();
    let service = services.into_iter().find(|service| service.name == name);
    let service = service.ok_or_else(|| Failure::Refused {
        cause: format!("service {name} not found"),
        next: "`meridian service list` lists the services".to_owned(),
    })?;
    let host = format!("{name}.{}", servers.zone);
    let resolver = Resolver::new(&servers.addresses, &host);
    let resolver = resolver.map_err(|error| Failure::Runtime(io::Error::other(error)))?;
    let destination = Destination { host, port: service.port, path: args.destination.path };
    let mut caller = Caller { resolver, destination };
    let count = args.count.unwrap_or(if args.every.is_some() { u64::MAX } else { 1 });
    let mut summary = Summary::default();
    let mut ticks = interval(args.every.unwrap_or(Duration::from_secs(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..count {
        tokio::select! {
            result = next(&mut caller, &mut ticks) => print(session, &mut summary, result)?,
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    if count > 1 {
        summary.print(session.output)?;
    }
    if summary.requests == 0 {
        return Err(Failure::Interrupted);
    }
    match summary.failed {
        0 => Ok(()),
        failed => Err(Failure::CallsFailed { failed, requests: summary.requests }),
    }
}

async fn next(caller: &mut Caller, ticks: &mut tokio::time::Interval) -> CallView {
    ticks.tick().await;
    let (time, started) = (SystemTime::now(), Instant::now());
    let result = caller.call().await;
    CallView::new(time, started.elapsed(), result)
}

fn print(session: &Session, summary: &mut Summary, call: CallView) -> Result<(), Failure> {
    summary.add(&call);
    let line = if session.output.is_json() { output::json_line(&call)? } else { call.line() };
    output::write(&line)
}

struct Caller {
    resolver: Resolver,
    destination: Destination,
}

impl Caller {
    /// Calls the service at the addresses of its name, in their order, until one responds. After a
    /// failure the name is resolved again by the next call.
    async fn call(&mut self) -> Result<Response, String> {
        let called = timeout(CALL_TIMEOUT, self.at_any_address()).await;
        let called = called.unwrap_or_else(|_| Err(format!("no response within {CALL_TIMEOUT:?}")));
        if called.is_err() {
            self.resolver.forget();
        }
        called
    }

    async fn at_any_address(&mut self) -> Result<Response, String> {
        let mut last = format!("{} has no address", self.destination.host);
        for address in self.resolver.addresses().await? {
            match request::send(&self.destination, address).await {
                Ok(response) => return Ok(response),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
