//! What whoever started the server is told: on their terminal, and in `server.json` for the command line.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use dormouse_api::server_file::{SERVER_FILE, ServerFile};
use dormouse_base::Secret;
use dormouse_control::FirstProject;

use crate::config::{Ready, ReadyProject, ServerConfig};
use crate::console;
use crate::prepared::address;

pub(super) fn describe(
    config: &ServerConfig,
    http: SocketAddr,
    first: Option<FirstProject>,
    (api_key, code): (Secret<String>, Option<Secret<String>>),
) -> Ready {
    let address = address(config);
    let project = first.map(|first| {
        let password = first.password.as_ref().map(|p| p.expose().as_str());
        let uri = |pooled| address.uri(&first.endpoint, pooled, &first.role, password, &first.database);
        ReadyProject {
            connection_string: uri(false),
            pooled_connection_string: uri(true),
            project_id: first.project,
            branch: first.branch,
        }
    });
    // Leads to the console.
    let console = format!("http://{http}/");
    let code = code.filter(|_| console::is_built());
    let console_link = code.map(|code| Secret::new(format!("{console}console/#code={}", code.expose())));
    Ready { project, api: format!("http://{http}/api/v2"), api_key, console, console_link }
}

/// So that the command line finds this server. Only its owner may read the key in it.
pub(super) fn write_server_file(data: &Path, ready: &Ready) -> io::Result<()> {
    let file = ServerFile { api: ready.api.clone(), api_key: ready.api_key.clone(), pid: std::process::id() };
    let partial = data.join(".server.json");
    // A file left by a crash may have another mode.
    let _absent = std::fs::remove_file(&partial);
    let out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    serde_json::to_writer(out, &file)?;
    std::fs::rename(partial, data.join(SERVER_FILE))
}
