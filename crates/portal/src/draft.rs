//! Unsaved edits of a service's locations: a part of the address of the page, so that a page that another
//! agent serves, a second tab or a colleague has them too, with and without JavaScript.
//!
//! ```text
//! ?base=17&edit=eastus+add+units=2+zones=1,2&edit=westeurope+remove&edit=japaneast+primary
//! ```
//!
//! `base` is the revision of the service that the edits are based on. An edit names a region and what is
//! wanted there; later edits of a region replace what earlier ones want, and `undo` drops them. The change
//! set is a function of the edits alone, so that one that is sent again is the same.

use std::collections::BTreeMap;

use meridian_domain::{
    Edit, Location, NameError, Preference, RegionName, Revision, Service, Zone, Zones,
};

/// Name of the parameter with the base revision.
pub(crate) const BASE: &str = "base";
/// Name of the parameter of each edit.
pub(crate) const EDIT: &str = "edit";

/// Unsaved edits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    /// Revision of the service that the edits are based on; the current one if `None`.
    pub(crate) base: Option<Revision>,
    /// Wanted locations.
    pub(crate) regions: BTreeMap<RegionName, Wanted>,
    /// Wanted primary region; the present one if `None`.
    pub(crate) primary: Option<RegionName>,
}

/// What is wanted in a region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// A new location.
    pub(crate) added: bool,
    /// No location.
    pub(crate) removed: bool,
    /// Number of units; unchanged if `None`, as the following fields.
    pub(crate) units: Option<u16>,
    /// Zones.
    pub(crate) zones: Option<Zones>,
    /// Gateways enabled.
    pub(crate) gateway: Option<bool>,
    /// Priority.
    pub(crate) priority: Option<u16>,
    /// Weight.
    pub(crate) weight: Option<u16>,
}

/// The parameters are not edits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidDraft {
    /// The base is not a revision.
    #[error("invalid base revision {0:?}")]
    Base(String),
    /// An edit names no region.
    #[error("invalid region in the edit {edit:?}: {cause}")]
    Region {
        /// The edit.
        edit: String,
        /// The rule that the name violates.
        cause: NameError,
    },
    /// An edit has an unknown part.
    #[error("invalid part {part:?} in the edit of {region}")]
    Part {
        /// The region.
        region: RegionName,
        /// The part.
        part: String,
    },
}

impl Draft {
    /// Parses the parameters of a page.
    ///
    /// # Errors
    /// If a parameter is not an edit. Other parameters are ignored.
    pub(crate) fn parse<'a>(
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, InvalidDraft> {
        let mut draft = Self::default();
        for (name, value) in parameters {
            match name {
                BASE => {
                    let base = value.parse().map_err(|_| InvalidDraft::Base(value.to_owned()))?;
                    draft.base = Some(Revision(base));
                }
                EDIT => draft.add(value)?,
                _ => {}
            }
        }
        Ok(draft)
    }

    /// Adds an edit.
    fn add(&mut self, edit: &str) -> Result<(), InvalidDraft> {
        let mut parts = edit.split(' ').filter(|part| !part.is_empty());
        let region = RegionName::new(parts.next().unwrap_or_default())
            .map_err(|cause| InvalidDraft::Region { edit: edit.to_owned(), cause })?;
        let mut wanted = self.regions.remove(&region).unwrap_or_default();
        for part in parts {
            match part {
                "primary" => self.primary = Some(region.clone()),
                "undo" => {
                    wanted = Wanted::default();
                    self.primary.take_if(|primary| *primary == region);
                }
                _ if wanted.set(part).is_some() => {}
                _ => return Err(InvalidDraft::Part { region, part: part.to_owned() }),
            }
        }
        if wanted != Wanted::default() {
            self.regions.insert(region, wanted);
        }
        Ok(())
    }

    /// Returns the change set.
    pub(crate) fn edits(&self) -> Vec<Edit> {
        let mut edits = Vec::new();
        for (region, wanted) in &self.regions {
            wanted.edits(region, &mut edits);
        }
        edits.extend(self.primary.iter().map(|region| Edit::Promote { region: region.clone() }));
        edits
    }

