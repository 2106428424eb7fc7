//! Where an entry of `[databases]` leads: one or several servers, all as good as each other.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dormouse_base::EndpointId;
use dormouse_pgwire::ClientError;
use dormouse_pooler::config::Layer;
use dormouse_pooler::config::ini::Database;
use dormouse_pooler::config::userlist::Password;
use dormouse_runtime::gate::{Closing, Gate, Pass};
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, watch};

use super::config::Plan;
use super::encryption::Encryption;
use super::sites::{self, Sites};
use super::users::Users;
use super::way::Way;
use crate::backend_stream::BackendStream;
use crate::wake::{Compute, Introduction, ServerPassword};

/// The ID of an entry: made from its name, since names may be anything and IDs may not.
pub(super) fn id(name: &str) -> EndpointId {
    let hash = Sha256::digest(name.as_bytes());
    format!("ep-{:032x}", u128::from_be_bytes(std::array::from_fn(|i| hash[i])))
        .parse()
        .expect("digits and letters make an ID")
}

/// The servers of one entry.
#[derive(Clone)]
pub(super) struct Targets {
    all: Arc<[Arc<Target>]>,
    turn: Arc<AtomicUsize>,
    /// The turn goes to the next only when one fails.
    sticky: bool,
}

impl Targets {
    pub(super) fn new(entry: &Database, plan: &Plan, encryption: &Encryption, users: &Arc<Users>) -> Self {
        let turn = Arc::<AtomicUsize>::default();
        let sticky = entry.load_balance_hosts.as_deref() == Some("disable");
        let hosts = entry.host.as_deref().unwrap_or_default().split(',').map(str::trim);
        // One port for each host, or one for all of them.
        let port = |index: usize| {
            entry.ports.get(index).or_else(|| entry.ports.first()).copied().unwrap_or_default()
        };
        let target = |(index, host): (usize, &str)| {
            let place = match host {
                "" => Place::Unix(plan.socket_directory.join(format!(".s.PGSQL.{}", port(index)))),
                host if host.starts_with('/') => {
                    Place::Unix(PathBuf::from(host).join(format!(".s.PGSQL.{}", port(index))))
                }
                host => Place::Tcp(host.to_owned(), port(index)),
            };
            let made = Target::new(place, entry, plan, encryption, users);
            made.way.write().own_turn = sticky.then(|| (Arc::clone(&turn), index));
            Arc::new(made)
        };
        Self { all: hosts.enumerate().map(target).collect(), turn, sticky }
    }

    /// The one whose turn it is.
    pub(super) fn next(&self) -> Arc<Target> {
        let turn = if self.sticky {
            self.turn.load(Ordering::Relaxed)
        } else {
            self.turn.fetch_add(1, Ordering::Relaxed)
        };
        Arc::clone(&self.all[turn % self.all.len()])
    }

    pub(super) fn all(&self) -> &[Arc<Target>] {
        &self.all
    }

    /// Whether connections made for the one are good for the other.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let (a, b) = (&self.all, &other.all);
        a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.is_same(b))
    }

    /// The same servers, to which new connections are made as `other` says from now on.
    pub(super) fn renewed(&self, other: &Self) -> Self {
        for (index, (kept, made)) in self.all.iter().zip(&*other.all).enumerate() {
            let mut way = made.way();
            way.own_turn = other.sticky.then(|| (Arc::clone(&self.turn), index));
            *kept.way.write() = way;
        }
        Self { sticky: other.sticky, ..self.clone() }
    }

    /// There are others now.
    pub(super) fn replaced(&self) {
        for target in &*self.all {
            target.closing.send_replace(Some(Closing::Replaced));
            target.sites.replaced();
            target.resumed.notify_waiters();
        }
    }
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Tcp(String, u16),
    Unix(PathBuf),
}

/// One server, as one entry wants it.
pub(super) struct Target {
    place: Place,
    sites: Sites,
    /// How many they are.
    siblings: usize,
    /// Without what is not the connections' business.
    entry: Database,
    way: RwLock<Way>,
    users: Arc<Users>,
    gate: Arc<Gate>,
    resumed: Notify,
    closing: watch::Sender<Option<Closing>>,
}

