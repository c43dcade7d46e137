//! What becomes of each frame: a hub without its devices.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::{Felt, Rule};

/// How long a frame is held back that others are to overtake: longer than it is between two frames of
/// agents at work.
const HELD: Duration = Duration::from_millis(20);

/// Rules, and the frames that are on their way.
#[derive(Debug)]
pub struct Switch {
    seed: u64,
    pairs: BTreeMap<(u8, u8), Pair>,
    /// By when they are due, and in the order in which they came.
    waiting: BTreeMap<(Instant, u64), (u8, Vec<u8>)>,
    /// Frames that ever came.
    count: u64,
    felt: Felt,
}

/// Who sends, and to whom.
#[derive(Debug)]
struct Pair {
    rule: Rule,
    /// Its own, so that the frames of one pair do not decide on those of another.
    random: StdRng,
    /// When the last of its frames is due.
    last: Option<Instant>,
}

impl Switch {
    /// One without rules.
    pub fn new(seed: u64) -> Self {
        let felt = Felt::default();
        Self { seed, pairs: BTreeMap::new(), waiting: BTreeMap::new(), count: 0, felt }
    }

    pub fn set(&mut self, from: u8, to: u8, rule: Rule) {
        self.pair(from, to).rule = rule;
    }

    /// Ends all rules, and begins to count anew.
    pub fn heal(&mut self) {
        self.pairs.values_mut().for_each(|pair| pair.rule = Rule::default());
        self.felt = Felt::default();
    }

    pub fn felt(&self) -> Felt {
        self.felt
    }

    fn pair(&mut self, from: u8, to: u8) -> &mut Pair {
        let seed = self.seed.wrapping_mul(1 << 16).wrapping_add(u64::from(from) << 8);
        let random = || StdRng::seed_from_u64(seed.wrapping_add(u64::from(to)));
        let pair = || Pair { rule: Rule::default(), random: random(), last: None };
        self.pairs.entry((from, to)).or_insert_with(pair)
    }

    /// Takes a frame.
    pub fn arrive(&mut self, from: u8, to: u8, frame: &[u8], now: Instant) {
        let mut felt = self.felt;
        let pair = self.pair(from, to);
        let rule = pair.rule;
        let mut dues = Vec::with_capacity(2);
        if rule.cuts() || pair.happens(rule.loss) {
            felt.lost += 1;
        } else {
            dues.push(pair.due(now));
            if pair.happens(rule.duplication) {
                felt.duplicated += 1;
                dues.push(pair.due(now));
            }
            felt.delayed += u64::from(!rule.delay.is_zero());
        }
        for due in &dues {
            felt.overtook += u64::from(pair.last.is_some_and(|last| *due < last));
            pair.last = pair.last.max(Some(*due));
        }
        for due in dues {
            self.count += 1;
            self.waiting.insert((due, self.count), (to, frame.to_vec()));
        }
        self.felt = felt;
    }

    /// When the next frame is due.
    pub fn next(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// The next frame that is due now, and whose it is.
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
        let held = if self.happens(reordering) { HELD } else { Duration::ZERO };
        now + delay + jitter + held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: u32 = 1_000;

    /// What arrives of frames sent once a millisecond under a rule, in order: which, and when.
    fn sent(seed: u64, rule: Rule) -> (Vec<(u32, Duration)>, Felt) {
        let mut switch = Switch::new(seed);
        switch.set(1, 2, rule);
        let began = Instant::now();
        for frame in 0..COUNT {
            let now = began + Duration::from_millis(frame.into());
            switch.arrive(1, 2, &frame.to_le_bytes(), now);
        }
        let mut arrived = Vec::new();
        while let Some(due) = switch.next() {
            let (to, frame) = switch.due(due).expect("is due");
            assert_eq!(to, 2);
            let frame = u32::from_le_bytes(frame.try_into().expect("are four bytes"));
            let sent = began + Duration::from_millis(frame.into());
            arrived.push((frame, due.duration_since(sent)));
        }
        (arrived, switch.felt())
    }

    fn in_order(arrived: &[(u32, Duration)]) -> bool {
        arrived.is_sorted_by_key(|(frame, _)| *frame)
    }

    #[test]
    fn without_a_rule_all_arrive_at_once_and_in_order() {
        let (arrived, felt) = sent(1, Rule::default());
        assert_eq!(arrived.len(), 1_000);
        assert!(in_order(&arrived) && arrived.iter().all(|(_, late)| late.is_zero()));
        assert_eq!(felt, Felt::default());
    }

    #[test]
    fn a_part_is_lost_and_all_where_the_part_is_all() {
        let (arrived, felt) = sent(1, Rule { loss: 0.3, ..Rule::default() });
        assert!((650..750).contains(&arrived.len()), "{} arrived", arrived.len());
        assert_eq!(felt.lost, 1_000 - arrived.len() as u64);
        for rule in [Rule::CUT, Rule { loss: 1.0, ..Rule::default() }] {
            let (arrived, felt) = sent(1, rule);
            assert_eq!((arrived.len(), felt.lost), (0, 1_000));
        }
    }

    #[test]
    fn what_is_delayed_is_late_by_the_delay_and_some_of_the_jitter() {
        let (delay, jitter) = (Duration::from_millis(100), Duration::from_millis(40));
        let (arrived, felt) = sent(1, Rule { delay, ..Rule::default() });
        assert!(in_order(&arrived) && arrived.iter().all(|(_, late)| *late == delay));
        assert_eq!((felt.delayed, felt.overtook), (1_000, 0));
        let (arrived, felt) = sent(1, Rule { delay, jitter, ..Rule::default() });
        let expected = delay..=delay + jitter;
        assert!(arrived.iter().all(|(_, late)| expected.contains(late)));
        assert!(!in_order(&arrived) && felt.overtook > 0);
    }

    #[test]
    fn what_is_doubled_comes_twice_and_what_is_reordered_is_overtaken() {
        let (arrived, felt) = sent(1, Rule { duplication: 1.0, ..Rule::default() });
        assert_eq!((arrived.len(), felt.duplicated), (2_000, 1_000));
        let (arrived, felt) = sent(1, Rule { reordering: 0.3, ..Rule::default() });
        assert_eq!(arrived.len(), 1_000);
        assert!(!in_order(&arrived) && felt.overtook > 0);
    }

    #[test]
    fn a_seed_gives_one_fate_and_another_seed_another() {
        let rule = Rule { loss: 0.5, reordering: 0.5, ..Rule::default() };
        assert_eq!(sent(1, rule), sent(1, rule));
        assert_ne!(sent(1, rule), sent(2, rule));
    }

    #[test]
    fn a_rule_is_one_way_and_ends_with_healing() {
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
        assert_eq!(switch.felt(), Felt::default());
    }
}
