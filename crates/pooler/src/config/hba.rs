//! PgBouncer's HBA file, and the file of names that belongs to it: who may come from where, and how they prove it.
//!
//! ```text
//!  # TYPE     DATABASE        USER         ADDRESS                METHOD         OPTIONS
//!  local      all             all                                 peer           map=m
//!  hostssl    app,"odd name"  anna, bert   10.0.0.0/8             scram-sha-256
//!  host       replication     all          10.1.2.3 255.255.0.0   reject
//!
//!  # MAPNAME  SYSTEM-USERNAME  PG-USERNAME
//!  m          root             postgres
//!  m          deploy           all
//! ```
//!
//! The first line that fits decides; when none fits, nobody gets in. A line that cannot be understood makes the
//! whole file unusable: whoever wrote it meant to let somebody in or keep somebody out, and the next line would do
//! the opposite.

use core::net::IpAddr;

/// Lines that one file may have.
const MAX_LINES: usize = 10_000;

/// How a client proves itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
    Trust,
    /// It cannot.
    Reject,
    /// By the password in the clear.
    Password,
    /// By MD5, or by SCRAM where a SCRAM verifier is known.
    Md5,
    /// By SCRAM.
    Scram,
    /// By the user of the operating system at the other end of a Unix socket; names as this map says.
    Peer(Option<String>),
    /// By a certificate; names as this map says.
    Cert(Option<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Local,
    Host,
    HostSsl,
    HostNoSsl,
}

/// Names of databases or roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    all: bool,
    replication: bool,
    list: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Net {
    base: IpAddr,
    mask: u128,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    kind: Kind,
    databases: Names,
    users: Names,
    /// `None`: every address.
    net: Option<Net>,
    method: Method,
}

/// A client, as far as the file asks.
#[derive(Debug, Clone, Copy)]
pub struct Visitor<'a> {
    /// Its address; `None` on a Unix socket.
    pub from: Option<IpAddr>,
    /// Whether it came over TLS.
    pub tls: bool,
    /// What it wants.
    pub database: &'a str,
    /// Who it says it is.
    pub user: &'a str,
    /// Whether it wants physical replication, which no database's name stands for.
    pub replication: bool,
}

/// An HBA file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hba {
    rules: Vec<Rule>,
}

/// A file that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct HbaError {
    /// Counted from one.
    pub line: usize,
    /// What is wrong, as a phrase.
    pub problem: String,
}

impl Hba {
    /// Reads a file.
    ///
    /// # Errors
    /// At the first line that cannot be understood.
    pub fn parse(text: &str) -> Result<Self, HbaError> {
        Ok(Self { rules: lines(text, rule)? })
    }

    /// How this client is to prove itself; `None`: no line is for it.
    #[must_use]
    pub fn method(&self, who: Visitor<'_>) -> Option<&Method> {
        self.rules.iter().find(|rule| rule.fits(&who)).map(|rule| &rule.method)
    }

    /// The maps that its lines name.
    pub fn maps(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|rule| match &rule.method {
            Method::Peer(map) | Method::Cert(map) => map.as_deref(),
            _ => None,
        })
    }
}

impl Rule {
    fn fits(&self, who: &Visitor<'_>) -> bool {
        let way = match self.kind {
            Kind::Local => who.from.is_none(),
            Kind::Host => who.from.is_some(),
            Kind::HostSsl => who.from.is_some() && who.tls,
            Kind::HostNoSsl => who.from.is_some() && !who.tls,
        };
        let database =
            if who.replication { self.databases.replication } else { self.databases.has(who.database) };
        let address = match (&self.net, who.from) {
            (Some(net), Some(from)) => net.has(from),
            _ => true,
        };
        way && database && address && self.users.has(who.user)
    }
}

impl Names {
    fn has(&self, name: &str) -> bool {
        self.all || self.list.iter().any(|known| known == name)
    }
}

