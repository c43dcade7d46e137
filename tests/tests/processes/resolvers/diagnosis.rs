//! Responses as `dig`, `kdig` and `drill` show them, of a name server and of a resolver.

use std::net::Ipv4Addr;

use super::tools::{Response, TOOLS, Tool};
use super::{SERVICE, TTL, WITHOUT_SUBNET, ZONE, Zone};

/// Time to live in seconds of name servers and their addresses.
const NAME_SERVER_TTL: u32 = 3_600;

/// A query, and the expected response.
struct Case {
    name: String,
    record_type: &'static str,
    status: &'static str,
    ttl: u32,
    /// Data of the answers, sorted. Without any, the authority section has the SOA record.
    data: Vec<String>,
}

impl Zone {
    fn cases(&self) -> Vec<Case> {
        let case = |name: &str, record_type, ttl, data: &[String]| Case {
            name: format!("{name}{ZONE}"),
            record_type,
            status: if name.starts_with("missing") { "NXDOMAIN" } else { "NOERROR" },
            ttl,
            data: data.to_vec(),
        };
        let [europe, america] = ["westeurope", "eastus"].map(|region| self.gateway_texts(region));
        let first = self.name_server().to_string();
        let servers = ["asia-1", "eu-1", "us-1"].map(|agent| format!("{agent}.ns.{ZONE}"));
        let regions = ["westeurope", "eastus", "southeastasia"];
        let srv = (0..)
            .zip(regions)
            .map(|(rank, region)| format!("{rank} 0 8080 {region}.contoso.regional.{ZONE}"));
        let soa = format!("us-1.ns.{ZONE} hostmaster.{ZONE} SERIAL 86400 7200 3600000 {TTL}");
        vec![
            case("contoso.", "A", TTL, &europe),
            case("cOnToSo.", "A", TTL, &europe),
            case("contoso.", "AAAA", TTL, &[]),
            case("contoso.", "TXT", TTL, &[]),
            case("_http._tcp.contoso.", "SRV", TTL, &srv.collect::<Vec<_>>()),
            case("_tcp.contoso.", "SRV", TTL, &[]),
            case("eastus.contoso.regional.", "A", TTL, &america),
            case("missing.", "A", TTL, &[]),
            case("missing.contoso.regional.", "AAAA", TTL, &[]),
            case("eu-1.ns.", "A", NAME_SERVER_TTL, &[first]),
            case("", "NS", NAME_SERVER_TTL, &servers),
            case("", "SOA", TTL, &[soa]),
        ]
    }
}

impl Case {
    /// Checks a response. A resolver may have kept it for a part of the time to live.
    fn check(&self, response: &Response, is_resolver: bool) {
        let Self { name, record_type, status, ttl, data } = self;
        let context = format!("{name} {record_type}: {response:?}");
        assert_eq!(response.status, *status, "{context}");
        assert_eq!(response.has_flag("aa"), !is_resolver, "{context}");
        assert!(!response.has_flag("tc"), "{context}");
        let answers: Vec<_> = response.answers.iter().map(|it| without_serial(&it.data)).collect();
        assert_eq!(answers, *data, "{context}");
        for record in &response.answers {
            assert_eq!(record.name, name.to_ascii_lowercase(), "{context}");
            assert_eq!(record.record_type, *record_type, "{context}");
            assert!(record.ttl == *ttl || is_resolver && record.ttl <= *ttl, "{context}");
        }
        if data.is_empty() {
            let [soa] = &response.authorities[..] else { panic!("{context}") };
            assert_eq!((&*soa.name, &*soa.record_type), (ZONE, "SOA"), "{context}");
        }
    }
}

/// Replaces the serial in the data of an SOA record, which any event changes.
fn without_serial(data: &str) -> String {
    let mut fields: Vec<_> = data.split(' ').collect();
    if fields.len() == 7 {
        fields[2] = "SERIAL";
    }
    fields.join(" ")
}

