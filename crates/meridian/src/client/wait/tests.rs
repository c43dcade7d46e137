use meridian_proto::v1;
use meridian_proto::v1::edit::Edit as EditKind;

use super::*;

fn location(status: v1::LocationStatus, ready_units: u32, converged: bool) -> LocationView {
    LocationView::from(v1::Location {
        region: "eastus".to_owned(),
        display_name: "East US".to_owned(),
        units: 2,
        ready_units,
        status: status.into(),
        converged,
        ..Default::default()
    })
}

fn missing(location: &LocationView) -> Option<Missing> {
    unconverged("contoso", &Regions::All, std::slice::from_ref(location)).missing
}

#[test]
fn a_disabled_region_has_converged_once_its_units_have() {
    let status = v1::LocationStatus::Disabled;
    assert!(missing(&location(status, 2, true)).is_none());
    assert!(missing(&location(status, 2, false)).is_some(), "its units are replaced");
    assert!(missing(&location(status, 1, false)).is_some());
}

#[test]
fn what_a_region_lacks_is_reported() {
    assert!(missing(&location(v1::LocationStatus::Ready, 2, true)).is_none());
    for (status, ready, progress, cause) in [
        (v1::LocationStatus::NoAgent, 0, "eastus no agent", "eastus: no agent, 0 of 2 units ready"),
        (
            v1::LocationStatus::AgentUnreachable,
            1,
            "eastus agent unreachable",
            "eastus: agent unreachable, 1 of 2 units ready",
        ),
        (v1::LocationStatus::Converging, 1, "eastus 1/2 ready", "eastus: 1 of 2 units ready"),
        (
            v1::LocationStatus::Converging,
            2,
            "eastus 2/2 ready",
            "eastus: units are being replaced or reconfigured",
        ),
        (v1::LocationStatus::Removing, 0, "eastus draining", "eastus: units are draining"),
    ] {
        let missing = missing(&location(status, ready, false)).expect("has not converged");
        assert_eq!((missing.progress.as_str(), missing.cause.as_str()), (progress, cause));
    }
}

#[test]
fn a_region_without_a_reachable_agent_is_blocked() {
    let blocked =
        |status| unconverged("contoso", &Regions::All, &[location(status, 0, false)]).blocked;
    assert!(blocked(v1::LocationStatus::NoAgent)[0].0.contains("no agent in the region"));
    assert!(blocked(v1::LocationStatus::AgentUnreachable)[0].0.contains("agent is unreachable"));
    assert!(blocked(v1::LocationStatus::Converging).is_empty());
}

#[test]
fn a_change_of_the_whole_service_does_not_wait_for_regions_without_an_agent() {
    let without_agent = LocationView::from(v1::Location {
        region: "japaneast".to_owned(),
        status: v1::LocationStatus::NoAgent.into(),
        ..Default::default()
    });
    let locations = [location(v1::LocationStatus::Ready, 2, true), without_agent];
    let all = unconverged("contoso", &Regions::All, &locations);
    assert!(all.missing.is_none() && all.blocked.len() == 1, "{all:?}");
    let named = Regions::Named(BTreeSet::from(["japaneast".to_owned()]));
    assert!(unconverged("contoso", &named, &locations).missing.is_some());
    assert!(unconverged("contoso", &Regions::All, &locations[1..]).missing.is_some());
}

#[test]
fn the_reason_that_blocks_a_region_is_reported() {
    let mut failing = location(v1::LocationStatus::Converging, 1, false);
    failing.blocked_reason = Some("contoso/eastus/2 on b: exit code 1".to_owned());
    assert_eq!(
        missing(&failing).expect("is open").cause,
        "eastus: 1 of 2 units ready (contoso/eastus/2 on b: exit code 1)"
    );
}

#[test]
fn edits_touch_their_regions_or_the_whole_service() {
    let scale = |region: &str| {
        EditKind::Scale(v1::ScaleRegion { region: region.to_owned(), ..Default::default() })
    };
    let touched = Regions::touched(&[scale("East US"), EditKind::Remove("westus".to_owned())]);
    assert!(touched.contain(&location(v1::LocationStatus::Ready, 2, true)));
    assert_eq!(touched, Regions::Named(["East US", "westus"].map(String::from).into()));
    let elsewhere = Regions::touched(&[scale("westus"), EditKind::Tier("premium".to_owned())]);
    assert!(!elsewhere.contain(&location(v1::LocationStatus::Ready, 2, true)));
    assert_eq!(Regions::touched(&[scale("westus"), EditKind::Port(8081)]), Regions::All);
    let redirects = EditKind::WhenDisabled("redirect".to_owned());
    assert_eq!(Regions::touched(&[redirects]), Regions::All);
}
