//! Where an entry of `[databases]` leads: one or several servers, all as good as each other.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dormouse_base::EndpointId;
use dormouse_pgwire::ClientError;
use dormouse_pooler::config::Layer;
use dormouse_pooler::config::ini::Database;
use dormouse_pooler::config::userlist::Password;
use dormouse_runtime::gate::{Closing, Gate, Pass};
use sha2::{Digest, Sha256};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, watch};

use super::Users;
use super::config::Plan;
use super::encryption::Encryption;
use super::server_tls::ServerTls;
use super::sites::{self, Sites};
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
            Arc::new(Target { own_turn: sticky.then(|| (Arc::clone(&turn), index)), ..made })
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
    /// Whose turn it is, and at which it is this one's; when the next is tried only after a failure.
    own_turn: Option<(Arc<AtomicUsize>, usize)>,
    /// How many they are.
    siblings: usize,
    keepalive: Option<TcpKeepalive>,
    /// `tcp_user_timeout`; zero: the system's.
    user_timeout: Duration,
    /// Without what is not the connections' business.
    entry: Database,
    tls: ServerTls,
    within: Duration,
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
            own_turn: None,
            siblings: entry.host.as_deref().unwrap_or_default().split(',').count(),
            keepalive: keepalive(plan),
            user_timeout: Duration::from_millis(plan.number("tcp_user_timeout").into()),
            within: plan.ini.settings.with([&entry.layer]).server_connect_timeout,
            entry: Database { layer: Layer::default(), ..entry.clone() },
            tls: encryption.servers.clone(),
            users: Arc::clone(users),
            gate,
            resumed: Notify::new(),
            closing: watch::Sender::new(None),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.place == other.place
            && self.entry == other.entry
            && self.tls.is_same(&other.tls)
            && self.within == other.within
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

    fn password(&self, role: &str) -> ServerPassword {
        let own = self.entry.password.as_ref().filter(|_| self.entry.user.as_deref() == Some(role));
        // As PgBouncer reads it: the password, or what the server has for it. An empty one is none.
        let own = own.and_then(|password| Password::of(password.expose()).ok());
        match own.filter(|it| *it != Password::None).or_else(|| self.users.password(role)) {
            Some(Password::Plain(password)) => ServerPassword::Plain(password),
            Some(Password::Md5(stored)) => ServerPassword::Md5(stored),
            Some(Password::Scram(_)) => self
                .users
                .keys
                .lock()
                .get(role)
                .cloned()
                .map_or(ServerPassword::Unknown, ServerPassword::Keys),
            Some(Password::None) | None => ServerPassword::Unknown,
        }
    }
}

/// A host without an address.
#[derive(Debug, thiserror::Error)]
#[error("the address of {host:?} cannot be found: {why}")]
pub(crate) struct NoAddress {
    host: String,
    why: String,
}

/// As `tcp_keepalive` and what belongs to it say.
fn keepalive(plan: &Plan) -> Option<TcpKeepalive> {
    let seconds = |name| Some(plan.number(name)).filter(|n| *n > 0).map(|n| Duration::from_secs(n.into()));
    let mut made = TcpKeepalive::new();
    if let Some(idle) = seconds("tcp_keepidle") {
        made = made.with_time(idle);
    }
    if let Some(interval) = seconds("tcp_keepintvl") {
        made = made.with_interval(interval);
    }
    let count = plan.number("tcp_keepcnt");
    if count > 0 {
        made = made.with_retries(count);
    }
    matches!(plan.setting("tcp_keepalive").as_str(), "1" | "on" | "true" | "yes").then_some(made)
}

impl Target {
    async fn reach(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let unknown = |why: String| io::Error::other(NoAddress { host: host.to_owned(), why });
        let found =
            tokio::net::lookup_host((host, port)).await.map_err(|error| unknown(error.to_string()))?;
        let found: Vec<_> = found.collect();
        if found.is_empty() {
            return Err(unknown("there is none".to_owned()));
        }
        let stream = sites::connect(&self.sites.found(found), self.within).await?;
        self.tune(&stream)?;
        Ok(stream)
    }

    fn tune(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        if let Some(keepalive) = &self.keepalive {
            socket.set_keepalive(true)?;
            socket.set_tcp_keepalive(keepalive)?;
        }
        if !self.user_timeout.is_zero() {
            socket.set_tcp_user_timeout(Some(self.user_timeout))?;
        }
        Ok(())
    }

    /// The next one, unless somebody was faster.
    fn give_turn_away(&self) {
        if let Some((turn, own)) = &self.own_turn {
            let now = turn.load(Ordering::Relaxed);
            if now % self.siblings == *own {
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
        match &self.place {
            Place::Unix(path) => UnixStream::connect(path).await.and_then(BackendStream::unix),
            Place::Tcp(host, port) => {
                let mut reaching = Reaching(Some(self));
                let stream = self.reach(host, *port).await?;
                reaching.0 = None;
                self.tls.wrap(stream, host).await
            }
        }
    }

    async fn connect_again(&self, there: Option<SocketAddr>) -> io::Result<BackendStream> {
        match (&self.place, there) {
            (Place::Tcp(host, _), Some(address)) => {
                let stream = TcpStream::connect(address).await?;
                self.tune(&stream)?;
                self.tls.wrap(stream, host).await
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
            password: self.password(role),
            first_query: self.entry.connect_query.clone().filter(|sql| !sql.is_empty()),
            within: self.within,
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
