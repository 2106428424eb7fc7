//! What runs while the pool is measured: a Dormouse server, a bare PostgreSQL, PgBouncer before both.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::sandbox::identity::Identity;

use super::bouncer::{self, Behind, Bouncer, PgBouncer};
use super::logins::Logins;
use crate::bare::{self, Bare, Running};
use crate::error::Error;
use crate::pgbench::{self, Pgbench};
use crate::server::{Compute, Place, Server};
use crate::session::{self, Login, Session};
use crate::{cpu, stop, talk};

/// What the endpoint's name ends with where clients share backends.
const POOLED: &str = "-pooler";

/// The bare server has room for the clients of every case.
const SERVER_CONNECTIONS: u32 = 1100;

/// How long the consequences of a case are waited for, and how often they are looked at.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);
const SETTLE_LOOK: Duration = Duration::from_millis(300);

/// The share of one processor at which all servers and poolers count as quiet.
const SETTLED: f64 = 0.07;

/// How clients get to their rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To PostgreSQL.
    Direct,
    /// Through PgBouncer.
    Bouncer,
    /// Through Dormouse in PgBouncer's place: the same file, the same server behind it.
    InPlace,
    /// Through PgBouncer to the server that Dormouse runs, past Dormouse.
    BouncerToo,
    /// Through a Dormouse that runs the database too, by the pooled name.
    Dormouse,
}

/// All of them.
pub(super) const WAYS: [Way; 5] = [Way::Direct, Way::Bouncer, Way::InPlace, Way::BouncerToo, Way::Dormouse];