impl Target {
    fn new(place: Place, entry: &Database, plan: &Plan, encryption: &Encryption, users: &Arc<Users>) -> Self {
        let gate = Arc::new(Gate::default());
        gate.open();
        Self {
            place,
            sites: Sites::default(),
            siblings: entry.host.as_deref().unwrap_or_default().split(',').count(),
            entry: leading(entry),
            way: RwLock::new(Way::new(entry, plan, encryption)),
            users: Arc::clone(users),
            gate,
            resumed: Notify::new(),
            closing: watch::Sender::new(None),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.place == other.place && self.entry == other.entry && self.way().tls.is_same(&other.way().tls)
    }

    fn way(&self) -> Way {
        self.way.read().clone()
    }

    pub(super) fn pause(&self) {
        self.gate.close();
    }

    pub(super) fn resume(&self) {
        self.gate.open();
        self.resumed.notify_waiters();
    }

    /// Waits until work may begin. `None`: others have taken its place meanwhile.
    pub(super) async fn enter(&self) -> Option<Pass> {
        self.wait(|| self.is_replaced()).await
    }

    /// Waits until work may begin, or not to begin here.
    async fn wait(&self, elsewhere: impl Fn() -> bool) -> Option<Pass> {
        loop {
            let resumed = self.resumed.notified();
            tokio::pin!(resumed);
            resumed.as_mut().enable();
            if elsewhere() {
                return None;
            }
            if let Some(pass) = self.gate.pass() {
                return Some(pass);
            }
            resumed.await;
        }
    }

    fn is_replaced(&self) -> bool {
        *self.closing.borrow() == Some(Closing::Replaced)
    }

    fn password(&self, database: &str, role: &str) -> ServerPassword {
        let own = self.entry.password.as_ref().filter(|_| self.entry.user.as_deref() == Some(role));
        // As PgBouncer reads it: the password, or what the server has for it. An empty one is none.
        let own = own.and_then(|password| Password::of(password.expose()).ok());
        self.users.for_server(database, role, own.filter(|it| *it != Password::None))
    }
}

/// What of an entry says where its server is and how to log in there: connections made for another are of no use.
fn leading(entry: &Database) -> Database {
    Database {
        auth_user: None,
        auth_query: None,
        auth_dbname: None,
        load_balance_hosts: None,
        layer: Layer::default(),
        ..entry.clone()
    }
}

/// A host without an address.
#[derive(Debug, thiserror::Error)]
#[error("the address of {host:?} cannot be found: {why}")]
pub(crate) struct NoAddress {
    host: String,
    why: String,
}

impl Target {
    async fn reach(&self, host: &str, port: u16, way: &Way) -> io::Result<TcpStream> {
        let unknown = |why: String| io::Error::other(NoAddress { host: host.to_owned(), why });
        let found =
            tokio::net::lookup_host((host, port)).await.map_err(|error| unknown(error.to_string()))?;
        let found: Vec<_> = found.collect();
        if found.is_empty() {
            return Err(unknown("there is none".to_owned()));
        }
        let stream = sites::connect(&self.sites.found(found), way.within).await?;
        way.tune(&stream)?;
        Ok(stream)
    }

    /// The next one, unless somebody was faster.
    fn give_turn_away(&self) {
        if let Some((turn, own)) = self.way().own_turn {
            let now = turn.load(Ordering::Relaxed);
            if now % self.siblings == own {
                let _other_was_faster =
                    turn.compare_exchange(now, now + 1, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }
}

/// A server that is being connected to. When that fails, or takes too long, the turn is another's.
struct Reaching<'a>(Option<&'a Target>);

impl Drop for Reaching<'_> {
    fn drop(&mut self) {
        if let Some(target) = self.0 {
            target.give_turn_away();
        }
    }
}

#[async_trait::async_trait]
impl Compute for Target {
    async fn connect(&self) -> io::Result<BackendStream> {
        self.connect_noting(&AtomicBool::default()).await
    }

