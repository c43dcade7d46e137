//! Recursive resolvers of others, and the root zone that leads them to the name servers of a cluster.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use meridian_testkit::process::Sandbox;
use meridian_testkit::wait::until_ok;
use tokio::process::{Child, Command};

use super::tools::Tool;

/// A running DNS server, which is killed when this is dropped.
pub struct Server {
    pub address: Ipv4Addr,
    _child: Child,
}

impl Server {
    /// Starts the server of a root zone that delegates to the name servers of a cluster.
    pub async fn root(sandbox: &Sandbox, address: Ipv4Addr, delegation: &str) -> Self {
        let zone = sandbox.path().join("root.zone");
        let records = format!(
            ". 60 IN SOA root. hostmaster. 1 3600 600 86400 60\n. 60 IN NS root.\n\
             root. 60 IN A {address}\n{delegation}\n"
        );
        fs::write(&zone, records).expect("the zone is written");
        let zone = zone.display();
        let extra = format!(
            "auth-zone:\n  name: \".\"\n  zonefile: \"{zone}\"\n  for-upstream: no\n\
             \x20 for-downstream: yes\n"
        );
        Self::unbound(sandbox, address, &["module-config: \"iterator\""], &extra).await
    }

    /// Starts unbound as a resolver, with further lines of its section `server`.
    pub async fn resolver(
        sandbox: &Sandbox,
        address: Ipv4Addr,
        root: Ipv4Addr,
        further: &[&str],
    ) -> Self {
        let hints = sandbox.path().join("root.hints");
        let records = format!(". 3600 IN NS root.\nroot. 3600 IN A {root}\n");
        fs::write(&hints, records).expect("the hints are written");
        let hints = format!("root-hints: \"{}\"", hints.display());
        let outgoing = format!("outgoing-interface: {address}");
        let settings = [
            &hints,
            &outgoing,
            "do-not-query-localhost: no",
            "domain-insecure: \"test.\"",
            "rrset-roundrobin: yes",
            "use-caps-for-id: yes",
            "qname-minimisation-strict: yes",
            "harden-below-nxdomain: yes",
            "aggressive-nsec: yes",
        ];
        let settings: Vec<_> = settings.iter().chain(further).copied().collect();
        Self::unbound(sandbox, address, &settings, "").await
    }

    async fn unbound(sandbox: &Sandbox, address: Ipv4Addr, settings: &[&str], extra: &str) -> Self {
        let directory = own_directory(sandbox, address);
        let settings: String = settings.iter().map(|line| format!("  {line}\n")).collect();
        let configuration = format!(
            "server:\n  interface: {address}\n  access-control: 127.0.0.0/8 allow\n\
             \x20 do-ip6: no\n  do-daemonize: no\n  chroot: \"\"\n  username: \"\"\n\
             \x20 directory: \"{}\"\n  pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n\
             \x20 local-zone: \"test.\" nodefault\n{settings}\
             remote-control:\n  control-enable: no\n{extra}",
            directory.display()
        );
        let path = directory.join("unbound.conf");
        fs::write(&path, configuration).expect("the configuration is written");
        let mut command = Command::new("unbound");
        command.arg("-d").arg("-c").arg(&path);
        Self::start(command, address, &directory).await
    }

    /// Starts the resolver of Knot, which has no client subnet.
    pub async fn knot(sandbox: &Sandbox, address: Ipv4Addr, root: Ipv4Addr) -> Self {
        let directory = own_directory(sandbox, address);
        let configuration = format!(
            "option('ALLOW_LOCAL', true)\nnet.ipv6 = false\nnet.listen('{address}', 53)\nnet.outgoing_v4('{address}')\n\
             trust_anchors.remove('.')\ncache.size = 10 * MB\n\
             modules = {{ 'hints' }}\nhints.root({{ ['root.'] = '{root}' }})\n\
             policy.add(policy.suffix(policy.PASS, {{ todname('test.') }}))\n"
        );
        let path = directory.join("kresd.conf");
        fs::write(&path, configuration).expect("the configuration is written");
        let mut command = Command::new("kresd");
        command.arg("-n").arg("-c").arg(&path).arg(&directory);
        Self::start(command, address, &directory).await
    }

    async fn start(mut command: Command, address: Ipv4Addr, directory: &Path) -> Self {
        let log = directory.join("log");
        let output = fs::File::create(&log).expect("the log is created");
        let copy = output.try_clone().expect("a descriptor is free");
        command.stdin(Stdio::null()).stdout(copy).stderr(output).kill_on_drop(true);
        let child = command.spawn().expect("the server starts");
        until_ok("the server to respond", async || {
            let response = Tool::Dig.query(address, (".", "NS"), false, &[] as &[&str]).await;
            let response =
                response.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
            ensure!(response.status == "NOERROR", "{response:?}");
            Ok(())
        })
        .await;
        Self { address, _child: child }
    }
}

fn own_directory(sandbox: &Sandbox, address: Ipv4Addr) -> PathBuf {
    let directory = sandbox.path().join(address.to_string());
    fs::create_dir(&directory).expect("the directory is created");
    directory
}
