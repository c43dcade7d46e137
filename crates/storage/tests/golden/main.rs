//! Stored form of every type, byte for byte.
//!
//! `version-1.txt` contains what released software writes. From the first release on, lines are
//! added to it and never edited. A failure here means that this software cannot read what older
//! software wrote: give the type a new version instead, as `codec.rs` describes, and add its lines.

mod samples;

use std::collections::BTreeMap;
use std::fmt::Debug;

use bincode::Options;
use meridian_storage::codec::{Stored, decode, encode};
use raft_log::codeq::{Decode, Encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

const VERSION_1: &str = include_str!("version-1.txt");

/// Comparison of samples with the stored lines.
struct Comparison {
    stored: BTreeMap<&'static str, &'static str>,
    mismatches: Vec<String>,
}

impl Comparison {
    fn new() -> Self {
        let lines = VERSION_1.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let pairs = lines.map(|line| line.split_once(' ').expect("a line has a name and bytes"));
        let stored: BTreeMap<_, _> = pairs.collect();
        Self { stored, mismatches: Vec::new() }
    }

    fn compare<T: Stored + Debug + PartialEq>(&mut self, variant: &str, value: &T) {
        let name = format!("{}/{variant}", T::NAME.replace(' ', "-"));
        self.check(&name, &encode(value), |bytes| {
            decode::<T>(bytes).is_ok_and(|read| read == *value)
        });
    }

    fn check(&mut self, name: &str, written: &[u8], reads: impl FnOnce(&[u8]) -> bool) {
        let written = hexadecimal(written);
        match self.stored.remove(name) {
            Some(stored) if stored != written => {
                self.mismatches
                    .push(format!("{name} is now encoded as\n{written}\ninstead of\n{stored}"));
            }
            Some(stored) if !reads(&bytes(stored)) => {
                self.mismatches.push(format!("{name} is no longer decoded to the same value"));
            }
            Some(_) => {}
            None => self.mismatches.push(format!("add the line\n{name} {written}")),
        }
    }

    fn finish(self) {
        let unused = self.stored.keys().map(|name| format!("no sample for the line {name}"));
        let mismatches: Vec<String> = self.mismatches.into_iter().chain(unused).collect();
        assert!(mismatches.is_empty(), "{}", mismatches.join("\n"));
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.as_bytes().chunks(2);
    digits
        .map(|pair| std::str::from_utf8(pair).expect("is text"))
        .map(|pair| u8::from_str_radix(pair, 16).expect("is hexadecimal"))
        .collect()
}

/// Returns the name of an enum variant.
fn variant(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    text.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

#[test]
fn the_stored_form_of_every_type_is_stable() {
    let mut comparison = Comparison::new();
    for event in samples::events() {
        comparison.compare(&variant(&event), &samples::record(event));
    }
    for command in samples::commands() {
        comparison.compare(&variant(&command), &command);
    }
    for rejection in samples::rejections() {
        comparison.compare(&variant(&rejection), &samples::rejection(rejection));
    }
    for phase in samples::unit_phases() {
        comparison.compare(&variant(&phase), &samples::unit(phase));
    }
    for entry in samples::raft_entries() {
        comparison.compare(&variant(&entry.body), &entry);
    }
    comparison.compare("plain", &samples::entry());
    comparison.compare("plain", &samples::header());
    comparison.compare("plain", &samples::service());
    comparison.compare("plain", &samples::agent());
    comparison.compare("plain", &samples::agent_description());
    comparison.compare("plain", &samples::region());
    comparison.compare("plain", &samples::losses());
    comparison.compare("plain", &samples::stored_network());
    comparison.compare("plain", &samples::stored_round_trip());
    comparison.compare("accepted", &samples::acceptance());
    comparison.compare("plain", &samples::raft_vote());
    comparison.compare("plain", &samples::identity());
    comparison.compare("plain", &samples::mark());
    comparison.compare("plain", &samples::epoch());
    comparison.compare("plain", &samples::addresses());

    let position = samples::position();
    let mut written = Vec::new();
    position.encode(&mut written).expect("can be encoded");
    comparison.check("raft-position/plain", &written, |mut bytes| {
        Decode::decode(&mut bytes).is_ok_and(|read: samples::Position| read == position)
    });
    comparison.finish();
}

#[test]
fn the_samples_have_every_variant() {
    complete(&samples::events());
    complete(&samples::commands());
    complete(&samples::edits());
    complete(&samples::rejections());
    complete(&samples::unit_phases());
    complete(&samples::unit_statuses());
    complete(&samples::tiers());
    complete(&samples::origins());
    complete(&samples::verdicts());
    complete(&samples::raft_bodies());
}

/// Panics unless `values` are all variants of the enum, ordered by position from 0.
fn complete<T: Serialize + DeserializeOwned + Debug>(values: &[T]) {
    let format = bincode::DefaultOptions::new().with_fixint_encoding();
    for (position, value) in (0_u32..).zip(values) {
        let bytes = format.serialize(value).expect("can be encoded");
        assert_eq!(bytes[..4], position.to_le_bytes(), "{value:?} is at the wrong position");
    }
    let next = u32::try_from(values.len()).expect("fits");
    let error =
        format.deserialize::<T>(&next.to_le_bytes()).expect_err("there are no more variants");
    assert!(error.to_string().contains("variant index"), "variant {next} has no sample: add one");
}
