//! What a superuser can do with SQL.

use std::path::{Path, PathBuf};

use dormouse_tests::{Project, Server};
use serde_json::json;
use tokio_postgres::Client;

/// A project whose owner is a superuser, connected.
pub(super) async fn superuser(server: &Server) -> (Project, Attacker) {
    let project = server.create_project(&json!({ "settings": { "owner_is_superuser": true } }));
    let client = server.try_connect(&project.dsn).await.unwrap();
    let is: String = client.query_one("select current_setting('is_superuser')", &[]).await.unwrap().get(0);
    assert_eq!(is, "on", "else this tests nothing");
    client.batch_execute(TOOLS).await.unwrap();
    (project, Attacker { client })
}

/// Tries many paths and tells which could be used.
const TOOLS: &str = "
create temp table said(line text);
create function readable(paths text[]) returns setof text language plpgsql as $$
declare p text; begin
  foreach p in array paths loop
    begin perform pg_read_binary_file(p, 0, 1); return next p; exception when others then end;
  end loop;
end $$;
create function importable(paths text[]) returns setof text language plpgsql as $$
declare p text; begin
  foreach p in array paths loop
    begin perform lo_import(p); return next p; exception when others then end;
  end loop;
end $$;
create function copyable(paths text[]) returns setof text language plpgsql as $$
declare p text; begin
  foreach p in array paths loop
    begin execute format('copy said from %L', p); return next p; exception when others then end;
  end loop;
end $$;
create function listable(paths text[]) returns setof text language plpgsql as $$
declare p text; begin
  foreach p in array paths loop
    begin perform count(*) from pg_ls_dir(p); return next p; exception when others then end;
  end loop;
end $$;
create function writable(paths text[]) returns setof text language plpgsql as $$
declare p text; begin
  foreach p in array paths loop
    begin execute format('copy (select 1) to %L', p); return next p; exception when others then end;
  end loop;
end $$;";

pub(super) struct Attacker {
    pub(super) client: Client,
}

impl Attacker {
    /// Which of these paths the SQL function `how` gets at.
    pub(super) async fn gets_at(&self, how: &str, paths: &[PathBuf]) -> Vec<String> {
        let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        let rows = self.client.query(&format!("select {how}($1)"), &[&paths]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// What a shell in the compute prints.
    pub(super) async fn shell(&self, script: &str) -> String {
        let quoted = format!("({script}) 2>&1; true").replace('\'', "''");
        let copy = format!(
            "truncate said; copy said from program '{quoted}' (format csv, delimiter e'\\x01', quote e'\\x02')"
        );
        self.client.batch_execute(&copy).await.unwrap();
        let rows = self.client.query("select coalesce(line, '') from said", &[]).await.unwrap();
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
    }

    /// Whether a shell command succeeds in the compute.
    pub(super) async fn can(&self, command: &str) -> bool {
        self.shell(&format!("if {command} >/dev/null 2>&1; then echo yes; else echo no; fi")).await == "yes"
    }
}

/// All files below `dir`, but not below those in `except`. At most a few thousand.
pub(super) fn files_below(dir: &Path, except: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        // A server at work renames and removes some meanwhile.
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if except.contains(&path) {
                continue;
            }
            if kind.is_dir() {
                left.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found
}

/// What a compute may read below the data directory of its server: its own, and what PostgreSQL is made of. A cluster
/// that is still being filled has a front, and files to talk to the server.
pub(super) fn reach_of(server: &Server, project: &Project) -> Vec<PathBuf> {
    let data = server.data().canonicalize().unwrap();
    let cluster = server.cluster_of(project);
    let endpoint = cluster.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let filling = data.join("run").join(format!("h-{endpoint}"));
    vec![cluster, sockets_of(server, project), data.join("postgres"), filling, data.join("front")]
}

/// The socket directory of a running compute.
pub(super) fn sockets_of(server: &Server, project: &Project) -> PathBuf {
    let file = std::fs::read_to_string(server.cluster_of(project).join("postmaster.pid")).unwrap();
    file.lines().nth(4).unwrap().into()
}
