//! `dig`, `kdig` and `drill`, whose output is nearly the same.

use std::ffi::OsStr;
use std::net::Ipv4Addr;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

pub const TOOLS: [Tool; 3] = [Tool::Dig, Tool::Kdig, Tool::Drill];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    Dig,
    Kdig,
    Drill,
}

impl Tool {
    fn program(self) -> &'static str {
        match self {
            Self::Dig => "dig",
            Self::Kdig => "kdig",
            Self::Drill => "drill",
        }
    }

    /// Returns the arguments for one try, which is not repeated over TCP.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Dig => &["+tries=1", "+time=5", "+ignore"],
            Self::Kdig => &["+retry=0", "+timeout=5", "+ignore"],
            Self::Drill => &[],
        }
    }

    fn transport(self, over_tcp: bool) -> &'static str {
        match (self, over_tcp) {
            (Self::Dig | Self::Kdig, false) => "+notcp",
            (Self::Dig | Self::Kdig, true) => "+tcp",
            (Self::Drill, false) => "-u",
            (Self::Drill, true) => "-t",
        }
    }

    /// Returns the arguments for a query from this address.
    pub fn from(self, source: Ipv4Addr) -> [String; 2] {
        let option = if self == Self::Drill { "-I" } else { "-b" };
        [option.to_owned(), source.to_string()]
    }

    /// Sends a query to port 53 of a server, with further options of the tool.
    pub async fn query(
        self,
        server: Ipv4Addr,
        (name, record_type): (&str, &str),
        over_tcp: bool,
        further: &[impl AsRef<OsStr>],
    ) -> anyhow::Result<Response> {
        let mut command = Command::new(self.program());
        command.args(self.options()).arg(self.transport(over_tcp)).args(further);
        command.arg(format!("@{server}")).args([name, record_type]);
        let output = command.kill_on_drop(true).output().await;
        let output = output.with_context(|| format!("cannot run {}", self.program()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Response::parse(&text).with_context(|| format!("{command:?} printed {text}"))
    }
}

/// A response, as a tool prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: String,
    pub flags: Vec<String>,
    pub answers: Vec<Record>,
    pub authorities: Vec<Record>,
    pub additionals: Vec<Record>,
    pub text: String,
}

/// A record with its name in lowercase.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    pub name: String,
    pub ttl: u32,
    pub record_type: String,
    pub data: String,
}

impl Response {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let after = |keys: &[&str]| keys.iter().find_map(|key| text.split_once(key)).map(|it| it.1);
        let status = after(&["status: ", "rcode: "]).context("no status")?;
        let status: String = status.chars().take_while(char::is_ascii_alphanumeric).collect();
        let flags = after(&[";; flags:", ";; Flags:"]).context("no flags")?;
        let flags = flags.split(';').next().unwrap_or_default();
        let mut response = Self {
            status,
            flags: flags.split_whitespace().map(str::to_owned).collect(),
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
            text: text.to_owned(),
        };
        let mut section = None;
        for line in text.lines() {
            match line.strip_prefix(";; ") {
                Some(title) if title.contains(" SECTION:") => section = title.split(' ').next(),
                Some(_) => {}
                None if line.is_empty() || line.starts_with(';') => {}
                None => match section {
                    Some("ANSWER") => response.answers.push(Record::parse(line)?),
                    Some("AUTHORITY") => response.authorities.push(Record::parse(line)?),
                    Some("ADDITIONAL") => response.additionals.push(Record::parse(line)?),
                    other => anyhow::bail!("{line} in section {other:?}"),
                },
            }
        }
        for section in [&mut response.answers, &mut response.authorities, &mut response.additionals]
        {
            section.sort();
        }
        Ok(response)
    }

    /// Returns the data of the answers, sorted.
    pub fn data(&self) -> Vec<&str> {
        self.answers.iter().map(|record| &*record.data).collect()
    }

    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|it| it == flag)
    }
}

impl Record {
    fn parse(line: &str) -> anyhow::Result<Self> {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [name, ttl, "IN", record_type, data @ ..] = &fields[..] else {
            anyhow::bail!("{line} is not a record")
        };
        ensure!(!data.is_empty(), "{line} has no data");
        Ok(Self {
            name: name.to_ascii_lowercase(),
            ttl: ttl.parse()?,
            record_type: (*record_type).to_owned(),
            data: data.join(" "),
        })
    }
}