/// An address as a number, with the length of its family.
fn number(ip: IpAddr) -> (u128, u32) {
    match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)), 32),
        IpAddr::V6(ip) => (u128::from(ip), 128),
    }
}

impl Net {
    fn has(&self, ip: IpAddr) -> bool {
        let ((base, own), (ip, its)) = (number(self.base), number(ip.to_canonical()));
        own == its && base & self.mask == ip & self.mask
    }
}

/// A word of a line, and whether it was in quotes and so is no keyword.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Bare(String),
    Quoted(String),
    Comma,
}

impl Word {
    fn keyword(&self) -> Option<&str> {
        match self {
            Self::Bare(word) => Some(word),
            Self::Quoted(_) | Self::Comma => None,
        }
    }

    fn text(self) -> Option<String> {
        match self {
            Self::Bare(word) | Self::Quoted(word) => Some(word),
            Self::Comma => None,
        }
    }
}

/// A line's words, read from the front.
struct Words(std::iter::Peekable<std::vec::IntoIter<Word>>);

impl Words {
    fn of(text: &str) -> Result<Self, String> {
        let mut words = Vec::new();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next().filter(|first| *first != '#') {
            if first == ',' {
                words.push(Word::Comma);
                rest = &rest[1..];
            } else if first == '"' {
                let (word, after) =
                    super::ini::lines::quoted(rest, '"').map_err(|_| "a quote is not closed".to_owned())?;
                words.push(Word::Quoted(word));
                rest = after;
            } else {
                let ends = |c: char| c.is_whitespace() || matches!(c, ',' | '#' | '"');
                let (word, after) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
                words.push(Word::Bare(word.to_owned()));
                rest = after;
            }
            rest = rest.trim_start();
        }
        Ok(Self(words.into_iter().peekable()))
    }

    fn next(&mut self, what: &str) -> Result<Word, String> {
        self.0.next().filter(|word| *word != Word::Comma).ok_or_else(|| format!("{what} is missing"))
    }

    /// Names, separated by commas.
    fn names(&mut self, what: &str) -> Result<Names, String> {
        let mut names = Names::default();
        loop {
            let word = self.next(what)?;
            match word.keyword() {
                Some("all") => names.all = true,
                Some("replication") => names.replication = true,
                Some(word @ ("sameuser" | "samerole" | "samegroup")) => {
                    return Err(format!("{word} is not supported: name the databases"));
                }
                Some(word) if word.starts_with(['@', '+']) => {
                    return Err(format!("{word}: files of names, and groups, are not supported"));
                }
                _ => names.list.extend(word.text()),
            }
            if self.0.next_if_eq(&Word::Comma).is_none() {
                return Ok(names);
            }
        }
    }

    fn address(&mut self) -> Result<Option<Net>, String> {
        let word = self.next("the address")?.text().unwrap_or_default();
        if word == "all" {
            return Ok(None);
        }
        let bad = || format!("{word:?} is not an address: write 10.0.0.0/8, or 10.0.0.0 255.0.0.0, or all");
        let (base, mask) = match word.split_once('/') {
            Some((base, bits)) => {
                let base: IpAddr = base.parse().map_err(|_| bad())?;
                let (_, length) = number(base);
                let bits: u32 = bits.parse().ok().filter(|bits| *bits <= length).ok_or_else(bad)?;
                let all = if length == 32 { u128::from(u32::MAX) } else { u128::MAX };
                (base, all & !all.checked_shr(bits).unwrap_or(0))
            }
            None => {
                let base: IpAddr = word.parse().map_err(|_| bad())?;
                let mask = self.next("the mask")?.text().unwrap_or_default();
                let mask: IpAddr = mask.parse().map_err(|_| bad())?;
                let (mask, length) = number(mask);
                if length != number(base).1 {
                    return Err(bad());
                }
                (base, mask)
            }
        };
        Ok(Some(Net { base, mask }))
    }
}