async fn query(tool: Tool, server: Ipv4Addr, (name, kind): (&str, &str), is_tcp: bool) -> Response {
    let further: &[&str] = &[];
    let response = tool.query(server, (name, kind), is_tcp, further).await;
    response.unwrap_or_else(|error| panic!("{error:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_kdig_and_drill_show_the_right_responses_of_a_name_server_and_of_a_resolver() {
    let Some(zone) = Zone::start().await else { return };
    let resolver = zone.unbound(1, WITHOUT_SUBNET).await;
    for case in zone.cases() {
        for tool in TOOLS {
            let asked = (&*case.name, case.record_type);
            for is_tcp in [false, true] {
                case.check(&query(tool, zone.name_server(), asked, is_tcp).await, false);
            }
            case.check(&query(tool, resolver.address, asked, false).await, true);
        }
    }
    for tool in TOOLS {
        let any = query(tool, zone.name_server(), (SERVICE, "ANY"), false).await;
        assert_eq!(any.data(), ["\"RFC8482\" \"\""], "{any:?}");
        // A resolver may respond with what it has.
        let any = query(tool, resolver.address, (SERVICE, "ANY"), false).await;
        assert_eq!(any.status, "NOERROR", "{any:?}");
        let outside = query(tool, zone.name_server(), ("example.org.", "A"), false).await;
        assert_eq!((&*outside.status, outside.answers.len()), ("REFUSED", 0), "{outside:?}");
    }
    unusual_queries(&zone).await;
}

/// Queries as those of the compliance tests for EDNS of ISC.
async fn unusual_queries(zone: &Zone) {
    let europe = zone.gateway_texts("westeurope");
    // Options, status, text that the output contains, and text that it must not contain.
    let table: &[(Tool, &[&str], &str, &str, &str)] = &[
        (Tool::Dig, &["+noedns"], "NOERROR", "ANSWER: 2", "EDNS:"),
        (Tool::Dig, &["+edns=0"], "NOERROR", "EDNS: version: 0, flags:; udp: 1232", "COOKIE"),
        (Tool::Dig, &["+edns=1", "+noednsneg"], "BADVERS", "EDNS: version: 0", "ANSWER SECTION"),
        (Tool::Dig, &["+ednsopt=100:00ff"], "NOERROR", "EDNS: version: 0", "OPT=100"),
        (Tool::Dig, &["+ednsflags=0x40"], "NOERROR", "EDNS: version: 0", "MBZ"),
        (Tool::Dig, &["+dnssec"], "NOERROR", "flags: do", "RRSIG"),
        (Tool::Dig, &["+nsid", "+expire"], "NOERROR", "EDNS: version: 0", "NSID"),
        (Tool::Dig, &["+bufsize=100"], "NOERROR", "ANSWER: 2", "TRUNCATED"),
        (Tool::Dig, &["+norecurse"], "NOERROR", "flags: qr aa;", "flags: qr aa rd"),
        (Tool::Dig, &["+zflag", "+cdflag"], "NOERROR", "flags: qr aa rd;", "MBZ"),
        (Tool::Dig, &["+subnet=0.0.0.0/0"], "NOERROR", "CLIENT-SUBNET: 0.0.0.0/0/0", "OPT="),
        (Tool::Dig, &["+opcode=notify"], "NOTIMP", "opcode: NOTIFY", "ANSWER SECTION"),
        (Tool::Dig, &["+opcode=update"], "NOTIMP", "opcode: UPDATE", "ANSWER SECTION"),
        (Tool::Dig, &["+header-only"], "FORMERR", "QUERY: 0", "ANSWER SECTION"),
        (Tool::Dig, &["-c", "CH"], "REFUSED", "ANSWER: 0", "ANSWER SECTION"),
        (Tool::Kdig, &["+padding=64", "+cookie"], "NOERROR", "ANSWER: 2", "COOKIE"),
        (Tool::Kdig, &["+nsid", "+tcflag"], "NOERROR", "ANSWER: 2", "NSID"),
    ];
    for (tool, options, status, contained, absent) in table {
        let response = tool.query(zone.name_server(), (SERVICE, "A"), false, options).await;
        let response = response.unwrap_or_else(|error| panic!("{options:?}: {error:#}"));
        assert_eq!(response.status, *status, "{options:?}: {response:?}");
        assert!(response.text.contains(contained), "{options:?}: {}", response.text);
        assert!(!response.text.contains(absent), "{options:?}: {}", response.text);
        let expected: &[String] = if *status == "NOERROR" { &europe } else { &[] };
        assert_eq!(response.data(), expected, "{options:?}");
    }
    for transfer in ["AXFR", "IXFR=1"] {
        let further: &[&str] = &[];
        let refused = Tool::Dig.query(zone.name_server(), (ZONE, transfer), true, further).await;
        let text = format!("{:#}", refused.expect_err("there are no records"));
        assert!(text.contains("Transfer failed"), "{text}");
    }
}
