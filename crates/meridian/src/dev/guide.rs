//! Texts for the user of a development cluster: the table of agents, commands to try, events.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use clap::Parser;
use comfy_table::{Table, presets};

use super::echo;
use super::layout::{Layout, Plan};
use super::process::Program;
use crate::cli::{Cli, Command};
use crate::client;

/// Contents of the header.
pub struct Guide<'a> {
    /// The layout of the cluster.
    pub layout: &'a Layout,
    /// Its agents.
    pub plans: &'a [Plan],
    /// The data directory.
    pub directory: &'a Path,
    /// The binary of the agents.
    pub program: &'a Program,
    /// Regions of its services.
    pub served: &'a BTreeSet<String>,
}

impl Guide<'_> {
    /// Returns the header: the table of agents with `pids`, commands to try, and the address of the
    /// portal.
    #[must_use]
    pub fn header(&self, pids: &[Option<u32>]) -> String {
        let logs = relative(self.directory).join("AGENT/agent.log");
        let path = self.program.on_path();
        format!(
            "{}logs: {}\n\nTo try in another terminal:\n{}{}",
            self.table(pids),
            logs.display(),
            self.commands(path.as_deref(), pids),
            self.portal(pids)
        )
    }

    /// Returns the address of the page that a running agent serves.
    fn portal(&self, pids: &[Option<u32>]) -> String {
        let running = self.plans.iter().zip(pids).find(|(_, pid)| pid.is_some());
        let Some((plan, _)) = running else { return String::new() };
        let (address, port) = (plan.address, self.layout.http_port);
        format!("\nOr in a browser, on any agent: http://{address}:{port}/\n")
    }

    fn table(&self, pids: &[Option<u32>]) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header(["AGENT", "PID", "CLIENTS", "HTTP", "GATEWAYS"]);
        for (plan, pid) in self.plans.iter().zip(pids) {
            let at = |port: u16| format!("{}:{port}", plan.address);
            let gateways =
                if plan.witness { "witness".to_owned() } else { plan.address.to_string() };
            table.add_row([
                plan.name.to_string(),
                pid.map_or_else(|| "exited".to_owned(), |pid| pid.to_string()),
                at(self.layout.client_port),
                at(self.layout.http_port),
                gateways,
            ]);
        }
        table.lines().map(|line| line.trim().to_owned() + "\n").collect()
    }

    /// Returns the client addresses of two agents: one is left after the other is killed.
    fn endpoints(&self) -> String {
        let address = |plan: &Plan| format!("{}:{}", plan.address, self.layout.client_port);
        self.plans.iter().take(2).map(address).collect::<Vec<_>>().join(",")
    }

    /// Returns commands to try, the same as in README. `path` is the line that puts the binary on the
    /// PATH, if it is not there.
    fn commands(&self, path: Option<&str>, pids: &[Option<u32>]) -> String {
        let mut text = String::new();
        let mut line = |command: &str| {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "    {command}");
        };
        if let Some(path) = path {
            line(path);
        }
        // The client knows the default addresses.
        let base = self.layout.address_base.octets();
        let default = self.layout.client_port == 7400 && base == [127, 0, 1, 0];
        if !default {
            line(&format!("export MERIDIAN_ENDPOINTS={}", self.endpoints()));
        }
        let regions = &self.layout.regions;
        let (Some(primary), target) = (regions.first(), regions.get(1)) else {
            return text;
        };
        match target {
            Some(second) if self.served.contains(second.as_str()) => {}
            Some(second) => line(&format!("meridian region add {second} --units 2 --wait")),
            None => line(&format!("meridian region scale {primary} --units 2 --wait")),
        }
        line("meridian region list");
        let gateway = self.plans.get(usize::from(target.is_some())).map(|plan| plan.address);
        if let Some(address) = gateway {
            let port = meridian_domain::limits::FIRST_GATEWAY_PORT;
            line(&format!("curl http://{address}:{port}{}", echo::PATH));
        }
        // With one agent there is no quorum without it.
        if let (Some(second), Some(pid)) = (target, pids.first()) {
            let kill = pid.map(|pid| format!("kill -9 {pid}; ")).unwrap_or_default();
            line(&format!("{kill}meridian region scale {second} --units 3 --wait"));
        }
        text
    }
}

/// Returns the path relative to the working directory if it is within it.
fn relative(path: &Path) -> &Path {
    let within = std::env::current_dir().ok();
    within.and_then(|directory| path.strip_prefix(directory).ok()).unwrap_or(path)
}

