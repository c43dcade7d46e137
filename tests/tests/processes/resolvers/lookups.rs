//! Lookups by the resolver library of the system, with a configuration of their own.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::ensure;
use tokio::process::Command;

/// Runs `getent` a number of times, and marks the end of the output of each with its exit code.
const LOOKUPS: &str = "mount --bind \"$1/resolv.conf\" /etc/resolv.conf && \
     mount --bind \"$1/nsswitch.conf\" /etc/nsswitch.conf || exit 9
     for number in $(seq \"$3\"); do getent ahosts \"$2\"; echo \"end $?\"; done";

/// Returns true if this process may have mounts of its own, which needs root.
pub async fn can_mount() -> bool {
    let status = Command::new("unshare").args(["--mount", "true"]).status().await;
    status.is_ok_and(|status| status.success())
}

/// Addresses that a lookup found, in the order in which a client tries them.
pub type Found = Vec<IpAddr>;

/// Looks a name up a number of times by `getent ahosts`, with `resolver` as the only name server.
///
/// # Errors
/// If a lookup fails.
pub async fn look_up(
    directory: &Path,
    resolver: Ipv4Addr,
    name: &str,
    count: usize,
) -> anyhow::Result<Vec<Found>> {
    let directory = directory.join(format!("lookups-{resolver}"));
    fs::create_dir_all(&directory)?;
    let options = "options timeout:2 attempts:3";
    fs::write(directory.join("resolv.conf"), format!("nameserver {resolver}\n{options}\n"))?;
    fs::write(directory.join("nsswitch.conf"), "hosts: files dns\n")?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", LOOKUPS, "sh"]);
    command.arg(&directory).args([name, &count.to_string()]).kill_on_drop(true);
    let output = command.output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut all = Vec::new();
    let mut found = Found::new();
    for line in text.lines() {
        match line.strip_prefix("end ") {
            Some(code) => {
                ensure!(code == "0" && !found.is_empty(), "getent exited with {code}: {found:?}");
                all.push(std::mem::take(&mut found));
            }
            None => {
                let address = line.split(' ').next().unwrap_or_default().parse()?;
                // Once for each type of socket.
                if !found.contains(&address) {
                    found.push(address);
                }
            }
        }
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(all.len() == count, "{} lookups: {errors}", all.len());
    Ok(all)
}

/// Returns the addresses that any of the lookups found.
pub fn union(lookups: &[Found]) -> BTreeSet<IpAddr> {
    lookups.iter().flatten().copied().collect()
}