    /// Returns the draft without edits that want what `service` is, based on its revision.
    pub(crate) fn on(&self, service: &Service) -> Self {
        let regions = self.regions.iter().filter_map(|(region, wanted)| {
            let wanted = wanted.on(service.locations.get(region))?;
            Some((region.clone(), wanted))
        });
        let primary = self.primary.clone().filter(|region| *region != service.primary);
        let draft = Self { base: None, regions: regions.collect(), primary };
        if draft == Self::default() {
            draft
        } else {
            Self { base: Some(service.revision), ..draft }
        }
    }

    /// Returns true if nothing is edited.
    pub(crate) fn is_empty(&self) -> bool {
        self.regions.is_empty() && self.primary.is_none()
    }

    /// Returns the parameters of the page with these edits, without the leading question mark.
    pub(crate) fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.parameters() {
            query.append_pair(name, &value);
        }
        query.finish()
    }

    /// Returns the parameters of the page with these edits.
    pub(crate) fn parameters(&self) -> Vec<(&'static str, String)> {
        let base = self.base.map(|base| (BASE, base.to_string()));
        let edits = self.regions.iter().map(|(region, wanted)| (EDIT, wanted.text(region)));
        let primary = self.primary.iter().map(|region| (EDIT, format!("{region} primary")));
        base.into_iter().chain(edits).chain(primary).collect()
    }

    /// Returns the draft with one more edit, which must be valid.
    pub(crate) fn with(&self, edit: &str) -> Self {
        let mut draft = self.clone();
        let added = draft.add(edit);
        debug_assert_eq!(added, Ok(()), "the page writes valid edits");
        draft
    }
}

impl Wanted {
    /// Adds a part of an edit; `None` if it is not one.
    fn set(&mut self, part: &str) -> Option<()> {
        match part.split_once('=').unwrap_or((part, "")) {
            ("add", "") => self.added = true,
            ("remove", "") => {
                *self = Self { removed: true, ..Self::default() };
                return Some(());
            }
            ("units", units) => self.units = Some(units.parse().ok()?),
            ("zones", list) => self.zones = Some(zones(list)?),
            ("gateway", "on") => self.gateway = Some(true),
            ("gateway", "off") => self.gateway = Some(false),
            ("priority", priority) => self.priority = Some(priority.parse().ok()?),
            ("weight", weight) => self.weight = Some(weight.parse().ok()?),
            _ => return None,
        }
        self.removed = false;
        Some(())
    }

    fn edits(&self, region: &RegionName, edits: &mut Vec<Edit>) {
        let Self { added, removed, units, zones, gateway, priority, weight } = self.clone();
        let region = || region.clone();
        if removed {
            edits.push(Edit::Remove { region: region() });
            return;
        }
        if added {
            let (units, zones) = (units.unwrap_or(1), zones.unwrap_or_default());
            edits.push(Edit::Add { region: region(), units, zones });
        } else if units.is_some() || zones.is_some() {
            edits.push(Edit::Scale { region: region(), units, zones });
        }
        match gateway {
            Some(true) => edits.push(Edit::Enable { region: region() }),
            Some(false) => edits.push(Edit::Disable { region: region() }),
            None => {}
        }
        if priority.is_some() || weight.is_some() {
            edits.push(Edit::Prefer { region: region(), priority, weight });
        }
    }

    /// Returns what differs from the present location; `None` if nothing does.
    fn on(&self, present: Option<&Location>) -> Option<Self> {
        let Some(present) = present else {
            return (!self.removed).then(|| Self { added: true, ..self.clone() });
        };
        let Preference { priority, weight } = present.preference;
        let differing = Self {
            added: false,
            removed: self.removed,
            units: self.units.filter(|units| *units != present.units),
            zones: self.zones.clone().filter(|zones| *zones != present.zones),
            gateway: self.gateway.filter(|gateway| *gateway != present.gateway_enabled),
            priority: self.priority.filter(|wanted| *wanted != priority),
            weight: self.weight.filter(|wanted| *wanted != weight),
        };
        (differing != Self::default()).then_some(differing)
    }

    /// Returns the location that is wanted instead of `present`; `None` for none.
    pub(crate) fn location(&self, present: Option<&Location>) -> Option<Location> {
        if self.removed {
            return None;
        }
        let mut location = present.cloned().unwrap_or_else(|| Location::new(1, Zones::new()));
        let Preference { priority, weight } = location.preference;
        location.units = self.units.unwrap_or(location.units);
        location.zones = self.zones.clone().unwrap_or(location.zones);
        location.gateway_enabled = self.gateway.unwrap_or(location.gateway_enabled);
        location.preference = Preference {
            priority: self.priority.unwrap_or(priority),
            weight: self.weight.unwrap_or(weight),
        };
        Some(location)
    }

