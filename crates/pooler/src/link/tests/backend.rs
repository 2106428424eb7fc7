//! As much of PostgreSQL as the multiplexer can see: statements, portals, transaction states, skipping to Sync.

use std::collections::HashMap;

/// A backend.
pub(super) struct Fake {
    statements: HashMap<Vec<u8>, Vec<u8>>,
    portals: HashMap<Vec<u8>, Vec<u8>>,
    status: u8,
    skipping: bool,
    unread: Vec<u8>,
    /// It reads COPY data, for a simple query or an execution.
    copying: Option<bool>,
    /// Answers that wait for a Flush or the end of the series, as PostgreSQL's do.
    held: Vec<u8>,
}

impl Default for Fake {
    fn default() -> Self {
        let (statements, portals) = Default::default();
        Self {
            statements,
            portals,
            status: b'I',
            skipping: false,
            unread: Vec::new(),
            copying: None,
            held: Vec::new(),
        }
    }
}

pub(super) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    out.extend_from_slice(body);
    out
}

fn error(code: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0VERROR\0C{code}\0Mno\0\0").as_bytes())
}

impl Fake {
    /// Statements that have a name.
    pub(super) fn names(&self) -> Vec<String> {
        let named = self.statements.keys().filter(|name| !name.is_empty());
        let mut names: Vec<_> = named.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        names.sort();
        names
    }

    /// Reads bytes and answers.
    pub(super) fn answer(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.unread.extend_from_slice(bytes);
        let mut out = Vec::new();
        while let Some((head, _)) = self.unread.split_first_chunk::<5>() {
            let whole = 1 + u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            if self.unread.len() < whole {
                break;
            }
            let message: Vec<u8> = self.unread.drain(..whole).collect();
            let mut held = std::mem::take(&mut self.held);
            self.message(message[0], &message[5..], &mut held);
            match message[0] {
                b'Q' | b'S' | b'H' | b'd' | b'c' | b'f' => out.extend(held),
                _ => self.held = held,
            }
        }
        out
    }

    fn message(&mut self, tag: u8, body: &[u8], out: &mut Vec<u8>) {
        if let Some(simple) = self.copying {
            return self.copy(tag, body, simple, out);
        }
        if matches!(tag, b'd' | b'c' | b'f') || (self.skipping && tag != b'S') {
            return;
        }
        let done = match tag {
            b'Q' => {
                let text = &body[..body.len() - 1];
                self.statements.remove(&b""[..]);
                let done = self.run(text, out);
                if let Err(code) = done {
                    self.fail(code, out);
                }
                if self.copying.is_some() {
                    self.copying = Some(true);
                    return;
                }
                if self.status == b'I' {
                    self.portals.clear();
                }
                out.extend(message(b'Z', &[self.status]));
                return;
            }
            b'S' => {
                self.skipping = false;
                if self.status == b'I' {
                    self.portals.clear();
                }
                out.extend(message(b'Z', &[self.status]));
                return;
            }
            b'H' => return,
            b'P' => self.parse(body, out),
            b'B' => self.bind(body, out),
            b'D' | b'C' => self.describe_or_close(tag, body, out),
            b'E' => {
                let portal = body.split(|b| *b == 0).next().unwrap().to_vec();
                match self.portals.get(&portal).cloned() {
                    Some(text) => self.run(&text, out),
                    None => Err("34000"),
                }
            }
            tag => panic!("{}", char::from(tag)),
        };
        if let Err(code) = done {
            self.fail(code, out);
            self.skipping = true;
        }
    }

    /// While it reads data it ignores Flush and Sync.
    fn copy(&mut self, tag: u8, body: &[u8], simple: bool, out: &mut Vec<u8>) {
        match tag {
            b'd' if body != b"bad" => return,
            b'H' | b'S' => return,
            b'c' => out.extend(message(b'C', b"COPY 1\0")),
            b'd' | b'f' => {
                self.fail("22P04", out);
                self.skipping = !simple;
            }
            tag => panic!("{} among COPY data", char::from(tag)),
        }
        self.copying = None;
        if simple {
            out.extend(message(b'Z', &[self.status]));
        }
    }

    fn fail(&mut self, code: &str, out: &mut Vec<u8>) {
        out.extend(error(code));
        if self.status == b'T' {
            self.status = b'E';
        }
    }

    fn run(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        let tag: &[u8] = match text {
            b"begin" if self.status != b'E' => {
                self.status = b'T';
                b"BEGIN\0"
            }
            b"rollback" => {
                self.status = b'I';
                self.portals.clear();
                b"ROLLBACK\0"
            }
            _ if self.status == b'E' => return Err("25P02"),
            // Of the pool's own, perhaps behind settings.
            text if text == b"deallocate all" || text.ends_with(b"DEALLOCATE ALL") => {
                self.statements.retain(|name, _| name.is_empty());
                b"DEALLOCATE ALL\0"
            }
            text if text.starts_with(b"deallocate ") => {
                self.statements.remove(&text[b"deallocate ".len()..]).ok_or("26000")?;
                b"DEALLOCATE\0"
            }
            text if text.starts_with(b"execute ") => {
                let found = self.statements.get(&text[b"execute ".len()..]).ok_or("26000")?;
                out.extend(message(b'D', found));
                b"SELECT 1\0"
            }
            b"" => {
                out.extend(message(b'I', b""));
                return Ok(());
            }
            b"copy view" => {
                out.extend(message(b'G', &[0, 0, 0]));
                return Err("42809");
            }
            b"copy" => {
                out.extend(message(b'G', &[0, 0, 0]));
                self.copying = Some(false);
                return Ok(());
            }
            text if text.starts_with(b"err") => return Err("22012"),
            text => {
                out.extend(message(b'D', text));
                b"SELECT 1\0"
            }
        };
        out.extend(message(b'C', tag));
        Ok(())
    }

    fn parse(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        let mut parts = body.split(|b| *b == 0);
        let (name, text) = (parts.next().unwrap().to_vec(), parts.next().unwrap().to_vec());
        // PostgreSQL refuses in a failed transaction. A pool that has the statement already may say yes here when
        // it does not know yet that the transaction has failed; the Bind is refused all the same.
        if text.starts_with(b"errparse") {
            if name.is_empty() {
                self.statements.remove(&name);
            }
            return Err("42601");
        }
        if !name.is_empty() && self.statements.contains_key(&name) {
            return Err("42P05");
        }
        self.statements.insert(name, text);
        out.extend(message(b'1', b""));
        Ok(())
    }

    fn bind(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        let mut parts = body.split(|b| *b == 0);
        let (portal, name) = (parts.next().unwrap().to_vec(), parts.next().unwrap().to_vec());
        let text = self.statements.get(&name).ok_or("26000")?;
        if self.status == b'E' && text != b"rollback" {
            return Err("25P02");
        }
        self.portals.insert(portal, text.clone());
        out.extend(message(b'2', b""));
        Ok(())
    }

    fn describe_or_close(&mut self, tag: u8, body: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        let name = body[1..body.len() - 1].to_vec();
        let (kind, of) =
            if body[0] == b'S' { (b'S', &mut self.statements) } else { (b'P', &mut self.portals) };
        if tag == b'C' {
            of.remove(&name);
            out.extend(message(b'3', b""));
            return Ok(());
        }
        let text = of.get(&name).ok_or("26000")?;
        if kind == b'S' {
            out.extend(message(b't', b"\0\0"));
        }
        out.extend(message(b'T', text));
        Ok(())
    }
}
