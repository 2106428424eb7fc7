//! The other HTTP front: `front.mjs` in a Node.js of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::error::Error;
use crate::talk;

const PROGRAM: &str = include_str!("front.mjs");

/// It runs until it is dropped.
pub(super) struct Front {
    pub(super) address: SocketAddr,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Front {
    /// Starts it; `None` where it cannot be had.
    pub(super) fn start(uri: &str) -> Result<Option<Self>, Error> {
        let drivers =
            std::env::var_os("DORMOUSE_TEST_HOME").map_or_else(|| "target/drivers".into(), PathBuf::from);
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."));
        let modules = checkout.join(drivers).join("node");
        if !modules.join("node_modules/pg").is_dir() {
            talk::say("http: without the Node.js front: run scripts/setup --tests to have it");
            return Ok(None);
        }
        let dir = tempfile::tempdir().map_err(Error::system("make a temporary directory"))?;
        let program = dir.path().join("front.mjs");
        std::fs::write(&program, PROGRAM).map_err(Error::system("write the Node.js front"))?;
        let mut child = Command::new("node")
            .arg(&program)
            .env("MODULES", &modules)
            .env("DSN", uri)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Error::system("start node"))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let _read = BufReader::new(stdout).read_line(&mut line);
        }
        let port: Option<u16> = line.trim().parse().ok();
        let address = SocketAddr::from(([127, 0, 0, 1], port.unwrap_or_default()));
        let front = Self { address, child, _dir: dir };
        if port.is_none() {
            return Err(Error::unexpected("the Node.js front did not start"));
        }
        Ok(Some(front))
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
