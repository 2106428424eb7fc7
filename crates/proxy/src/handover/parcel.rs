//! A session on its way: what is known of it as bytes, and its sockets.
//!
//! | kind | fields | descriptors |
//! |---|---|---|
//! | pooled | endpoint, database, role, transport, peer, application, cancel key, mode, what the client takes along | the client's |
//! | behind | what a pooled one has, whom it logged in as, what that login has left: one of `dormouse pool` | the client's |
//! | direct | endpoint, which run of the compute, transport, cancel key | the client's, the backend's |
//!
//! The first number is the version of the format. What cannot be understood is refused, and the client told nothing:
//! its connection ends. It never is understood half.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use dormouse_base::EndpointId;
use dormouse_pooler::link::{Reader, Unreadable, Writer};

use crate::bound::Incoming;
use crate::pooled::PoolKey;
use crate::upstream::Handed;

/// The format that is written. The one before, which is read as well, does not tell which role a pooled client is.
const VERSION: u32 = 2;
const WITHOUT_ROLES: u32 = 1;

const POOLED: u32 = 1;
const DIRECT: u32 = 2;
const BEHIND: u32 = 3;

/// A session on its way.
pub struct Parcel {
    /// What is known of it. There may be secrets in it.
    pub body: Vec<u8>,
    /// Its sockets.
    pub files: Vec<OwnedFd>,
}

impl std::fmt::Debug for Parcel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parcel").field("bytes", &self.body.len()).field("files", &self.files).finish()
    }
}

/// Why a session cannot go on here.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It cannot be understood.
    #[error("a session that was handed over cannot be understood")]
    Unreadable,
    /// The compute that it had a backend of has ended.
    #[error("the compute of a session that was handed over runs no more")]
    Gone,
    /// There is no such database.
    #[error("a session that was handed over may not come in: {0}")]
    Refused(dormouse_pgwire::ClientError),
    /// Its socket.
    #[error("cannot use the socket of a session that was handed over")]
    Socket(#[source] io::Error),
}

impl From<Unreadable> for Unfit {
    fn from(_: Unreadable) -> Self {
        Self::Unreadable
    }
}

/// A pooled client, without what its link knows.
pub(crate) struct Pooled {
    pub(crate) key: PoolKey,
    /// Which role it is, if that is known.
    pub(crate) role_oid: Option<u32>,
    pub(crate) unix: bool,
    pub(crate) peer: SocketAddr,
    pub(crate) application: String,
    pub(crate) cancel: (u32, Vec<u8>),
    /// Its mode is `statement`.
    pub(crate) no_blocks: bool,
    /// Of one that has an ordinary server behind its pool.
    pub(crate) behind: Option<Behind>,
}

/// What more is known of a client of `dormouse pool`.
pub(crate) struct Behind {
    /// As whom it logged in.
    pub(crate) name: String,
    pub(crate) handed: Handed,
}

/// A session with a backend of its own.
pub(crate) struct Direct {
    pub(crate) endpoint: EndpointId,
    /// Which run of the compute its backend belongs to.
    pub(crate) run: String,
    pub(crate) unix: bool,
    pub(crate) cancel: Option<(u32, Vec<u8>)>,
}

/// What is in a parcel.
pub(crate) enum Content<'a> {
    Pooled(Pooled, Reader<'a>),
    Direct(Direct),
}

impl Pooled {
    /// `link` adds what the client takes along.
    pub(crate) fn pack(&self, link: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut out = begin(if self.behind.is_some() { BEHIND } else { POOLED });
        out.bytes(self.key.endpoint.as_str().as_bytes());
        out.bytes(self.key.database.as_bytes());
        out.bytes(self.key.role.as_bytes());
        out.number(self.role_oid.unwrap_or_default());
        out.number(u32::from(self.unix));
        out.bytes(self.peer.to_string().as_bytes());
        out.bytes(self.application.as_bytes());
        out.number(self.cancel.0);
        out.bytes(&self.cancel.1);
        out.number(u32::from(self.no_blocks));
        if let Some(Behind { name, handed }) = &self.behind {
            out.bytes(name.as_bytes());
            handed.pack(&mut out);
        }
        link(&mut out);
        out.finish()
    }
}

