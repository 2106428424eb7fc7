//! One bit for each chunk of a file.

/// A fixed number of bits, all zero at first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bits {
    words: Vec<u64>,
    len: u32,
}

impl Bits {
    /// So many zeros.
    #[must_use]
    pub fn new(len: u32) -> Self {
        Self { words: vec![0; len.div_ceil(64) as usize], len }
    }

    /// How many bits there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A bit; zero behind the end.
    #[must_use]
    pub fn get(&self, at: u32) -> bool {
        self.words.get(at as usize / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// Sets a bit to one.
    ///
    /// # Panics
    /// Behind the end.
    pub fn set(&mut self, at: u32) {
        assert!(at < self.len, "bit {at} of {}", self.len);
        self.words[at as usize / 64] |= 1 << (at % 64);
    }

    /// The bits in words of 64, the first bit lowest.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// How many are one.
    #[must_use]
    pub fn ones(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether all are one.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ones() == self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_kept_apart() {
        let mut bits = Bits::new(130);
        for at in [0, 63, 64, 129] {
            bits.set(at);
        }
        assert!(bits.get(63) && bits.get(64) && !bits.get(65) && !bits.get(500));
        assert_eq!((bits.ones(), bits.is_full()), (4, false));
        assert!(Bits::new(0).is_full());
    }
}
