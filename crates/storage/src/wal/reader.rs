//! Reads records from a stream of WAL bytes. Bytes in, records out; no I/O, and nothing is kept but the
//! beginning of the record that is being read, so a record of a gigabyte costs no memory. Whoever wants to know
//! what a record touches gets that beginning with it ([`Reader::push_parts`], [`super::blocks`]).
//!
//! ```text
//!  Between ──► Record ──► Skip (to a multiple of eight; to the end of the segment behind a switch) ──► Between
//!  seek: Skip (to the next page) ──► SeekRecord (the rest of a record whose beginning is unknown) ──► Between
//! ```
//!
//! Page headers may come in any state but Skip. A reader begins where a record begins ([`Reader::at`]), or
//! anywhere ([`Reader::seek`]: it then skips to the first record behind the next page boundary, the way
//! PostgreSQL's own tools do). It can be cloned to try how far some bytes go. After an error it is of no use
//! any more: a new one may *seek* behind the problem.

use dormouse_base::lsn::WAL_SEGMENT;
use dormouse_base::{Lsn, Timeline};

use super::page::{LONG, Major, PAGE, PageHeader, Problem, header_len, page_start, u32_at};
use super::record::{CRC_AT, HEADER, KEPT, Kind, MAX_RECORD, Record, RecordHeader};

/// Records begin at a multiple of this.
const ALIGN: u64 = 8;

/// Bytes that are no WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the WAL is not valid at {at}: {problem}")]
pub struct Invalid {
    /// The start of the record or page that is wrong.
    pub at: Lsn,
    /// What is wrong with it.
    pub problem: Problem,
}

/// A record of which a part was read.
#[derive(Debug, Clone, Copy)]
struct Partial {
    start: Lsn,
    got: u32,
    /// 0 until the first four bytes are there.
    len: u32,
    /// Of the bytes behind the header.
    crc: u32,
}

#[derive(Debug, Clone)]
enum State {
    /// A record may begin here.
    Between,
    /// Inside a record.
    Record(Partial),
    /// Bytes up to here do not matter; then `record` is whole.
    Skip { to: Lsn, record: Option<Record> },
    /// The next page is the first to be understood.
    SeekPage,
    /// Inside a record whose beginning is not known: so many bytes are left.
    SeekRecord(u32),
}

/// The reader.
#[derive(Debug, Clone)]
pub struct Reader {
    major: Major,
    pos: Lsn,
    state: State,
    /// The beginning of the record that is being read, or was read last.
    head: Box<[u8; KEPT]>,
    /// Bytes of it that belong to the last whole record.
    head_len: usize,
    header: [u8; LONG],
    header_got: usize,
    in_header: bool,
    timeline: Timeline,
    system_identifier: Option<u64>,
    prev: Option<Lsn>,
    end: Lsn,
    last_commit: u64,
}

impl Reader {
    /// A reader that begins at `start`, where a record begins (or a page whose first record does).
    #[must_use]
    pub fn at(major: Major, start: Lsn) -> Self {
        Self {
            major,
            pos: start,
            state: State::Between,
            head: Box::new([0; KEPT]),
            head_len: 0,
            header: [0; LONG],
            header_got: 0,
            in_header: start.0.is_multiple_of(PAGE),
            timeline: Timeline(0),
            system_identifier: None,
            prev: None,
            end: start,
            last_commit: 0,
        }
    }

    /// A reader that begins anywhere and finds the first record behind the next page boundary.
    #[must_use]
    pub fn seek(major: Major, start: Lsn) -> Self {
        Self { state: State::SeekPage, ..Self::at(major, start) }
    }

    /// The same reader knowing the time of the last commit so far (microseconds since 2000-01-01).
    #[must_use]
    pub fn with_last_commit(mut self, time: u64) -> Self {
        self.last_commit = time;
        self
    }

    /// The position of the next byte.
    #[must_use]
    pub fn position(&self) -> Lsn {
        self.pos
    }

    /// Behind the last whole record; where the reader began, before the first.
    #[must_use]
    pub fn end(&self) -> Lsn {
        self.end
    }

    /// The version whose WAL it reads.
    #[must_use]
    pub fn major(&self) -> Major {
        self.major
    }

    /// The largest commit time so far, microseconds since 2000-01-01; 0 = none.
    #[must_use]
    pub fn last_commit(&self) -> u64 {
        self.last_commit
    }

    /// The cluster's identity, once a segment has begun.
    #[must_use]
    pub fn system_identifier(&self) -> Option<u64> {
        self.system_identifier
    }

    /// Whether the next byte may begin a record: nothing is unfinished.
    #[must_use]
    pub fn is_between(&self) -> bool {
        matches!(self.state, State::Between) && self.header_got == 0
    }

