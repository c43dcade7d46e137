//! Decides on the delivery of each frame: the hub without its devices.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::{Counters, Rule};

/// Time for which a reordered frame is held back: longer than the gap between two frames under
/// load.
const HOLD: Duration = Duration::from_millis(20);

/// The rules, and the frames in flight.
#[derive(Debug)]
pub struct Switch {
    seed: u64,
    pairs: BTreeMap<(u8, u8), Pair>,
    /// Sorted by delivery time, then by order of arrival.
    waiting: BTreeMap<(Instant, u64), (u8, Vec<u8>)>,
    /// Number of frames received so far.
    count: u64,
    counters: Counters,
}

/// One direction between two agents.
#[derive(Debug)]
struct Pair {
    rule: Rule,
    /// One generator per pair, so that the frames of one pair do not affect another.
    random: StdRng,
    /// Latest delivery time of its frames.
    last: Option<Instant>,
}

impl Switch {
    /// Creates a switch without rules.
    pub fn new(seed: u64) -> Self {
        let counters = Counters::default();
        Self { seed, pairs: BTreeMap::new(), waiting: BTreeMap::new(), count: 0, counters }
    }

    pub fn set(&mut self, from: u8, to: u8, rule: Rule) {
        self.pair(from, to).rule = rule;
    }

