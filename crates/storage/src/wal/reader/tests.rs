//! The reader on WAL that is made here, byte by byte. Real WAL is read in `wal/tests/`.

use super::*;
use proptest::prelude::*;

const MAJOR: u32 = 18;

/// Writes WAL the way PostgreSQL does.
struct Writer {
    at: Lsn,
    prev: Lsn,
    out: Vec<u8>,
}

impl Writer {
    fn new(at: Lsn) -> Self {
        Self { at, prev: Lsn(8), out: Vec::new() }
    }

    fn byte(&mut self, byte: u8) {
        self.out.push(byte);
        self.at = self.at.plus(1);
    }

    fn header(&mut self, rest: u32, overwrites: bool) {
        let major = Major::new(MAJOR).unwrap();
        let mut header = PageHeader::made_up(major, self.at, Timeline(1), 7);
        header[2] |= u8::from(rest > 0) | (u8::from(overwrites) << 3);
        header[16..20].copy_from_slice(&rest.to_le_bytes());
        header.into_iter().for_each(|byte| self.byte(byte));
    }

    fn record(&mut self, manager: u8, info: u8, body: &[u8]) -> Record {
        self.some_of_record(manager, info, body, usize::MAX)
    }

    /// Writes the first `limit` bytes of a record.
    fn some_of_record(&mut self, manager: u8, info: u8, body: &[u8], limit: usize) -> Record {
        if self.at.0.is_multiple_of(PAGE) {
            self.header(0, false);
        }
        let start = self.at;
        let mut bytes = vec![0; HEADER];
        bytes.extend_from_slice(body);
        let len = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.prev.0.to_le_bytes());
        (bytes[16], bytes[17]) = (info, manager);
        let crc = crc32c::crc32c_append(crc32c::crc32c(body), &bytes[..CRC_AT]);
        bytes[CRC_AT..HEADER].copy_from_slice(&crc.to_le_bytes());
        for (i, byte) in bytes.iter().enumerate().take(limit) {
            if self.at.0.is_multiple_of(PAGE) {
                self.header(len - u32::try_from(i).unwrap(), false);
            }
            self.byte(*byte);
        }
        if limit == usize::MAX {
            self.prev = start;
            while !self.at.0.is_multiple_of(ALIGN) {
                self.byte(0);
            }
        }
        let kind = RecordHeader::parse(&bytes).unwrap().kind(&bytes);
        Record { start, end: self.at, manager, kind }
    }

    fn commit(&mut self, time: u64) -> Record {
        let mut body = vec![255, 8];
        body.extend_from_slice(&time.to_le_bytes());
        self.record(1, 0, &body)
    }
}

fn start() -> Lsn {
    Lsn(WAL_SEGMENT)
}

fn reader() -> Reader {
    Reader::at(Major::new(MAJOR).unwrap(), start())
}

fn read(mut reader: Reader, bytes: &[u8], step: usize) -> (Vec<Record>, Reader, Option<Invalid>) {
    let mut found = Vec::new();
    for chunk in bytes.chunks(step) {
        if let Err(invalid) = reader.push(chunk, |record| found.push(*record)) {
            return (found, reader, Some(invalid));
        }
    }
    (found, reader, None)
}

#[test]
fn records_of_any_size_in_any_steps() {
    let mut writer = Writer::new(start());
    let mut expected = Vec::new();
    for size in [0, 1, 7, 100, 8000, 20_000, 3, 9000] {
        expected.push(writer.record(9, 0, &vec![5; size]));
        expected.push(writer.commit(size as u64));
    }
    for step in [1, 7, 24, 8192, 1 << 20] {
        let (found, reader, invalid) = read(reader(), &writer.out, step);
        assert_eq!((found.as_slice(), invalid), (expected.as_slice(), None));
        assert_eq!((reader.end(), reader.position(), reader.is_between()), (writer.at, writer.at, true));
        assert_eq!((reader.last_commit(), reader.system_identifier()), (20_000, Some(7)));
    }
    // One byte less, and the last record does not end in it.
    let (found, reader, _) = read(reader(), &writer.out[..writer.out.len() - 1], 100);
    assert_eq!((found.len(), reader.end()), (expected.len() - 1, expected[expected.len() - 2].end));
}

