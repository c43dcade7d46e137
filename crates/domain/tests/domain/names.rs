//! Names and addresses as text, and suggestions for names that are unknown.

use meridian_domain::name::{AgentName, ApiName, NameError, Reason, RegionName, ServiceName};
use meridian_domain::nearest::nearest;
use meridian_domain::{Address, catalog, limits};

#[test]
fn a_region_name_may_be_written_with_spaces_and_capitals() {
    let parsed = RegionName::parse("West Europe").expect("valid region name");
    assert_eq!(parsed.as_str(), "westeurope");
}

#[test]
fn names_that_are_unsafe_in_paths_or_labels_are_rejected() {
    for bad in ["", "-a", "a-", "1a", "A", "a_b", "a.b", "a/b", "..", "ä", "a b", "a\0"] {
        assert!(ServiceName::new(bad).is_err(), "{bad:?} was accepted");
    }
    for good in ["a", "a1", "contoso", "my-service-2"] {
        assert!(ServiceName::new(good).is_ok(), "{good:?} was rejected");
    }
}

#[test]
fn names_up_to_the_maximum_length_are_accepted() {
    assert!(ServiceName::new("a".repeat(limits::SERVICE_NAME_CHARS)).is_ok());
    assert_eq!(
        ServiceName::new("a".repeat(51)).expect_err("too long").to_string(),
        "service name can have at most 50 characters, got 51"
    );
}

#[test]
fn an_error_states_the_kind_of_name_and_the_text() {
    let fact = |error: NameError| {
        let text = error.to_string();
        text.split_once(": use lowercase").map(|(fact, _)| fact.to_owned())
    };
    let rejected = [
        AgentName::new("Foo").map(drop),
        ApiName::new("Foo").map(drop),
        ServiceName::new("Foo").map(drop),
        RegionName::new("Foo").map(drop),
    ];
    assert_eq!(
        rejected.map(|result| fact(result.expect_err("invalid name")).unwrap_or_default()),
        [
            r#"invalid agent name "Foo""#,
            r#"invalid API name "Foo""#,
            r#"invalid service name "Foo""#,
            r#"invalid region name "Foo""#,
        ]
    );
}

#[test]
fn a_reason_is_a_single_line() {
    assert!(Reason::new("more load on Monday, see #12").is_ok());
    assert!(Reason::new("two\nlines").is_err());
}

#[test]
fn an_address_is_a_host_and_a_port() {
    for good in ["127.0.0.1:7400", "eu-1.example.net:1", "[::1]:65535"] {
        assert_eq!(Address::new(good).expect("valid address").as_str(), good);
    }
    for bad in ["", "7400", ":7400", "a:", "a:0", "a:65536", "a:+1", "a b:1", "http://a:1", "::1:1"]
    {
        assert!(Address::new(bad).is_err(), "{bad:?} was accepted");
    }
}

fn nearest_regions(unknown: &str) -> Vec<String> {
    nearest(unknown, catalog::regions().iter().map(|region| region.name.as_str()))
}

#[test]
fn a_typo_suggests_the_intended_name() {
    assert_eq!(nearest_regions("westeurop")[0], "westeurope");
    assert_eq!(nearest_regions("eatsus")[0], "eastus");
    assert_eq!(nearest_regions("europewest")[0], "westeurope");
    assert!(nearest_regions("eastus4").len() <= 3);
}

#[test]
fn a_name_unlike_all_others_has_no_suggestions() {
    assert_eq!(nearest_regions("zzyzx"), Vec::<String>::new());
    assert_eq!(nearest("contoso", []), Vec::<String>::new());
}