impl Direct {
    pub(crate) fn pack(&self) -> Vec<u8> {
        let mut out = begin(DIRECT);
        out.bytes(self.endpoint.as_str().as_bytes());
        out.bytes(self.run.as_bytes());
        out.number(u32::from(self.unix));
        out.number(u32::from(self.cancel.is_some()));
        if let Some((pid, secret)) = &self.cancel {
            out.number(*pid);
            out.bytes(secret);
        }
        out.finish()
    }
}

fn begin(kind: u32) -> Writer {
    let mut out = Writer::default();
    out.number(VERSION);
    out.number(kind);
    out
}

/// Looks into a parcel.
pub(crate) fn open(body: &[u8]) -> Result<Content<'_>, Unfit> {
    let mut from = Reader(body);
    let version = from.number()?;
    if !(WITHOUT_ROLES..=VERSION).contains(&version) {
        return Err(Unfit::Unreadable);
    }
    let kind = from.number()?;
    let endpoint = from.text()?.parse::<EndpointId>().map_err(|_| Unfit::Unreadable)?;
    match kind {
        POOLED | BEHIND => {
            let (database, role) = (from.text()?.to_owned(), from.text()?.to_owned());
            let key = PoolKey { people: endpoint.clone(), endpoint, database, role };
            let role_oid = if version > WITHOUT_ROLES { from.number()? } else { 0 };
            let pooled = Pooled {
                key,
                role_oid: Some(role_oid).filter(|oid| *oid != 0),
                unix: from.number()? != 0,
                peer: from.text()?.parse().map_err(|_| Unfit::Unreadable)?,
                application: from.text()?.to_owned(),
                cancel: (from.number()?, from.bytes()?.to_vec()),
                no_blocks: from.number()? != 0,
                behind: (kind == BEHIND).then(|| behind(&mut from)).transpose()?,
            };
            Ok(Content::Pooled(pooled, from))
        }
        DIRECT => {
            let (run, unix) = (from.text()?.to_owned(), from.number()? != 0);
            let cancel = match from.number()? {
                0 => None,
                _ => Some((from.number()?, from.bytes()?.to_vec())),
            };
            Ok(Content::Direct(Direct { endpoint, run, unix, cancel }))
        }
        _ => Err(Unfit::Unreadable),
    }
}

fn behind(from: &mut Reader<'_>) -> Result<Behind, Unreadable> {
    Ok(Behind { name: from.text()?.to_owned(), handed: Handed::unpack(from)? })
}

/// A client's socket that no executor has yet.
pub(crate) fn incoming(socket: OwnedFd, unix: bool) -> Incoming {
    if unix { Incoming::Unix(socket.into()) } else { Incoming::Tcp(socket.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_found_and_what_is_cut_is_refused() {
        let endpoint: EndpointId = "ep-quiet-oak-0123456789".parse().unwrap();
        let direct = Direct { endpoint: endpoint.clone(), run: "7".to_owned(), unix: false, cancel: None };
        let packed = direct.pack();
        let Ok(Content::Direct(found)) = open(&packed) else { panic!("a direct one") };
        assert_eq!((found.endpoint, found.run), (endpoint.clone(), "7".to_owned()));
        let pooled = Pooled {
            key: PoolKey {
                people: endpoint.clone(),
                endpoint,
                database: "app".to_owned(),
                role: "anna".to_owned(),
            },
            role_oid: Some(16_400),
            unix: true,
            peer: "[::1]:7".parse().unwrap(),
            application: "psql".to_owned(),
            cancel: (1, vec![1, 2, 3, 4]),
            no_blocks: true,
            behind: None,
        };
        let behind = Some(Behind { name: "bob".to_owned(), handed: Handed::default() });
        let mut newer = Vec::new();
        let other = Pooled {
            key: pooled.key.clone(),
            application: String::new(),
            cancel: (1, vec![5]),
            behind,
            ..pooled
        };
        for pooled in [other, pooled] {
            let packed = pooled.pack(|out| out.number(9));
            let Ok(Content::Pooled(found, mut rest)) = open(&packed) else { panic!("a pooled one") };
            assert_eq!(
                (found.key, found.role_oid, found.cancel),
                (pooled.key, pooled.role_oid, pooled.cancel)
            );
            assert_eq!(found.behind.map(|it| it.name), pooled.behind.map(|it| it.name));
            assert_eq!(rest.number().unwrap(), 9);
            for cut in 0..packed.len() - 4 {
                assert!(open(&packed[..cut]).is_err());
            }
            newer = packed;
        }
        newer[3] = 3;
        assert!(matches!(open(&newer), Err(Unfit::Unreadable)));
    }
}
