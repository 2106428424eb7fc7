//! Numbers that only look random: the same seed gives the same ones on every machine and in every
//! version of this program, which no library promises. The generator is SplitMix64.

/// A stream of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Seed(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Seed {
    /// The stream of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own for one actor, so that how often another one draws changes nothing.
    pub(crate) fn of(&self, actor: &str) -> Self {
        let mixed =
            actor.bytes().fold(self.0 ^ GOLDEN, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        let mut stream = Self(mixed);
        stream.next();
        stream
    }

    /// The next number.
    #[allow(clippy::should_implement_trait, reason = "an iterator without end invites loops without end")]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number in `from..=to`.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// True this often in a hundred.
    pub(crate) fn percent(&mut self, often: u64) -> bool {
        self.below(100) < often
    }

    /// One of these.
    pub(crate) fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let place = self.below(choices.len() as u64);
        &choices[usize::try_from(place).unwrap()]
    }

    /// One of these, each as often as its weight says.
    pub(crate) fn weighted<T: Copy>(&mut self, choices: &[(u64, T)]) -> T {
        let mut left = self.below(choices.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in choices {
            if left < *weight {
                return *choice;
            }
            left -= weight;
        }
        unreachable!("the weights add up")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_says_the_same_for_ever() {
        let mut seed = Seed::new(1);
        let first: Vec<u64> = (0..3).map(|_| seed.next()).collect();
        assert_eq!(first, [0x910a_2dec_8902_5cc1, 0xbeeb_8da1_658e_ec67, 0xf893_a2ee_fb32_555e]);
    }

    #[test]
    fn actors_do_not_share_a_stream() {
        let seed = Seed::new(7);
        assert_ne!(seed.of("client 1").next(), seed.of("client 2").next());
        assert_eq!(seed.of("chaos").next(), seed.of("chaos").next());
    }

    #[test]
    fn a_weight_of_zero_is_never_drawn() {
        let mut seed = Seed::new(3);
        let drawn: Vec<char> = (0..200).map(|_| seed.weighted(&[(1, 'a'), (0, 'b'), (3, 'c')])).collect();
        assert!(drawn.contains(&'a') && drawn.contains(&'c') && !drawn.contains(&'b'));
    }
}