    fn text(&self, region: &RegionName) -> String {
        let Self { added, removed, units, zones, gateway, priority, weight } = self;
        let gateway = gateway.map(|enabled| if enabled { "on" } else { "off" });
        let parts = [
            Some(region.to_string()),
            added.then(|| "add".to_owned()),
            removed.then(|| "remove".to_owned()),
            units.map(|units| format!("units={units}")),
            zones.as_ref().map(|zones| format!("zones={}", list(zones))),
            gateway.map(|gateway| format!("gateway={gateway}")),
            priority.map(|priority| format!("priority={priority}")),
            weight.map(|weight| format!("weight={weight}")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// Parses zones separated by commas; an empty text means none.
pub(crate) fn zones(text: &str) -> Option<Zones> {
    let zones = text.split(',').map(str::trim).filter(|zone| !zone.is_empty());
    zones.map(|zone| Zone::try_from(zone.parse::<u8>().ok()?).ok()).collect()
}

/// Returns the zones separated by commas; empty for none.
pub(crate) fn list(zones: &Zones) -> String {
    zones.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use meridian_domain::{Event, ServiceName, State, Tier, evolve};

    use super::*;

    fn region(name: &str) -> RegionName {
        RegionName::new(name).expect("is a name")
    }

    fn service() -> Service {
        let mut state = State::default();
        let name = ServiceName::new("contoso").expect("is a name");
        let (service, primary) = (name.clone(), region("westeurope"));
        let (units, zones) = (1, Zones::new());
        let added =
            Event::RegionAdded { service: name.clone(), region: primary.clone(), units, zones };
        let created = Event::ServiceCreated { service, tier: Tier::Premium, primary, port: 8080 };
        for (revision, event) in (1..).map(Revision).zip([created, added]) {
            evolve::evolve(&mut state, revision, &event);
        }
        state.services.remove(&name).expect("was created")
    }

    fn parse(query: &str) -> Result<Draft, InvalidDraft> {
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        Draft::parse(pairs.iter().map(|(name, value)| (&**name, &**value)))
    }

    #[test]
    fn a_draft_is_the_same_after_its_address() {
        for query in [
            "",
            "base=17",
            "base=17&edit=eastus+add+units%3D2+zones%3D1%2C2&edit=westeurope+remove",
            "edit=eastus+gateway%3Doff+priority%3D2+weight%3D0&edit=eastus+primary",
        ] {
            assert_eq!(parse(query).expect("is valid").query(), query);
        }
    }

    #[test]
    fn the_last_edit_of_a_region_counts() {
        let draft = parse("edit=eastus units=2&edit=eastus remove&edit=eastus units=3");
        let wanted = draft.expect("is valid").regions.remove(&region("eastus")).expect("is edited");
        assert_eq!(wanted, Wanted { units: Some(3), ..Wanted::default() });
    }

    #[test]
    fn an_undone_edit_is_gone() {
        let draft = parse("edit=eastus units=2 primary&edit=eastus undo").expect("is valid");
        assert_eq!(draft, Draft::default());
    }

    #[test]
    fn edits_that_change_nothing_are_left_out() {
        let on = |query: &str| parse(query).expect("is valid").on(&service());
        let nothing =
            "base=9&edit=westeurope units=1 zones= gateway=on primary&edit=japaneast remove";
        assert_eq!(on(nothing), Draft::default());
        let (eastus, westeurope) = (region("eastus"), region("westeurope"));
        let draft =
            on("edit=eastus units=2 zones=1,2 gateway=off&edit=westeurope units=3 weight=0");
        assert_eq!(draft.base, Some(service().revision));
        assert_eq!(
            draft.edits(),
            [
                Edit::Add {
                    region: eastus.clone(),
                    units: 2,
                    zones: zones("1,2").expect("are zones")
                },
                Edit::Disable { region: eastus },
                Edit::Scale { region: westeurope.clone(), units: Some(3), zones: None },
                Edit::Prefer { region: westeurope, priority: None, weight: Some(0) },
            ]
        );
    }

    #[test]
    fn what_is_not_an_edit_is_refused() {
        for query in ["base=x", "edit=", "edit=East US", "edit=eastus units=-1", "edit=eastus <b>"]
        {
            assert!(parse(query).is_err(), "{query}");
        }
    }
}
