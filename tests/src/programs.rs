//! Real client programs: psql, and the drivers of other languages from `tests/drivers`.
//!
//! Each runs under a time limit of its own and with only the environment that it is given, so that a
//! `PGPASSWORD` or `.pgpass` of whoever runs the tests changes nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Server, checkout};

/// Seconds; a program that runs longer is ended and has failed.
const LIMIT: &str = "100";

/// What a program said.
#[derive(Debug)]
pub struct Said {
    /// Whether it ended well.
    pub ok: bool,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Said {
    /// Its output, without white space around; it must have ended well.
    #[track_caller]
    pub fn good(self) -> String {
        assert!(self.ok, "{}{}", self.out, self.err);
        self.out.trim().to_owned()
    }

    /// What it complained about; it must have failed.
    #[track_caller]
    pub fn bad(self) -> String {
        assert!(!self.ok, "it should have failed: {}", self.out);
        self.err + &self.out
    }
}

/// Runs a program with this environment.
pub fn run(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    run_within(LIMIT, program, arguments, environment)
}

/// The same for one that may run longer, seconds.
pub fn run_within(limit: &str, program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let mut command = Command::new("timeout");
    command.args(["-k", "2", limit]).arg(program).args(arguments).env_clear();
    for kept in ["PATH", "DORMOUSE_TEST_HOME"] {
        command.envs(std::env::var(kept).map(|value| (kept, value)));
    }
    // No home: no .psqlrc, no .pgpass, no client certificates.
    command.env("HOME", "/nonexistent").env("LANG", "C.UTF-8").envs(environment.iter().copied());
    let output = command.stdin(Stdio::null()).current_dir(std::env::temp_dir()).output().unwrap();
    Said {
        ok: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Where `scripts/setup --tests` put the drivers.
pub fn driver_home() -> PathBuf {
    checkout().join(std::env::var_os("DORMOUSE_TEST_HOME").unwrap_or_else(|| "target/drivers".into()))
}

/// Runs a Python program, given as text, with the drivers at hand.
pub fn python(program: &str, environment: &[(&str, &str)]) -> Said {
    let python = driver_home().join("python/bin/python");
    assert!(python.is_file(), "the Python drivers are missing: run scripts/setup --tests");
    run(&python, &["-c", program], environment)
}

/// Runs psql; `connection` is a libpq connection string without the password.
pub fn psql(connection: &str, password: &str, arguments: &[&str]) -> Said {
    let mut all = vec!["-X", "-w", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", connection];
    all.extend(arguments);
    run(Path::new("psql"), &all, &[("PGPASSWORD", password)])
}

impl Server {
    /// A libpq connection string to this server's default project over TLS, with `rest` appended.
    pub fn conninfo(&self, rest: &str) -> String {
        let port = self.pg_port();
        // Without `host`, libpq 15 would send its socket directory as the TLS server name.
        let host = if rest.starts_with("host=") { "" } else { "host=localhost" };
        format!("{host} hostaddr=127.0.0.1 port={port} user=app_owner dbname=app sslmode=require {rest}")
    }

    /// The certificate that the server made for itself.
    pub fn certificate(&self) -> PathBuf {
        self.data().join("tls/server.crt")
    }

    /// The log must show no panic, and no warning or error except lines with one of these texts.
    #[track_caller]
    pub fn assert_clean_log(&self, expected: &[&str]) {
        let log = self.log();
        let bad = |line: &&str| {
            let loud = ["panicked", " WARN ", " ERROR "].iter().any(|word| line.contains(word));
            loud && (line.contains("panicked") || !expected.iter().any(|text| line.contains(text)))
        };
        let lines: Vec<&str> = log.lines().filter(bad).collect();
        assert!(lines.is_empty(), "unexpected lines in the log:\n{}", lines.join("\n"));
    }
}
