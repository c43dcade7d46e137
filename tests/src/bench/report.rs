//! What was measured: medians, ratios, a table.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::load::Sample;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// More is better.
    #[serde(rename = "1/s")]
    PerSecond,
    /// Less is better.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Less is better.
    #[serde(rename = "us")]
    Microseconds,
    /// Less is better.
    #[serde(rename = "MiB")]
    Mebibytes,
    /// Neither.
    Count,
}

impl Unit {
    fn symbol(self) -> &'static str {
        match self {
            Self::PerSecond => "/s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::Mebibytes => "MiB",
            Self::Count => "",
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::PerSecond | Self::Count => 0,
            Self::Milliseconds => 2,
            Self::Microseconds | Self::Mebibytes => 1,
        }
    }
}

/// Everything that was measured, in the order in which it was.
#[derive(Debug)]
pub struct Report {
    /// Who is measured beside Meridian.
    other: Option<&'static str>,
    figures: Vec<Figure>,
}

/// One figure: each round's value for both.
#[derive(Debug)]
struct Figure {
    name: String,
    unit: Unit,
    meridian: Vec<f64>,
    other: Vec<f64>,
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    unit: Unit,
    meridian: f64,
    /// Of the one it is compared with, if of any.
    other: Option<f64>,
    compared_with: Option<&'static str>,
    ratio: Option<f64>,
    rounds: Rounds<'a>,
}

#[derive(Serialize)]
struct Rounds<'a> {
    meridian: &'a [f64],
    other: &'a [f64],
}

impl Report {
    /// An empty one. `other`: who is measured, too.
    #[must_use]
    pub(super) fn new(other: Option<&'static str>) -> Self {
        Self { other, figures: Vec::new() }
    }

    /// Adds a round's value for Meridian.
    pub(super) fn meridian(&mut self, name: &str, unit: Unit, value: f64) {
        self.figure(name, unit).meridian.push(value);
    }

    /// Adds a round's value for the other one.
    pub(super) fn other(&mut self, name: &str, unit: Unit, value: f64) {
        self.figure(name, unit).other.push(value);
    }

    /// Adds what came of a load, by the other one or by Meridian.
    pub(super) fn load(&mut self, other: bool, clients: u16, sample: &Sample) {
        let ms = |duration: Duration| duration.as_secs_f64() * 1_000.0;
        let label = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
        for (what, unit, value) in [
            ("changes", Unit::PerSecond, sample.per_second),
            ("median", Unit::Milliseconds, ms(sample.median)),
            ("p99", Unit::Milliseconds, ms(sample.p99)),
            ("processor time a change", Unit::Milliseconds, ms(sample.processor)),
        ] {
            let figure = self.figure(&format!("{label}: {what}"), unit);
            if other { &mut figure.other } else { &mut figure.meridian }.push(value);
        }
    }

    fn figure(&mut self, name: &str, unit: Unit) -> &mut Figure {
        let known = self.figures.iter().position(|figure| figure.name == name);
        let index = known.unwrap_or(self.figures.len());
        if known.is_none() {
            let (meridian, other) = (Vec::new(), Vec::new());
            self.figures.push(Figure { name: name.to_owned(), unit, meridian, other });
        }
        &mut self.figures[index]
    }

    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.figures.iter().filter_map(|figure| {
            let Figure { name, unit, meridian: own, other: others } = figure;
            let meridian = median(own)?;
            let other = median(others);
            let ratio = other.map(|other| meridian / other);
            let rounds = Rounds { meridian: own, other: others };
            let compared_with = self.other.filter(|_| other.is_some());
            Some(Line { name, unit: *unit, meridian, other, compared_with, ratio, rounds })
        })
    }

    /// For programs: the medians, and what each round had, of all these reports.
    ///
    /// # Errors
    /// If a figure is not a number.
    pub fn json(reports: &[Self]) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&reports.iter().flat_map(Self::lines).collect::<Vec<_>>())
    }

    /// For people: the medians.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = format!("{:<40} {:>16}", "median of the rounds", "meridian");
        if let Some(other) = self.other {
            let _ = write!(table, " {other:>16} {:>16}", format!("meridian / {other}"));
        }
        table.push('\n');
        for Line { name, unit, meridian, other, ratio, .. } in self.lines() {
            let value = |value: f64| format!("{value:.*} {}", unit.digits(), unit.symbol());
            let _ = write!(table, "{name:<40} {:>16}", value(meridian));
            if let (Some(other), Some(ratio)) = (other, ratio) {
                let _ = write!(table, " {:>16} {ratio:>16.2}", value(other));
            }
            table.push('\n');
        }
        table
    }
}

/// The value in the middle; of two in the middle, the one between.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_value_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