    async fn connect_noting(&self, reached: &AtomicBool) -> io::Result<BackendStream> {
        match &self.place {
            Place::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                reached.store(true, Ordering::Relaxed);
                BackendStream::unix(stream)
            }
            Place::Tcp(host, port) => {
                let mut reaching = Reaching(Some(self));
                let way = self.way();
                let stream = self.reach(host, *port, &way).await?;
                reaching.0 = None;
                reached.store(true, Ordering::Relaxed);
                way.tls.wrap(stream, host).await
            }
        }
    }

    async fn connect_again(&self, there: Option<SocketAddr>) -> io::Result<BackendStream> {
        match (&self.place, there) {
            (Place::Tcp(host, _), Some(address)) => {
                let way = self.way();
                let stream = TcpStream::connect(address).await?;
                way.tune(&stream)?;
                way.tls.wrap(stream, host).await
            }
            _ => self.connect().await,
        }
    }

    fn introduction(&self, database: &str, role: &str) -> Option<Introduction> {
        Some(Introduction {
            place: match &self.place {
                Place::Tcp(host, port) => format!("{host}:{port}"),
                Place::Unix(path) => path.display().to_string(),
            },
            role: role.to_owned(),
            database: self.entry.target(database).to_owned(),
            parameters: self.entry.parameters.clone(),
            password: self.password(database, role),
            first_query: self.entry.connect_query.clone().filter(|sql| !sql.is_empty()),
            within: self.way.read().within,
        })
    }

    fn is_ours_alone(&self) -> bool {
        false
    }

    fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }

    fn closing(&self) -> watch::Receiver<Option<Closing>> {
        self.closing.subscribe()
    }

    fn closing_at(&self, there: Option<SocketAddr>) -> watch::Receiver<Option<Closing>> {
        match there {
            Some(address) => self.sites.closing(address.ip(), || *self.closing.borrow()),
            None => self.closing(),
        }
    }

    /// Whoever has a connection may go on with it.
    async fn reenter(self: Arc<Self>) -> Result<Pass, ClientError> {
        self.wait(|| false).await.ok_or_else(ClientError::connection_lost)
    }
}

#[cfg(test)]
impl Target {
    /// As it does to a new connection of its own.
    pub(super) fn tune(&self, stream: &TcpStream) -> io::Result<()> {
        self.way().tune(stream)
    }
}

#[cfg(test)]
mod tests {
    use dormouse_pooler::config::ini;

    use super::super::config::Lists;
    use super::*;

    /// The only server of an entry.
    fn target(entry: &str) -> Arc<Target> {
        let text = format!("[databases]\n{entry}\n[pgbouncer]\nserver_tls_sslmode = disable\n");
        let ini = ini::parse(&text, "test", &mut |_| Err(io::ErrorKind::NotFound.into())).unwrap();
        let plan = Plan::new(ini, Lists::default()).unwrap();
        let encryption = Encryption::load(&plan).unwrap();
        let targets = Targets::new(&plan.ini.databases[0], &plan, &encryption, &Arc::default());
        targets.next()
    }

    #[tokio::test]
    async fn a_cancel_request_goes_to_the_machine_that_the_connection_leads_to() {
        let other = tokio::net::TcpListener::bind("127.0.0.3:0").await.unwrap();
        let there = other.local_addr().unwrap();
        // What the name leads to now does not even listen.
        let target = target(&format!("db = host=127.0.0.2 port={}", there.port()));
        assert!(target.connect().await.is_err());
        let stream = target.connect_again(Some(there)).await.unwrap();
        assert_eq!(stream.ends().there, Some(there));
    }

    #[test]
    fn the_connections_of_an_entry_that_leads_elsewhere_now_are_told() {
        let target = target("db = host=127.0.0.2 port=1");
        let there = "127.0.0.2:1".parse().ok();
        let before = target.closing_at(there);
        let targets = Targets { all: Arc::new([Arc::clone(&target)]), turn: Arc::default(), sticky: false };
        targets.replaced();
        for told in [before, target.closing_at(there), target.closing(), target.closing_at(None)] {
            assert_eq!(*told.borrow(), Some(Closing::Replaced));
        }
    }
}