impl Way {
    /// In tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Way::Direct => "direct",
            Way::Bouncer => "PgBouncer",
            Way::InPlace => "dormouse pool",
            Way::BouncerToo => "PgBouncer to Dormouse's server",
            Way::Dormouse => "Dormouse",
        }
    }

    /// What a way of ours is held against: PgBouncer's to the same server.
    pub(super) fn rival(self) -> Option<Way> {
        match self {
            Way::Direct | Way::Bouncer | Way::BouncerToo => None,
            Way::InPlace => Some(Way::Bouncer),
            Way::Dormouse => Some(Way::BouncerToo),
        }
    }

    /// Whether the server at its end is the one that Dormouse runs.
    fn is_ours(self) -> bool {
        matches!(self, Way::BouncerToo | Way::Dormouse)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Stage {
    /// The server under test.
    pub(super) server: Server,
    /// Its endpoint, by the name that is not pooled.
    pub(super) place: Place,
    /// Whom we are held against.
    pub(super) pgbouncer: PgBouncer,
    /// Before the bare server.
    pub(super) bouncer: Bouncer,
    /// Before the same.
    in_place: Bouncer,
    /// Before the server that Dormouse runs.
    bouncer_too: Bouncer,
    /// Whether the pooled name shares backends.
    pub(super) pools: bool,
    /// How long its clients take to log in.
    pub(super) logins: Mutex<Logins>,
    compute: Compute,
    port: u16,
    pgbench: Pgbench,
    running: Running,
    bare: Bare,
    _dir: tempfile::TempDir,
}

impl Stage {
    /// Starts everything and fills both databases.
    ///
    /// # Errors
    /// When something does not start.
    pub(super) fn set(binary: &Path, pgbouncer: PgBouncer, scale: u32) -> Result<Self, Error> {
        let pgbench = pgbench::find()?;
        let server = Server::start(binary, &crate::measure::STAY_AWAKE)?;
        let place = server.first_place()?;
        server.give_all(&place)?;
        ease_password(
            &mut session::over_tcp(place.address, &place.login)?,
            &place.login.user,
            &place.password,
        )?;
        let compute = server.compute(&place)?;
        let dir = crate::measure::storm::passable_dir()?;
        let mut bare = Bare::like(&compute, dir.path())?;
        let port = bouncer::free_port()?;
        bare.listen(port, &[("max_connections", SERVER_CONNECTIONS.to_string())])?;
        let running = bare.boot()?;
        let (bouncer, in_place) = {
            let mut session = session::over_unix(running.socket(), &bare::superuser())?;
            ease_password(&mut session, bare::SEED.0, &place.password)?;
            let verifier = verifier(&mut session, bare::SEED.0)?;
            let (identity, sockets, (role, database)) = (bare.identity(), bare.socket_dir(), bare::SEED);
            let behind = Behind { identity, sockets, port, role, database, verifier: &verifier };
            (pgbouncer.start(behind, super::POOL)?, bouncer::in_its_place(binary, behind, super::POOL)?)
        };
        let bouncer_too = before_compute(&pgbouncer, &compute, &place)?;
        let mut stage = Self {
            server,
            place,
            pgbouncer,
            bouncer,
            in_place,
            bouncer_too,
            pools: false,
            logins: Mutex::default(),
            compute,
            port,
            pgbench,
            running,
            bare,
            _dir: dir,
        };
        talk::say(&format!("pool: filling two databases (scale {scale})"));
        for way in [Way::Direct, Way::Dormouse] {
            stage.pgbench(way, &["-i".into(), "-q".into(), format!("-s{scale}")], &mut || {})?;
        }
        stage.pools = stage.shares_backends()?;
        Ok(stage)
    }

    /// Two clients that are served by the same backend one after the other.
    fn shares_backends(&self) -> Result<bool, Error> {
        let login = self.login(Way::Dormouse)?;
        let open = || session::over_tcp(self.place.address, &login);
        let (mut one, mut other) = (open()?, open()?);
        let backend = "select pg_catalog.pg_backend_pid()";
        Ok(one.query(backend)?.1 == other.query(backend)?.1)
    }

    /// Where a way begins.
    pub(super) fn address(&self, way: Way) -> SocketAddr {
        match way {
            Way::Direct => SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)),
            Way::Bouncer => self.bouncer.address,
            Way::InPlace => self.in_place.address,
            Way::BouncerToo => self.bouncer_too.address,
            Way::Dormouse => self.place.address,
        }
    }

    /// The pooler's process.
    pub(super) fn pooler(&self, way: Way) -> Option<u32> {
        match way {
            Way::Direct => None,
            Way::Bouncer => Some(self.bouncer.pid()),
            Way::InPlace => Some(self.in_place.pid()),
            Way::BouncerToo => Some(self.bouncer_too.pid()),
            Way::Dormouse => Some(self.server.pid()),
        }
    }

    /// The postmaster at the end of a way, and its directory.
    pub(super) fn postgres(&self, way: Way) -> (u32, std::path::PathBuf) {
        if way.is_ours() {
            return (self.compute.pid, self.compute.data().map(Path::to_owned).unwrap_or_default());
        }
        (self.running.pid(), self.bare.data())
    }

    fn pooled_name(&self) -> String {
        format!("{}{POOLED}", self.place.id)
    }

    /// How to log in by a way, the PBKDF2 rounds being done.
    ///
    /// # Errors
    /// When nobody asks for the password.
    pub(super) fn login(&self, way: Way) -> Result<Login, Error> {
        let plain = match way {
            Way::Direct | Way::Bouncer | Way::InPlace => bare::login(),
            Way::BouncerToo => Login { endpoint: None, ..self.place.login.clone() },
            Way::Dormouse => Login { endpoint: Some(self.pooled_name()), ..self.place.login.clone() },
        };
        plain.salted(self.address(way), &self.place.password)
    }

    /// Removes dead rows: without it a run finds those of all runs before it.
    ///
    /// # Errors
    /// When pgbench fails.
    pub(super) fn vacuum(&self, way: Way) -> Result<(), Error> {
        let to = if way.is_ours() { Way::Dormouse } else { Way::Direct };
        self.pgbench(to, &["-i".into(), "-q".into(), "-Iv".into()], &mut || {}).map(drop)
    }

    /// Waits until what ran before has no consequences any more: after transactions that wrote, Dormouse files WAL and
    /// takes snapshots, which is not what the next case is about, whoever's it is. Not for ever: PostgreSQL has
    /// upkeep of its own.
    ///
    /// # Errors
    /// When the end is asked for.
    pub(super) fn settle(&self) -> Result<(), Error> {
        let used = || -> Duration {
            let processes = WAYS.into_iter().filter_map(|way| self.pooler(way)).map(cpu::of_process);
            let servers = [Way::Direct, Way::Dormouse].map(|way| {
                let (postmaster, data) = self.postgres(way);
                cpu::of_compute(postmaster, &data)
            });
            processes.chain(servers).sum()
        };
        let start = Mono::now();
        let mut before = used();
        while start.elapsed() < SETTLE_WITHIN {
            std::thread::sleep(SETTLE_LOOK);
            stop::check()?;
            let now = used();
            if now.saturating_sub(before) <= SETTLE_LOOK.mul_f64(SETTLED) {
                break;
            }
            before = now;
        }
        Ok(())
    }

    /// Runs pgbench by a way.
    ///
    /// # Errors
    /// When it fails.
    pub(super) fn pgbench(
        &self,
        way: Way,
        arguments: &[String],
        watch: &mut dyn FnMut(),
    ) -> Result<String, Error> {
        let address = self.address(way);
        let (user, database) = if way.is_ours() {
            (self.place.login.user.as_str(), self.place.login.database.as_str())
        } else {
            bare::SEED
        };
        let mut environment = vec![
            ("PGHOST", address.ip().to_string()),
            ("PGPORT", address.port().to_string()),
            ("PGUSER", user.to_owned()),
            ("PGDATABASE", database.to_owned()),
            ("PGPASSWORD", self.place.password.clone()),
            ("PGSSLMODE", "disable".to_owned()),
            ("PGGSSENCMODE", "disable".to_owned()),
        ];
        if way == Way::Dormouse {
            environment.push(("PGOPTIONS", format!("endpoint={}", self.pooled_name())));
        }
        pgbench::run_watched(&self.pgbench, &environment, arguments, watch)
    }
}

