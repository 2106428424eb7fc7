//! `pg_receivewal` on a slot of its own: how WAL is usually brought away.

use std::process::{Child, Stdio};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::postgres::SUPERUSER;
use dormouse_compute::postgres::discover::Installation;
use dormouse_compute::sandbox::process;
use rustix::process::Signal;

use super::cluster;
use crate::bare::{Bare, Running};
use crate::cpu;
use crate::error::Error;
use crate::tool;

const SLOT: &str = "bench";

/// It streams within this time.
const STREAMS_WITHIN: Duration = Duration::from_secs(15);

/// Its share of the WAL that was written at least; the rest is on the way.
const RECEIVED: f64 = 0.9;

/// See the module. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Receiver {
    child: Child,
    begun_at: f64,
    _dir: tempfile::TempDir,
}

impl Receiver {
    /// Starts it and waits until it streams.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn start(install: &Installation, bare: &Bare, running: &Running) -> Result<Self, Error> {
        let dir = super::size::scratch()?;
        let wal = dir.path().join("wal");
        std::fs::create_dir(&wal)
            .and_then(|()| bare.identity().own(&wal))
            .map_err(Error::system("make a directory for WAL"))?;
        cluster::sql(running, &format!("SELECT pg_create_physical_replication_slot('{SLOT}', true)"))?;
        let mut command = tool::command(&install.bin.join("pg_receivewal"), bare.identity());
        command.args(["-U", SUPERUSER, "-S", SLOT, "--no-loop", "-D"]).arg(&wal);
        command.arg("-h").arg(bare.socket_dir()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(Error::system("start pg_receivewal"))?;
        let mut receiver = Self { child, begun_at: 0.0, _dir: dir };
        let start = Mono::now();
        while streamed(running)?.is_none() {
            if start.elapsed() > STREAMS_WITHIN || !matches!(receiver.child.try_wait(), Ok(None)) {
                return Err(Error::unexpected("pg_receivewal does not stream"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        receiver.begun_at = written(running)?;
        Ok(receiver)
    }

    /// Its processor time so far.
    pub(super) fn cpu(&self) -> Duration {
        cpu::of_process(self.child.id())
    }

    /// Ends it; tells how many bytes it got.
    ///
    /// # Errors
    /// When it did not get what was written.
    pub(super) fn stop(mut self, running: &Running) -> Result<f64, Error> {
        let written = written(running)? - self.begun_at;
        let got = streamed(running)?.map_or(0.0, |at| at - self.begun_at);
        process::signal(self.child.id(), Signal::INT);
        let _ended = self.child.wait();
        // The server takes a moment to see that it has gone.
        let start = Mono::now();
        while let Err(error) = cluster::sql(running, &format!("SELECT pg_drop_replication_slot('{SLOT}')")) {
            if start.elapsed() > STREAMS_WITHIN {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if got >= written * RECEIVED {
            return Ok(got);
        }
        Err(Error::unexpected(format!("pg_receivewal got {got} of {written} bytes")))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Both fail when it has ended.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// How far it was sent to; `None` while nothing is streamed.
fn streamed(running: &Running) -> Result<Option<f64>, Error> {
    let text = "SELECT (sent_lsn - '0/0')::text FROM pg_stat_replication WHERE state = 'streaming'";
    Ok(cluster::sql(running, text)?.and_then(|text| text.parse().ok()))
}

fn written(running: &Running) -> Result<f64, Error> {
    let value = cluster::sql(running, "SELECT (pg_current_wal_flush_lsn() - '0/0')::text")?;
    value.and_then(|text| text.parse().ok()).ok_or_else(|| Error::unexpected("PostgreSQL tells no position"))
}