/// Reads each line that says something.
fn lines<T>(text: &str, mut read: impl FnMut(&mut Words) -> Result<T, String>) -> Result<Vec<T>, HbaError> {
    let mut out = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let at = |problem| HbaError { line: index + 1, problem };
        let mut words = Words::of(text).map_err(at)?;
        if words.0.peek().is_none() {
            continue;
        }
        if out.len() == MAX_LINES {
            return Err(at(format!("there are more than {MAX_LINES} lines")));
        }
        out.push(read(&mut words).map_err(at)?);
        if let Some(word) = words.0.next() {
            return Err(at(format!("{:?} is too much", word.text().unwrap_or_default())));
        }
    }
    Ok(out)
}

fn rule(words: &mut Words) -> Result<Rule, String> {
    let kind = match words.next("the type")?.keyword() {
        Some("local") => Kind::Local,
        Some("host") => Kind::Host,
        Some("hostssl") => Kind::HostSsl,
        Some("hostnossl") => Kind::HostNoSsl,
        _ => return Err("a line begins with local, host, hostssl or hostnossl".to_owned()),
    };
    let databases = words.names("the database")?;
    let users = words.names("the user")?;
    let net = if kind == Kind::Local { None } else { words.address()? };
    let method = words.next("the method")?.text().unwrap_or_default();
    let map = match words.0.next().and_then(Word::text) {
        None => None,
        Some(option) => match option.strip_prefix("map=").filter(|name| !name.is_empty()) {
            Some(name) => Some(name.to_owned()),
            None => return Err(format!("unknown option {option:?}: there is map=NAME")),
        },
    };
    let method = match method.as_str() {
        "trust" => Method::Trust,
        "reject" => Method::Reject,
        "password" => Method::Password,
        "md5" => Method::Md5,
        "scram-sha-256" => Method::Scram,
        "peer" if kind == Kind::Local => {
            return Ok(Rule { kind, databases, users, net, method: Method::Peer(map) });
        }
        "peer" => return Err("peer is for local only".to_owned()),
        "cert" if kind == Kind::Local => return Err("cert is for hostssl only".to_owned()),
        "cert" => return Ok(Rule { kind, databases, users, net, method: Method::Cert(map) }),
        _ => {
            return Err(format!(
                "the method {method:?} is not supported: there are trust, reject, password, md5, scram-sha-256, \
                 peer and cert"
            ));
        }
    };
    if map.is_some() {
        return Err("map= is for peer and cert only".to_owned());
    }
    Ok(Rule { kind, databases, users, net, method })
}

/// Which names of elsewhere stand for which roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ident {
    /// Map, name elsewhere, role; `None`: every role.
    rows: Vec<(String, String, Option<String>)>,
}

impl Ident {
    /// Reads a file.
    ///
    /// # Errors
    /// At the first line that cannot be understood.
    pub fn parse(text: &str) -> Result<Self, HbaError> {
        let row = |words: &mut Words| {
            let map = words.next("the map's name")?.text().unwrap_or_default();
            let name = words.next("the system's name")?.text().unwrap_or_default();
            let role = words.next("the role")?;
            let role = if role.keyword() == Some("all") { None } else { role.text() };
            Ok((map, name, role))
        };
        Ok(Self { rows: lines(text, row)? })
    }

    /// Whether there is a map of this name.
    #[must_use]
    pub fn has(&self, map: &str) -> bool {
        self.rows.iter().any(|(known, _, _)| known == map)
    }

