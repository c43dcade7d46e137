//! What a development cluster tells the person who started it: a table, what to try, what happens.

use std::fmt::Write as _;

use clap::Parser;
use comfy_table::{Table, presets};

use super::cluster::Cluster;
use super::echo;
use super::home::log_path;
use super::layout::{Layout, Plan};
use super::process::Program;
use crate::cli::{Cli, Command};
use crate::client;

/// The table of agents.
#[must_use]
pub fn table(cluster: &Cluster, layout: &Layout) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["AGENT", "REGION", "PID", "CLIENTS", "HTTP", "GATEWAYS", "LOG"]);
    for (plan, pid) in cluster.agents() {
        let at = |port: u16| format!("{}:{port}", plan.address);
        let gateways = if plan.witness { "none".to_owned() } else { plan.address.to_string() };
        table.add_row([
            plan.name.to_string(),
            plan.region.to_string(),
            pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            at(layout.client_port),
            at(layout.http_port),
            gateways,
            log_path(plan).display().to_string(),
        ]);
    }
    table.lines().map(|line| line.trim().to_owned() + "\n").collect()
}

/// Three commands to try next.
#[must_use]
pub fn suggestions(program: &Program, layout: &Layout, plans: &[Plan]) -> String {
    let meridian = program.quoted();
    // The client knows the default addresses by itself.
    let default = layout.client_port == 7400 && layout.address_base.octets() == [127, 0, 1, 0];
    let endpoint = match plans.first().filter(|_| !default) {
        Some(plan) => format!(" --endpoint {}:{}", plan.address, layout.client_port),
        None => String::new(),
    };
    let first = layout.regions.first().map_or("", |region| region.as_str());
    let change = match layout.regions.get(1) {
        Some(second) => format!("region set {second}=2 --wait"),
        None => format!("region scale {first} --units 3 --wait"),
    };
    let mut text = String::from("To try in another terminal:\n");
    for command in [&*change, "region list"] {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "    {meridian} {command}{endpoint}");
    }
    if let Some(plan) = plans.first() {
        let port = meridian_domain::limits::FIRST_GATEWAY_PORT;
        let _ = writeln!(text, "    curl http://{}:{port}{}", plan.address, echo::PATH);
    }
    text
}

/// Prints events from a revision on, as they happen, until it is cancelled or the reader goes away.
///
/// # Errors
/// Why no more can be read.
pub async fn follow(layout: &Layout, plans: &[Plan], from: u64) -> Result<(), client::Failure> {
    let endpoints = plans.iter().map(|plan| format!("{}:{}", plan.address, layout.client_port));
    let endpoints = format!("--endpoint={}", endpoints.collect::<Vec<_>>().join(","));
    let words = ["meridian", &endpoints, "events", "--follow", "--from", &from.to_string()];
    match Cli::try_parse_from(words) {
        Ok(Cli { global, command: Command::Client(command) }) => {
            client::dispatch(global, command).await
        }
        Ok(_) | Err(_) => unreachable!("`events` is a client command"),
    }
}
