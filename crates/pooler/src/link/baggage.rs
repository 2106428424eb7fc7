//! What a client takes along when it moves to another process: everything that is known of it and of no backend.
//!
//! ```text
//!  u16 version | wanted, startup, reported: pairs | flags | pid | channels | unnamed? | named: (name, body)…
//!  | told of parameters: (name, types)… | told of columns: (name, shape)…
//! ```
//!
//! Numbers are big-endian, texts have their length in front. A newer version may add to the end, with a new number;
//! it can read what older ones wrote, because it is always the newer one that takes over. One that is older than
//! what it is given refuses the client, which then stays where it is.

use super::Common;
use super::client::Client;
use super::stateful::Stateful;
use crate::settings::{ROLE, Reported, Settings};
use crate::statement::{Reading, Shape};

/// The format that is written.
const VERSION: u16 = 3;

/// The one before it: without what was told of columns.
const NO_COLUMNS: u16 = 2;

/// The one before that: without what was told of parameters, too.
const UNTOLD: u16 = 1;

/// Pairs, channels or statements in one list: more than any limit on them allows.
const MAX_ITEMS: u32 = 20_000;

/// What came is not a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the description of a client cannot be understood")]
pub struct Unreadable;

/// Writes a description, field by field.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Adds a number.
    pub fn number(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    /// Adds a text or other bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        // Nothing of a client comes near 4 GiB: messages are limited.
        self.number(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(bytes);
    }

    /// All of it.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn pairs<'a>(&mut self, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
        let pairs: Vec<_> = pairs.collect();
        self.number(u32::try_from(pairs.len()).unwrap_or(u32::MAX));
        for (name, value) in pairs {
            self.bytes(name.as_bytes());
            self.bytes(value.as_bytes());
        }
    }
}

/// Reads a description, field by field.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next number.
    ///
    /// # Errors
    /// When there is none.
    pub fn number(&mut self) -> Result<u32, Unreadable> {
        let (number, rest) = self.0.split_first_chunk::<4>().ok_or(Unreadable)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    /// The next bytes.
    ///
    /// # Errors
    /// When they are not all there.
    pub fn bytes(&mut self) -> Result<&'a [u8], Unreadable> {
        let length = usize::try_from(self.number()?).map_err(|_| Unreadable)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Unreadable)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// The next text.
    ///
    /// # Errors
    /// When it is not all there, or not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Unreadable> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Unreadable)
    }

    fn count(&mut self) -> Result<u32, Unreadable> {
        self.number().and_then(|count| if count <= MAX_ITEMS { Ok(count) } else { Err(Unreadable) })
    }

    fn settings(&mut self) -> Result<Settings, Unreadable> {
        let mut settings = Settings::new();
        for _ in 0..self.count()? {
            let (name, value) = (self.text()?, self.text()?);
            settings.set(name, value).map_err(|_| Unreadable)?;
        }
        Ok(settings)
    }
}

