//! Pages of relations: their LSN and their checksum, as PostgreSQL computes it. Pure.
//!
//! The checksum is FNV-1a in 32 lanes side by side (made for vector instructions), folded to 16 bits, with
//! the block number mixed in so that a page at a wrong place is noticed. The tests verify it with clusters
//! that PostgreSQL wrote.

use dormouse_base::{Lsn, lsn::WAL_SEGMENT};

use super::control_file::PAGE;

/// Bytes of a page.
pub(crate) const PAGE_LEN: usize = PAGE as usize;

const LANES: usize = 32;
const PRIME: u32 = 16_777_619;

/// The initial values of the lanes: arbitrary, but the same for everybody.
const SEEDS: [u32; LANES] = [
    0x5B1F_36E9,
    0xB852_5960,
    0x02AB_50AA,
    0x1DE6_6D2A,
    0x79FF_467A,
    0x9BB9_F8A3,
    0x217E_7CD2,
    0x83E1_3D2C,
    0xF8D4_474F,
    0xE39E_B970,
    0x42C6_AE16,
    0x9932_16FA,
    0x7B09_3B5D,
    0x98DA_FF3C,
    0xF718_902A,
    0x0B1C_9CDB,
    0xE58F_764B,
    0x1876_36BC,
    0x5D7B_3BB1,
    0xE73D_E7DE,
    0x92BE_C979,
    0xCCA6_C0B2,
    0x304A_0979,
    0x85AA_43D4,
    0x7831_25BB,
    0x6CA8_EAA2,
    0xE407_EAC6,
    0x4B5C_FC3E,
    0x9FBF_8C76,
    0x15CA_20BE,
    0xF2CA_9FD3,
    0x959B_D756,
];

/// Positions below this are not of the WAL: zero, and the made-up ones of unlogged and freshly built
/// relations. They say nothing about when a page changed.
const FIRST_REAL: Lsn = Lsn(WAL_SEGMENT);

/// The LSN of a page, from its first eight bytes.
pub(crate) fn lsn(page: &[u8]) -> Lsn {
    let half = |at: usize| u64::from(u32::from_le_bytes(page[at..at + 4].try_into().expect("four bytes")));
    Lsn(half(0) << 32 | half(4))
}

/// Whether a page with this LSN may have changed after `redo`.
pub(crate) fn may_have_changed(lsn: Lsn, redo: Lsn) -> bool {
    lsn > redo || lsn < FIRST_REAL
}

/// The checksum of a page that is block number `block` of its relation.
pub(crate) fn checksum(page: &[u8], block: u32) -> u16 {
    let mut lanes = SEEDS;
    let (rows, _) = page.as_chunks::<{ LANES * 4 }>();
    for (number, row) in rows.iter().enumerate() {
        let (words, _) = row.as_chunks::<4>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = mix(*lane, u32::from_le_bytes(*word));
        }
        if number == 0 {
            // The third word holds the checksum itself, which counts as zero. Undo and redo that lane.
            let own = u32::from_le_bytes(words[2]) & 0xffff_0000;
            lanes[2] = mix(SEEDS[2], own);
        }
    }
    for _ in 0..2 {
        for lane in &mut lanes {
            *lane = mix(*lane, 0);
        }
    }
    let folded = lanes.iter().fold(0, |sum, lane| sum ^ lane) ^ block;
    u16::try_from(folded % 65535 + 1).expect("it is at most 65535")
}

fn mix(sum: u32, value: u32) -> u32 {
    let mixed = sum ^ value;
    mixed.wrapping_mul(PRIME) ^ (mixed >> 17)
}

/// Whether a page is what PostgreSQL wrote: its checksum is right, or it is all zeros.
pub(crate) fn is_sound(page: &[u8], block: u32) -> bool {
    // pd_upper is zero in a page that was never used.
    if page[14..16] == [0, 0] {
        return crate::chunk::is_zeros(page);
    }
    u16::from_le_bytes([page[8], page[9]]) == checksum(page, block)
}