    /// Removes all rules and resets the counters.
    pub fn heal(&mut self) {
        self.pairs.values_mut().for_each(|pair| pair.rule = Rule::default());
        self.counters = Counters::default();
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn pair(&mut self, from: u8, to: u8) -> &mut Pair {
        let seed = self.seed.wrapping_mul(1 << 16).wrapping_add(u64::from(from) << 8);
        let random = || StdRng::seed_from_u64(seed.wrapping_add(u64::from(to)));
        let pair = || Pair { rule: Rule::default(), random: random(), last: None };
        self.pairs.entry((from, to)).or_insert_with(pair)
    }

    /// Accepts a frame for delivery.
    pub fn arrive(&mut self, from: u8, to: u8, frame: &[u8], now: Instant) {
        let mut counters = self.counters;
        let pair = self.pair(from, to);
        let rule = pair.rule;
        let mut dues = Vec::with_capacity(2);
        if rule.cuts() || pair.happens(rule.loss) {
            counters.lost += 1;
        } else {
            dues.push(pair.due(now));
            if pair.happens(rule.duplication) {
                counters.duplicated += 1;
                dues.push(pair.due(now));
            }
            counters.delayed += u64::from(!rule.delay.is_zero());
        }
        for due in &dues {
            counters.reordered += u64::from(pair.last.is_some_and(|last| *due < last));
            pair.last = pair.last.max(Some(*due));
        }
        for due in dues {
            self.count += 1;
            self.waiting.insert((due, self.count), (to, frame.to_vec()));
        }
        self.counters = counters;
    }

    /// Returns the delivery time of the next frame.
    pub fn next(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// Removes and returns the next due frame and its receiver.
    pub fn due(&mut self, now: Instant) -> Option<(u8, Vec<u8>)> {
        let first = self.waiting.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

impl Pair {
    fn happens(&mut self, part: f64) -> bool {
        part > 0.0 && self.random.random_bool(part)
    }

    fn due(&mut self, now: Instant) -> Instant {
        let Rule { delay, jitter, reordering, .. } = self.rule;
        let jitter = if jitter.is_zero() { jitter } else { jitter.mul_f64(self.random.random()) };
        let held = if self.happens(reordering) { HOLD } else { Duration::ZERO };
        now + delay + jitter + held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: u32 = 1_000;

    /// Sends a frame every millisecond under a rule, and returns the delivered frames with their
    /// delays.
    fn sent(seed: u64, rule: Rule) -> (Vec<(u32, Duration)>, Counters) {
        let mut switch = Switch::new(seed);
        switch.set(1, 2, rule);
        let began = Instant::now();
        for frame in 0..COUNT {
            let now = began + Duration::from_millis(frame.into());
            switch.arrive(1, 2, &frame.to_le_bytes(), now);
        }
        let mut arrived = Vec::new();
        while let Some(due) = switch.next() {
            let (to, frame) = switch.due(due).expect("a frame is due");
            assert_eq!(to, 2);
            let frame = u32::from_le_bytes(frame.try_into().expect("four bytes"));
            let sent = began + Duration::from_millis(frame.into());
            arrived.push((frame, due.duration_since(sent)));
        }
        (arrived, switch.counters())
    }

    fn in_order(arrived: &[(u32, Duration)]) -> bool {
        arrived.is_sorted_by_key(|(frame, _)| *frame)
    }

    #[test]
    fn without_a_rule_all_frames_arrive_immediately_and_in_order() {
        let (arrived, counters) = sent(1, Rule::default());
        assert_eq!(arrived.len(), 1_000);
        assert!(in_order(&arrived) && arrived.iter().all(|(_, late)| late.is_zero()));
        assert_eq!(counters, Counters::default());
    }

    #[test]
    fn loss_drops_a_fraction_and_a_cut_drops_all() {
        let (arrived, counters) = sent(1, Rule { loss: 0.3, ..Rule::default() });
        assert!((650..750).contains(&arrived.len()), "{} arrived", arrived.len());
        assert_eq!(counters.lost, 1_000 - arrived.len() as u64);
        for rule in [Rule::CUT, Rule { loss: 1.0, ..Rule::default() }] {
            let (arrived, counters) = sent(1, rule);
            assert_eq!((arrived.len(), counters.lost), (0, 1_000));
        }
    }

    #[test]
    fn frames_arrive_after_the_delay_and_at_most_the_jitter() {
        let (delay, jitter) = (Duration::from_millis(100), Duration::from_millis(40));
        let (arrived, counters) = sent(1, Rule { delay, ..Rule::default() });
        assert!(in_order(&arrived) && arrived.iter().all(|(_, late)| *late == delay));
        assert_eq!((counters.delayed, counters.reordered), (1_000, 0));
        let (arrived, counters) = sent(1, Rule { delay, jitter, ..Rule::default() });
        let expected = delay..=delay + jitter;
        assert!(arrived.iter().all(|(_, late)| expected.contains(late)));
        assert!(!in_order(&arrived) && counters.reordered > 0);
    }

    #[test]
    fn duplicates_arrive_twice_and_held_frames_are_overtaken() {
        let (arrived, counters) = sent(1, Rule { duplication: 1.0, ..Rule::default() });
        assert_eq!((arrived.len(), counters.duplicated), (2_000, 1_000));
        let (arrived, counters) = sent(1, Rule { reordering: 0.3, ..Rule::default() });
        assert_eq!(arrived.len(), 1_000);
        assert!(!in_order(&arrived) && counters.reordered > 0);
    }

    #[test]
    fn the_seed_determines_the_deliveries() {
        let rule = Rule { loss: 0.5, reordering: 0.5, ..Rule::default() };
        assert_eq!(sent(1, rule), sent(1, rule));
        assert_ne!(sent(1, rule), sent(2, rule));
    }

    #[test]
    fn a_rule_applies_to_one_direction_until_it_is_healed() {
        let mut switch = Switch::new(1);
        switch.set(1, 2, Rule::CUT);
        let now = Instant::now();
        let arrives = |switch: &mut Switch, from, to| {
            switch.arrive(from, to, b"frame", now);
            switch.due(now).is_some()
        };
        assert!(!arrives(&mut switch, 1, 2));
        assert!(arrives(&mut switch, 2, 1) && arrives(&mut switch, 1, 3));
        switch.heal();
        assert!(arrives(&mut switch, 1, 2));
        assert_eq!(switch.counters(), Counters::default());
    }
}
