//! Results of the benchmark: medians, ratios and output.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::load::Sample;

/// Unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Higher is better.
    #[serde(rename = "1/s")]
    PerSecond,
    /// Lower is better.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Lower is better.
    #[serde(rename = "us")]
    Microseconds,
    /// Lower is better.
    #[serde(rename = "MiB")]
    Mebibytes,
    /// Neither direction is better.
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

/// All metrics, in the order of measurement.
#[derive(Debug)]
pub struct Report {
    /// Name of the system that Meridian is compared with.
    other: Option<&'static str>,
    metrics: Vec<Metric>,
}

/// A metric: the values of all rounds for both systems.
#[derive(Debug)]
struct Metric {
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
    /// Value of the other system, if there is one.
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
    /// Creates an empty report. `other` is the name of the system compared with.
    #[must_use]
    pub(super) fn new(other: Option<&'static str>) -> Self {
        Self { other, metrics: Vec::new() }
    }

    /// Adds a round's value for Meridian.
    pub(super) fn meridian(&mut self, name: &str, unit: Unit, value: f64) {
        self.metric(name, unit).meridian.push(value);
    }

    /// Adds a round's value for the other system.
    pub(super) fn other(&mut self, name: &str, unit: Unit, value: f64) {
        self.metric(name, unit).other.push(value);
    }

    /// Adds the result of a load for Meridian or the other system.
    pub(super) fn load(&mut self, other: bool, clients: u16, sample: &Sample) {
        let ms = |duration: Duration| duration.as_secs_f64() * 1_000.0;
        let label = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
        for (what, unit, value) in [
            ("changes", Unit::PerSecond, sample.per_second),
            ("median", Unit::Milliseconds, ms(sample.median)),
            ("p99", Unit::Milliseconds, ms(sample.p99)),
            ("CPU time per change", Unit::Milliseconds, ms(sample.cpu)),
        ] {
            let metric = self.metric(&format!("{label}: {what}"), unit);
            if other { &mut metric.other } else { &mut metric.meridian }.push(value);
        }
    }

    fn metric(&mut self, name: &str, unit: Unit) -> &mut Metric {
        let known = self.metrics.iter().position(|metric| metric.name == name);
        let index = known.unwrap_or(self.metrics.len());
        if known.is_none() {
            let (meridian, other) = (Vec::new(), Vec::new());
            self.metrics.push(Metric { name: name.to_owned(), unit, meridian, other });
        }
        &mut self.metrics[index]
    }

    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.metrics.iter().filter_map(|metric| {
            let Metric { name, unit, meridian: own, other: others } = metric;
            let meridian = median(own)?;
            let other = median(others);
            let ratio = other.map(|other| meridian / other);
            let rounds = Rounds { meridian: own, other: others };
            let compared_with = self.other.filter(|_| other.is_some());
            Some(Line { name, unit: *unit, meridian, other, compared_with, ratio, rounds })
        })
    }

    /// Formats the medians and the values of all rounds as JSON.
    ///
    /// # Errors
    /// If a metric is not a finite number.
    pub fn json(reports: &[Self]) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&reports.iter().flat_map(Self::lines).collect::<Vec<_>>())
    }

    /// Formats the medians as a table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = format!("{:<40} {:>16}", "median of all rounds", "meridian");
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

/// Returns the median.
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
    fn the_median_is_the_middle_value() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