    /// Reads on. `each` is called for each whole record, in order.
    ///
    /// # Errors
    /// At the first page or record that is not valid. Records before it were reported.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&Record)) -> Result<(), Invalid> {
        self.push_parts(bytes, |record, _| each(record))
    }

    /// The same, with the beginning of each record: its header and all its parts before the data.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_parts(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(&Record, &[u8]),
    ) -> Result<(), Invalid> {
        while !bytes.is_empty() {
            let room = |to: Lsn, pos: Lsn| usize::try_from(to.since(pos)).unwrap_or(usize::MAX);
            let page_end = page_start(self.pos).plus(PAGE);
            let used = match self.state {
                State::Skip { to, .. } => room(to, self.pos).min(bytes.len()),
                State::SeekPage if !self.in_header => room(page_end, self.pos).min(bytes.len()),
                _ if self.in_header => self.take_header(bytes)?,
                _ => self.take_data(&bytes[..bytes.len().min(room(page_end, self.pos))])?,
            };
            self.pos = self.pos.plus(used as u64);
            bytes = &bytes[used..];
            self.settle(&mut each);
        }
        Ok(())
    }

    /// What follows from having come to this position.
    fn settle(&mut self, each: &mut impl FnMut(&Record, &[u8])) {
        if let State::Skip { to, record } = self.state {
            if self.pos < to {
                return;
            }
            self.state = State::Between;
            if let Some(record) = record {
                self.end = record.end;
                if let Kind::Commit { time } = record.kind {
                    self.last_commit = self.last_commit.max(time);
                }
                each(&record, &self.head[..self.head_len]);
            }
        }
        if self.pos.0.is_multiple_of(PAGE) {
            self.in_header = true;
        }
    }

    fn take_header(&mut self, bytes: &[u8]) -> Result<usize, Invalid> {
        let at = page_start(self.pos);
        let wanted = header_len(at);
        let used = (wanted - self.header_got).min(bytes.len());
        self.header[self.header_got..self.header_got + used].copy_from_slice(&bytes[..used]);
        self.header_got += used;
        if self.header_got == wanted {
            let invalid = |problem| Invalid { at, problem };
            let header = PageHeader::parse(self.major, at, &self.header[..wanted]).map_err(invalid)?;
            self.header_got = 0;
            self.in_header = false;
            self.enter_page(&header).map_err(invalid)?;
        }
        Ok(used)
    }

    fn enter_page(&mut self, header: &PageHeader) -> Result<(), Problem> {
        if header.timeline < self.timeline {
            return Err("the timeline goes back");
        }
        self.timeline = header.timeline;
        if let Some(found) = header.system_identifier
            && self.system_identifier.replace(found).is_some_and(|known| known != found)
        {
            return Err("the page is of another cluster");
        }
        match &self.state {
            State::Record(_) if header.overwrites => self.state = State::Between,
            State::Record(partial) if header.rest != partial.len - partial.got => {
                return Err("the page does not go on with the record that the last one began");
            }
            State::Between if header.rest != 0 => {
                return Err("the page goes on with a record that never began");
            }
            State::SeekPage | State::SeekRecord(_) => {
                self.state = if header.rest == 0 { State::Between } else { State::SeekRecord(header.rest) };
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes bytes of one page, behind its header.
    fn take_data(&mut self, bytes: &[u8]) -> Result<usize, Invalid> {
        if let State::SeekRecord(left) = &mut self.state {
            let used = bytes.len().min(*left as usize);
            *left -= u32::try_from(used).expect("it is at most `left`");
            if *left == 0 {
                self.state = State::Skip { to: aligned(self.pos.plus(used as u64)), record: None };
            }
            return Ok(used);
        }
        if matches!(self.state, State::Between) {
            self.state = State::Record(Partial::new(self.pos));
        }
        let State::Record(partial) = &mut self.state else { return Ok(bytes.len()) };
        let at = partial.start;
        let invalid = |problem| Invalid { at, problem };
        let used = partial.feed(bytes, &mut self.head, self.prev).map_err(invalid)?;
        if partial.len != 0 && partial.got == partial.len {
            self.head_len = KEPT.min(partial.len as usize);
            let head = &self.head[..self.head_len];
            let record = partial.finish(head, self.pos.plus(used as u64)).map_err(invalid)?;
            self.prev = Some(record.start);
            self.state = State::Skip { to: record.end, record: Some(record) };
        }
        Ok(used)
    }
}

impl Partial {
    fn new(start: Lsn) -> Self {
        Self { start, got: 0, len: 0, crc: 0 }
    }

    /// Takes a part of `bytes`, at least one.
    fn feed(&mut self, bytes: &[u8], head: &mut [u8; KEPT], prev: Option<Lsn>) -> Result<usize, Problem> {
        let got = self.got as usize;
        let used = if got < HEADER {
            bytes.len().min(HEADER - got)
        } else {
            let used = bytes.len().min((self.len - self.got) as usize);
            self.crc = crc32c::crc32c_append(self.crc, &bytes[..used]);
            used
        };
        if got < KEPT {
            let kept = used.min(KEPT - got);
            head[got..got + kept].copy_from_slice(&bytes[..kept]);
        }
        self.got += u32::try_from(used).expect("a record has less than 4 GiB");
        if self.len == 0 && self.got >= 4 {
            self.len = u32_at(head, 0)?;
            if self.len == 0 {
                return Err("no record begins there");
            }
            if !(HEADER as u32..=MAX_RECORD).contains(&self.len) {
                return Err("the record has an impossible length");
            }
        }
        if got < HEADER && self.got as usize == HEADER {
            let header = RecordHeader::parse(head)?;
            if prev.map_or(header.prev >= self.start, |prev| header.prev != prev) {
                return Err("the record does not follow the one before");
            }
        }
        Ok(used)
    }

    /// The record is all there; `behind` is the position of the next byte.
    fn finish(&self, head: &[u8], behind: Lsn) -> Result<Record, Problem> {
        let header = RecordHeader::parse(head)?;
        if crc32c::crc32c_append(self.crc, &head[..CRC_AT]) != header.crc {
            return Err("the record has a wrong checksum");
        }
        let mut end = aligned(behind);
        if header.is_switch() && end.segment_start() != end {
            end = end.segment_start().plus(WAL_SEGMENT);
        }
        Ok(Record { start: self.start, end, manager: header.manager, kind: header.kind(head) })
    }
}

fn aligned(at: Lsn) -> Lsn {
    Lsn(at.0.next_multiple_of(ALIGN))
}

#[cfg(test)]
mod tests;
