//! What a sparse directory lacks.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::chunk;

/// One bit per chunk of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bits {
    len: u32,
    words: Vec<u64>,
}

impl Bits {
    /// `len` bits, none of them set.
    #[must_use]
    pub fn none(len: u32) -> Self {
        Self { len, words: vec![0; len.div_ceil(64) as usize] }
    }

    /// `len` bits, all of them set.
    #[must_use]
    pub fn all(len: u32) -> Self {
        let mut bits = Self::none(len);
        (0..len).for_each(|bit| bits.set(bit));
        bits
    }

    /// From 64-bit words, the first bit lowest. Words and bits behind `len` are ignored, missing ones are zero.
    #[must_use]
    pub fn from_words(len: u32, words: &[u64]) -> Self {
        let mut bits = Self::none(len);
        let given = |bit: u32| words.get(bit as usize / 64).is_some_and(|word| word >> (bit % 64) & 1 != 0);
        (0..len).filter(|bit| given(*bit)).for_each(|bit| bits.set(bit));
        bits
    }

    /// How many bits there are, set or not.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are no bits at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a bit; one behind the end is ignored.
    pub fn set(&mut self, bit: u32) {
        if bit < self.len {
            self.words[bit as usize / 64] |= 1 << (bit % 64);
        }
    }

    /// Clears a bit; one behind the end is ignored.
    pub fn unset(&mut self, bit: u32) {
        if bit < self.len {
            self.words[bit as usize / 64] &= !(1 << (bit % 64));
        }
    }

    /// Whether a bit is set; those behind the end are not.
    #[must_use]
    pub fn get(&self, bit: u32) -> bool {
        bit < self.len && self.words[bit as usize / 64] >> (bit % 64) & 1 != 0
    }

    /// How many are set.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether all are set.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count() == self.len
    }

    /// The set bits, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.len).filter(|bit| self.get(*bit))
    }

    /// The words, the first bit lowest.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }
}

impl Serialize for Bits {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let hex: String = self.words.iter().map(|word| format!("{word:016x}")).collect();
        (self.len, hex).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Bits {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (len, hex) = <(u32, String)>::deserialize(from)?;
        let word = |part: &[u8]| u64::from_str_radix(std::str::from_utf8(part).ok()?, 16).ok();
        let words: Option<Vec<u64>> = hex.as_bytes().chunks(16).map(word).collect();
        let words = words.filter(|words| words.len() == len.div_ceil(64) as usize);
        let words = words.ok_or_else(|| serde::de::Error::custom("not a list of bits"))?;
        Ok(Self::from_words(len, &words))
    }
}

/// A file that was made with the right size and owner, but not with all of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LazyFile {
    /// Relative to the data directory.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// The chunks that are already in the file. A chunk of zeros may be flagged and left a hole.
    pub present: Bits,
}

/// All of them. The position in the list is the number that [`crate::hydrate::Source`] is asked with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The files.
    pub files: Vec<LazyFile>,
    /// Chunks to fetch at once and before all others, in this order: (file, chunk). May name what is present.
    pub hot: Vec<(u32, u32)>,
}

impl LazyFile {
    /// How many chunks it has.
    #[must_use]
    pub fn chunks(&self) -> u32 {
        chunk::count(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_survive_being_written() {
        let mut bits = Bits::none(130);
        for bit in [0, 63, 64, 129, 130, 4000] {
            bits.set(bit);
        }
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 63, 64, 129]);
        let text = serde_json::to_string(&bits).unwrap();
        assert_eq!(serde_json::from_str::<Bits>(&text).unwrap(), bits);
        assert!(serde_json::from_str::<Bits>("[130,\"00\"]").is_err());
        assert_eq!(Bits::all(65).count(), 65);
        assert_eq!(Bits::from_words(3, &[u64::MAX]).count(), 3);
    }
}