    /// Whether `name` stands for `role`: as the map says, or without one when they are the same.
    #[must_use]
    pub fn stands_for(&self, map: Option<&str>, name: &str, role: &str) -> bool {
        let Some(map) = map else { return name == role };
        let fits = |known: &Option<String>| known.as_deref().is_none_or(|known| known == role);
        self.rows.iter().any(|(known, from, to)| known == map && from == name && fits(to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp<'a>(from: &str, tls: bool, database: &'a str, user: &'a str) -> Visitor<'a> {
        Visitor { from: Some(from.parse().unwrap()), tls, database, user, replication: false }
    }

    #[test]
    fn the_first_line_that_fits_decides() {
        let hba = Hba::parse(
            "# nobody\n\t \nlocal app anna peer map=m # here\nlocal all all md5\n\
             hostssl app,\"odd \"\"name\" anna , bert 10.0.0.0/8 cert\nhostnossl all all 10.1.0.0 255.255.0.0 password\n\
             host \"all\" all all trust\nhost replication rep ::1/128 reject\nhost app all fe80::/10 scram-sha-256\n",
        )
        .unwrap();
        let local = |database, user| Visitor { from: None, tls: false, database, user, replication: false };
        assert_eq!(hba.method(local("app", "anna")), Some(&Method::Peer(Some("m".to_owned()))));
        assert_eq!(hba.method(local("other", "anna")), Some(&Method::Md5));
        assert_eq!(hba.method(tcp("10.9.9.9", true, "odd \"name", "bert")), Some(&Method::Cert(None)));
        assert_eq!(hba.method(tcp("10.1.9.9", false, "app", "bert")), Some(&Method::Password));
        assert_eq!(hba.method(tcp("10.2.9.9", false, "app", "bert")), None);
        assert_eq!(hba.method(tcp("::ffff:10.1.0.1", false, "app", "x")), Some(&Method::Password));
        assert_eq!(
            hba.method(tcp("1.2.3.4", false, "all", "x")),
            Some(&Method::Trust),
            "in quotes it is a name"
        );
        assert_eq!(hba.method(tcp("fe80::1", false, "app", "x")), Some(&Method::Scram));
        let replication = |from| Visitor { replication: true, ..tcp(from, false, "app", "rep") };
        assert_eq!(hba.method(replication("::1")), Some(&Method::Reject));
        assert_eq!(hba.method(replication("10.1.0.1")), None, "all is not replication");
        assert_eq!(hba.maps().collect::<Vec<_>>(), ["m"]);
    }

    #[test]
    fn mistakes_have_a_line() {
        for (bad, word) in [
            ("tcp all all trust", "begins with"),
            ("host all all 1.2.3/8 trust", "not an address"),
            ("host all all 1.2.3.4/33 trust", "not an address"),
            ("host all all 1.2.3.4 trust", "not an address"),
            ("host all all 1.2.3.4 ::1 trust", "not an address"),
            ("host all all all ldap", "not supported"),
            ("host sameuser all all trust", "not supported"),
            ("host all @admins all trust", "not supported"),
            ("host all all all peer", "local only"),
            ("local all all cert", "hostssl only"),
            ("local all all trust map=m", "peer and cert"),
            ("local all all peer maps=m", "unknown option"),
            ("local all all", "method is missing"),
            ("local all all trust and more", "unknown option"),
            ("local all \"x trust", "not closed"),
        ] {
            let error = Hba::parse(&format!("\n{bad}")).unwrap_err();
            assert!(error.line == 2 && error.to_string().contains(word), "{bad}: {error}");
        }
    }

    #[test]
    fn names_stand_for_roles() {
        let ident = Ident::parse("m root postgres\nm deploy all\nother root \"all\" # a role\n").unwrap();
        let stands = |map, name, role| ident.stands_for(map, name, role);
        assert!(stands(Some("m"), "root", "postgres") && !stands(Some("m"), "root", "deploy"));
        assert!(stands(Some("m"), "deploy", "anyone") && !stands(Some("m"), "anyone", "anyone"));
        assert!(stands(Some("other"), "root", "all") && !stands(Some("other"), "root", "x"));
        assert!(stands(None, "x", "x") && !stands(None, "root", "postgres"));
        assert!(ident.has("m") && !ident.has("n"));
        assert_eq!(Ident::parse("m root").unwrap_err().line, 1);
    }
}