/// Prints events from the revision `from` on as they happen, until it is cancelled or standard output is
/// closed.
///
/// # Errors
/// The reason why no further events can be read.
pub async fn follow(layout: &Layout, plans: &[Plan], from: u64) -> Result<(), client::Failure> {
    let endpoints = plans.iter().map(|plan| format!("{}:{}", plan.address, layout.client_port));
    let endpoints = format!("--endpoint={}", endpoints.collect::<Vec<_>>().join(","));
    let words = ["meridian", "events", &endpoints, "--follow", "--from", &from.to_string()];
    match Cli::try_parse_from(words) {
        Ok(Cli { command: Command::Client(command) }) => client::dispatch(command).await,
        Ok(_) | Err(_) => unreachable!("`events` is a client command"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::path::PathBuf;

    use super::*;
    use crate::cli::LayoutArgs;
    use crate::dev::screen;

    fn header(regions: &str, served: &[&str]) -> String {
        header_at(None, regions, served)
    }

    fn header_at(address_base: Option<Ipv4Addr>, regions: &str, served: &[&str]) -> String {
        let regions = Some(regions.split(',').map(str::to_owned).collect());
        let arguments = LayoutArgs { regions, address_base, ..LayoutArgs::default() };
        let layout = Layout::resolve(None, &arguments).expect("valid layout");
        let directory = std::env::current_dir().expect("exists").join(".meridian");
        let plans = layout.plans(&directory).expect("valid names");
        let program = Program::at(PathBuf::from("/opt/meridian/target/release/meridian"));
        let served = served.iter().map(|region| (*region).to_owned()).collect();
        let pids: Vec<_> = (4_194_301..).take(plans.len()).map(Some).collect();
        let guide = Guide {
            layout: &layout,
            plans: &plans,
            directory: &directory,
            program: &program,
            served: &served,
        };
        guide.header(&pids)
    }

    #[test]
    fn the_header_of_a_new_cluster_has_the_commands_of_the_readme() {
        let expected = "\
AGENT          PID      CLIENTS         HTTP            GATEWAYS
westeurope     4194301  127.0.1.1:7400  127.0.1.1:7480  127.0.1.1
eastus         4194302  127.0.1.2:7400  127.0.1.2:7480  127.0.1.2
southeastasia  4194303  127.0.1.3:7400  127.0.1.3:7480  127.0.1.3
logs: .meridian/AGENT/agent.log

To try in another terminal:
    export PATH=\"/opt/meridian/target/release:$PATH\"
    meridian region add eastus --units 2 --wait
    meridian region list
    curl http://127.0.1.2:8080/echo
    kill -9 4194301; meridian region scale eastus --units 3 --wait

Or in a browser, on any agent: http://127.0.1.1:7480/
";
        assert_eq!(header("westeurope,eastus,southeastasia", &[]), expected);
        let readme = include_str!("../../../../README.md");
        let lines: Vec<_> =
            readme.lines().map(|line| line.split(" #").next().unwrap_or("")).collect();
        let commands = expected.lines().filter_map(|line| line.strip_prefix("    "));
        for command in commands.filter(|line| !line.starts_with("export ")) {
            let command = command.strip_prefix("kill -9 4194301; ").unwrap_or(command);
            assert!(
                lines.iter().any(|line| line.trim() == command),
                "{command} is not in README.md"
            );
        }
    }

    #[test]
    fn the_commands_work_at_other_addresses_even_after_one_agent_is_killed() {
        let header = header_at(Some(Ipv4Addr::new(127, 100, 100, 200)), "eastus,japaneast", &[]);
        let export = "export MERIDIAN_ENDPOINTS=127.100.100.201:7400,127.100.100.202:7400\n";
        assert!(header.contains(export), "{header}");
        assert!(header.lines().all(|line| line.chars().count() <= 80), "{header}");
    }

    #[test]
    fn every_header_fits_80_columns_and_leaves_room_for_events() {
        let regions = "germanywestcentral,southafricanorth,australiasoutheast";
        for regions in [regions, "eastus,japaneast", "eastus"] {
            let header = header(regions, &[]);
            assert!(header.lines().all(|line| line.chars().count() <= 80), "{header}");
            assert!(screen::fits(&header, 24, 80), "{header}");
        }
        assert!(!header("eastus", &[]).contains("kill"));
        assert!(!header("eastus,japaneast", &["japaneast"]).contains("region add"));
    }
}