impl Client {
    /// Describes the client, which must stand between two messages with nothing under way.
    pub fn pack(&self, out: &mut Writer) {
        out.number(u32::from(VERSION));
        out.pairs(self.wanted.iter());
        out.pairs(self.startup.iter());
        out.pairs(self.reported.iter());
        out.number(u32::from(self.keeps));
        out.number(self.pid);
        out.number(u32::try_from(self.channels.len()).unwrap_or(u32::MAX));
        for channel in &self.channels {
            out.bytes(channel.as_bytes());
        }
        let unnamed = self.names.get(b"");
        out.number(u32::from(unnamed.is_some()));
        if let Some(statement) = unnamed {
            out.bytes(statement.body());
        }
        out.number(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        for (name, statement) in self.names.named() {
            out.bytes(name);
            out.bytes(statement.body());
        }
        let every = unnamed.map(|statement| (&b""[..], statement)).into_iter().chain(self.names.named());
        let told: Vec<_> = every.filter_map(|(name, statement)| Some((name, statement.types()?))).collect();
        out.number(u32::try_from(told.len()).unwrap_or(u32::MAX));
        for (name, types) in told {
            out.bytes(name);
            out.bytes(types);
        }
        let every = unnamed.map(|statement| (&b""[..], statement)).into_iter().chain(self.names.named());
        let told: Vec<_> = every.filter_map(|(name, statement)| Some((name, statement.shape()?))).collect();
        out.number(u32::try_from(told.len()).unwrap_or(u32::MAX));
        for (name, shape) in told {
            out.bytes(name);
            out.bytes(&shape.number().to_be_bytes());
        }
    }

    /// The client that was described, among those of a pool.
    ///
    /// # Errors
    /// When the description is damaged, or of a version to come.
    pub fn unpack(from: &mut Reader<'_>, common: &mut Common) -> Result<Self, Unreadable> {
        let version = from.number()?;
        if ![VERSION, NO_COLUMNS, UNTOLD].map(u32::from).contains(&version) {
            return Err(Unreadable);
        }
        let mut client = Self { wanted: from.settings()?, startup: from.settings()?, ..Self::default() };
        client.plays = client.startup.get(ROLE).is_some();
        if client.wanted == client.startup {
            // One list for both, as it was.
            client.wanted = client.startup.clone();
        }
        let mut reported = Reported::new();
        for _ in 0..from.count()? {
            reported.note(from.text()?, from.text()?);
        }
        (client.reported, client.keeps, client.pid) = (reported, from.number()? != 0, from.number()?);
        // Who keeps its backend for another reason does not get here.
        client.verbatim = client.keeps;
        for _ in 0..from.count()? {
            client.channels.push(from.text()?.into());
        }
        // Backends of this process parse them anew, under these settings.
        let reading = Reading::of(&client.reported, &client.wanted);
        let mut statement = |name: &[u8], body: &[u8]| match client.verbatim {
            true => common.registry.verbatim(name, body, Stateful::of),
            false => common.registry.intern_as(body, reading, Stateful::of),
        };
        if from.number()? != 0 {
            client.names.put(b"", Some(statement(b"", from.bytes()?)));
        }
        for _ in 0..from.count()? {
            let (name, body) = (from.bytes()?, from.bytes()?);
            client.names.put(name, Some(statement(name, body)));
        }
        if version != u32::from(UNTOLD) {
            client.unpack_types(from, common)?;
        }
        if version == u32::from(VERSION) {
            client.unpack_shapes(from, common)?;
        }
        Ok(client)
    }

    /// What it was told of its statements' parameters. Where others were told something else it gets its own.
    fn unpack_types(&mut self, from: &mut Reader<'_>, common: &mut Common) -> Result<(), Unreadable> {
        for _ in 0..from.count()? {
            let (name, types) = (from.bytes()?, from.bytes()?);
            let statement = self.names.get(name).ok_or(Unreadable)?;
            if !statement.tell_types(types) {
                let own = common.registry.apart(statement);
                own.tell_types(types);
                self.names.put(name, Some(own));
            }
        }
        Ok(())
    }

    /// The same of what they return.
    fn unpack_shapes(&mut self, from: &mut Reader<'_>, common: &mut Common) -> Result<(), Unreadable> {
        for _ in 0..from.count()? {
            let (name, number) = (from.bytes()?, from.bytes()?);
            let number = u64::from_be_bytes(number.try_into().map_err(|_| Unreadable)?);
            let shape = Shape::of_number(number).ok_or(Unreadable)?;
            let statement = self.names.get(name).ok_or(Unreadable)?;
            if !statement.tell(shape) {
                let own = common.registry.apart(statement);
                own.tell(shape);
                if let Some(types) = statement.types() {
                    own.tell_types(types);
                }
                self.names.put(name, Some(own));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_arrives_as_it_left() {
        let mut common = Common::new(10);
        let mut startup = Settings::new();
        startup.set("TimeZone", "UTC").unwrap();
        let mut reported = Reported::new();
        reported.note("TimeZone", "UTC");
        let mut client = Client::new(startup, reported, true).with_pid(7);
        client.wanted.set("app.user", "anna").unwrap();
        client.channels.push("news".into());
        for (name, body) in [(&b""[..], &b"select 1\0\0\0"[..]), (b"a", b"select $1\0\0\x01\0\0\0\x17")] {
            let statement = common.registry.intern(body, Stateful::of);
            client.names.put(name, Some(statement));
        }
        client.names.get(b"a").unwrap().tell_types(b"\0\0\0\x17");
        let (one, other_columns) = (Shape::of(b""), Shape::of(&[&b"\0\x01a\0"[..], &[0; 18]].concat()));
        client.names.get(b"a").unwrap().tell(one);
        let mut out = Writer::default();
        client.pack(&mut out);
        let packed = out.finish();
        let mut elsewhere = Common::new(10);
        let mut reader = Reader(&packed);
        let moved = Client::unpack(&mut reader, &mut elsewhere).unwrap();
        assert!(reader.0.is_empty());
        let mut again = Writer::default();
        moved.pack(&mut again);
        assert_eq!(again.finish(), packed);
        assert_eq!((moved.prepared(), moved.pid, moved.keeps()), (1, 7, true));
        assert_eq!(moved.names.get(b"a").unwrap().body(), client.names.get(b"a").unwrap().body());
        let types = |client: &Client| client.names.get(b"a").unwrap().types().map(<[u8]>::to_vec);
        let shape = |client: &Client| client.names.get(b"a").unwrap().shape();
        assert_eq!((types(&moved), shape(&moved)), (Some(vec![0, 0, 0, 0x17]), Some(one)));
        // Others were told something else there.
        let mut taken = Common::new(10);
        let other = taken.registry.intern(b"select $1\0\0\x01\0\0\0\x17", Stateful::of);
        other.tell_types(&[0, 0, 0, 0x14]);
        let moved = Client::unpack(&mut Reader(&packed), &mut taken).unwrap();
        assert_eq!(types(&moved), Some(vec![0, 0, 0, 0x17]));
        let mut changed = Common::new(10);
        let body = b"select $1\0\0\x01\0\0\0\x17";
        let reading = Reading::of(&client.reported, &client.wanted);
        changed.registry.intern_as(body, reading, Stateful::of).tell(other_columns);
        client.keeps = false;
        let mut out = Writer::default();
        client.pack(&mut out);
        let moved = Client::unpack(&mut Reader(&out.finish()), &mut changed).unwrap();
        assert_eq!((types(&moved), shape(&moved)), (Some(vec![0, 0, 0, 0x17]), Some(one)));
        // From those who do not tell.
        for (version, known) in [(1, None), (2, Some(vec![0, 0, 0, 0x17]))] {
            let untold = [&[0, 0, 0, version], &packed[4..]].concat();
            let untold = Client::unpack(&mut Reader(&untold), &mut Common::new(10)).unwrap();
            assert_eq!((untold.prepared(), types(&untold), shape(&untold)), (1, known, None));
        }
        for cut in 0..packed.len() {
            assert!(Client::unpack(&mut Reader(&packed[..cut]), &mut elsewhere).is_err(), "{cut}");
        }
    }
}