/// Sets a role's password with one round of SCRAM. A client does the usual 4,096 again for each connection, which takes
/// pgbench tens of times as long as a pooler takes for the whole login, on the same processors. Before PostgreSQL 16
/// they cannot be chosen.
fn ease_password<S: Read + Write>(session: &mut Session<S>, role: &str, password: &str) -> Result<(), Error> {
    let quick = "select pg_catalog.set_config(name, '1', false) from pg_catalog.pg_settings where name = 'scram_iterations'";
    session.query(quick)?;
    session.query(&format!("alter role \"{role}\" password '{}'", password.replace('\'', "''"))).map(drop)
}

/// What a pooler has to know of a role's password.
fn verifier<S: Read + Write>(session: &mut Session<S>, role: &str) -> Result<String, Error> {
    let (_, verifier) =
        session.query(&format!("select rolpassword from pg_authid where rolname = '{role}'"))?;
    verifier.ok_or_else(|| Error::unexpected("a database's owner has no password"))
}

/// PgBouncer, before the server that Dormouse runs.
fn before_compute(pgbouncer: &PgBouncer, compute: &Compute, place: &Place) -> Result<Bouncer, Error> {
    let missing = || Error::unexpected("the compute's directories cannot be told from its arguments");
    let sockets = compute.socket_dir().ok_or_else(missing)?;
    let identity = compute.data().and_then(Identity::owner_of).ok_or_else(missing)?;
    let (port, socket) = (bare::PORT, sockets.join(format!(".s.PGSQL.{}", bare::PORT)));
    let Login { user: role, database, .. } = &place.login;
    let verifier = verifier(&mut session::over_unix(&socket, &bare::superuser())?, role)?;
    let behind = Behind { identity, sockets, port, role, database, verifier: &verifier };
    pgbouncer.start(behind, super::POOL)
}