#[test]
fn a_switch_uses_up_its_segment() {
    let mut writer = Writer::new(start());
    writer.record(9, 0, &[1; 10_000]);
    let switch = writer.record(0, 0x40, &[]);
    while !writer.at.0.is_multiple_of(WAL_SEGMENT) {
        writer.byte(0);
    }
    let last = writer.commit(3);
    let (found, _, invalid) = read(reader(), &writer.out, 5000);
    assert_eq!((found.len(), invalid), (3, None));
    assert_eq!(
        (found[1].start, found[1].end, found[1].kind),
        (switch.start, start().plus(WAL_SEGMENT), Kind::Switch)
    );
    assert_eq!(found[2].start, last.start);
}

#[test]
fn a_record_that_a_crash_cut_is_void() {
    let mut writer = Writer::new(start());
    let first = writer.record(9, 0, &[1; 100]);
    let prev = writer.prev;
    writer.some_of_record(9, 0, &[2; 30_000], 12_000);
    while !writer.at.0.is_multiple_of(PAGE) {
        writer.byte(0);
    }
    writer.prev = prev;
    writer.header(0, true);
    let second = writer.record(0, 0xD0, &[255, 0]);
    let (found, at_end, invalid) = read(reader(), &writer.out, 777);
    assert_eq!((found.len(), invalid), (2, None));
    assert_eq!((found[0].end, found[1].start, at_end.end()), (first.end, second.start, second.end));

    // The same with a record that was cut at the end of its page.
    let mut writer = Writer::new(start());
    writer.record(9, 0, &[1; 100]);
    let prev = writer.prev;
    let room = usize::try_from(PAGE - writer.at.0 % PAGE).unwrap();
    writer.some_of_record(9, 0, &[2; 30_000], room);
    writer.prev = prev;
    writer.header(0, true);
    let again = writer.record(0, 0xD0, &[255, 0]);
    let (found, reader, invalid) = read(reader(), &writer.out, 777);
    assert_eq!((found.len(), invalid), (2, None));
    assert_eq!((found[0].end, found[1].start, reader.end()), (first.end, again.start, again.end));
}

#[test]
fn seeking_finds_the_first_record_behind_a_page_boundary() {
    let mut writer = Writer::new(start());
    writer.record(9, 0, &[1; 100]);
    writer.record(9, 0, &[1; 20_000]);
    let third = writer.record(9, 0, &[1; 50]);
    for from in [0_usize, 40, 100, 1000, 8192, 9000, 16_384] {
        let seeking = Reader::seek(Major::new(MAJOR).unwrap(), start().plus(from as u64));
        let (found, _, invalid) = read(seeking, &writer.out[from..], 99);
        assert_eq!(invalid, None, "{from}");
        assert_eq!(found.last().map(|record| record.start), Some(third.start), "{from}");
        assert_eq!(found.len(), if from == 0 { 3 } else { 1 }, "{from}");
    }
}

#[test]
fn a_changed_byte_is_noticed() {
    let mut writer = Writer::new(start());
    writer.record(9, 0, &[1; 9000]);
    let second = writer.commit(1);
    writer.commit(2);
    for at in [60_usize, 8100, 8192 + 8] {
        let mut bytes = writer.out.clone();
        bytes[at] ^= 1;
        let (found, _, invalid) = read(reader(), &bytes, 4096);
        assert!(found.is_empty() && invalid.is_some(), "{at}");
    }
    let mut bytes = writer.out.clone();
    bytes[usize::try_from(second.start.since(start())).unwrap() + 30] ^= 1;
    let (found, _, invalid) = read(reader(), &bytes, 4096);
    assert_eq!((found.len(), invalid.unwrap().at), (1, second.start));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_are_safe(bytes in proptest::collection::vec(any::<u8>(), 0..40_000), from in 0_u64..20_000, step in 1_usize..9000) {
        let major = Major::new(MAJOR).unwrap();
        for reader in [Reader::at(major, Lsn(from)), Reader::seek(major, Lsn(from)), Reader::at(major, Lsn(u64::MAX - 20_000))] {
            let _ = read(reader, &bytes, step);
        }
    }

    #[test]
    fn damaged_wal_is_safe(sizes in proptest::collection::vec(0_usize..12_000, 1..6), at in any::<prop::sample::Index>(), value in any::<u8>(), step in 1_usize..9000) {
        let mut writer = Writer::new(start());
        for size in &sizes {
            writer.record(1, 0, &vec![253; *size]);
        }
        let place = at.index(writer.out.len());
        let changed = writer.out[place] != value;
        writer.out[place] = value;
        let (found, reader, invalid) = read(reader(), &writer.out, step);
        prop_assert!(found.len() <= sizes.len() && reader.end() <= writer.at);
        // Padding and a few unchecked bytes of headers may change unnoticed; whatever is reported must be whole.
        prop_assert!(changed || invalid.is_none());
    }
}
