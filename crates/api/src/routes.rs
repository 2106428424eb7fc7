//! The table of routes, written once: the server mounts these patterns, the client fills them in,
//! and a test checks that the two agree. `{name}` is a path parameter.
//!
//! All patterns are below [`BASE`]. A new route goes into its constant and into [`ALL`].

use std::fmt;

/// Where the API lives on the server.
pub const BASE: &str = "/api/v2";

/// `GET` list, `POST` create.
pub const PROJECTS: &str = "/projects";
/// `GET`: projects that others share with this user; always empty here, but `neonctl` asks.
pub const PROJECTS_SHARED: &str = "/projects/shared";
/// `POST` *(extension)*: a project from a stopped data directory on the server's machine.
pub const PROJECTS_IMPORT: &str = "/projects/import";
/// `GET`, `PATCH`, `DELETE`.
pub const PROJECT: &str = "/projects/{project_id}";
/// `GET` with [`crate::connection::ConnectionUriQuery`].
pub const CONNECTION_URI: &str = "/projects/{project_id}/connection_uri";
/// `POST` *(extension)*: a login token, to be shown in the place of a password.
pub const AUTH_TOKEN: &str = "/projects/{project_id}/auth/token";
/// `POST` *(extension)*: a new signing key; every login token of the server ends.
pub const AUTH_ROTATE_KEY: &str = "/auth/rotate_key";
/// `GET` list, `POST` create.
pub const BRANCHES: &str = "/projects/{project_id}/branches";
/// `GET`, `PATCH`, `DELETE` (`?recursive=true` *(extension)*).
pub const BRANCH: &str = "/projects/{project_id}/branches/{branch_id}";
/// `POST`: make it the one that is meant when none is named.
pub const BRANCH_SET_DEFAULT: &str = "/projects/{project_id}/branches/{branch_id}/set_as_default";
/// `POST`: give it the data of another branch, or of its own past.
pub const BRANCH_RESTORE: &str = "/projects/{project_id}/branches/{branch_id}/restore";
/// `GET` with [`crate::schema::SchemaQuery`]: the definitions of one database as SQL.
pub const BRANCH_SCHEMA: &str = "/projects/{project_id}/branches/{branch_id}/schema";
/// `GET` with [`crate::schema::CompareQuery`]: how they differ from another branch's.
pub const BRANCH_COMPARE_SCHEMA: &str = "/projects/{project_id}/branches/{branch_id}/compare_schema";
/// `POST` *(extension)*: store a snapshot now.
pub const BRANCH_SNAPSHOT: &str = "/projects/{project_id}/branches/{branch_id}/snapshot";
/// `GET`: the endpoints of one branch.
pub const BRANCH_ENDPOINTS: &str = "/projects/{project_id}/branches/{branch_id}/endpoints";
/// `GET` list, `POST` create.
pub const ROLES: &str = "/projects/{project_id}/branches/{branch_id}/roles";
/// `GET`, `DELETE`.
pub const ROLE: &str = "/projects/{project_id}/branches/{branch_id}/roles/{role_name}";
/// `GET`: the password in the clear.
pub const ROLE_REVEAL: &str = "/projects/{project_id}/branches/{branch_id}/roles/{role_name}/reveal_password";
/// `POST`: a new random password.
pub const ROLE_RESET: &str = "/projects/{project_id}/branches/{branch_id}/roles/{role_name}/reset_password";
/// `GET` list, `POST` create.
pub const DATABASES: &str = "/projects/{project_id}/branches/{branch_id}/databases";
/// `GET`, `PATCH`, `DELETE`.
pub const DATABASE: &str = "/projects/{project_id}/branches/{branch_id}/databases/{database_name}";
/// `GET` list, `POST` create.
pub const ENDPOINTS: &str = "/projects/{project_id}/endpoints";
/// `GET`, `PATCH`, `DELETE`.
pub const ENDPOINT: &str = "/projects/{project_id}/endpoints/{endpoint_id}";
/// `POST`: wake it; the reply comes when it is active.
pub const ENDPOINT_START: &str = "/projects/{project_id}/endpoints/{endpoint_id}/start";
/// `POST`: stop it; the reply comes when it is stopped.
pub const ENDPOINT_SUSPEND: &str = "/projects/{project_id}/endpoints/{endpoint_id}/suspend";
/// `POST` *(extension)*: freeze it; the reply comes when it is paused.
pub const ENDPOINT_PAUSE: &str = "/projects/{project_id}/endpoints/{endpoint_id}/pause";
/// `POST`: suspend, then start.
pub const ENDPOINT_RESTART: &str = "/projects/{project_id}/endpoints/{endpoint_id}/restart";
/// `POST` *(extension)*: stop it and remove its local files; the store has everything.
pub const ENDPOINT_EVICT: &str = "/projects/{project_id}/endpoints/{endpoint_id}/evict";
/// `GET` *(extension)*: what happened to it, newest first.
pub const ENDPOINT_EVENTS: &str = "/projects/{project_id}/endpoints/{endpoint_id}/events";
/// `GET` list.
pub const OPERATIONS: &str = "/projects/{project_id}/operations";
/// `GET`.
pub const OPERATION: &str = "/projects/{project_id}/operations/{operation_id}";
/// `GET` list, `POST` create.
pub const API_KEYS: &str = "/api_keys";
/// `DELETE`.
pub const API_KEY: &str = "/api_keys/{key_id}";
/// `GET`: who the key belongs to.
pub const USER: &str = "/users/me";
/// `GET`: always an empty list here, but `neonctl` asks.
pub const USER_ORGANIZATIONS: &str = "/users/me/organizations";
/// `GET` *(extension)*: the version and every endpoint's state, in one reply.
pub const STATUS: &str = "/status";
/// `GET` *(extension)*: where the store is, and how far each endpoint's data is in it.
pub const STORAGE: &str = "/storage";
/// `POST` *(extension)*: check that branches can be restored. No time limit.
pub const STORAGE_CHECK: &str = "/storage/check";
/// `POST` *(extension)*: delete what nothing needs. No time limit.
pub const STORAGE_COLLECT: &str = "/storage/collect";
/// `GET`, `PATCH` *(extension)*: the settings of the pooler.
pub const POOLER: &str = "/pooler";
/// `POST` *(extension)*: run a command of the pooler's console.
pub const POOLER_COMMAND: &str = "/pooler/command";

/// An HTTP method that the API uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Read.
    Get,
    /// Create, or do something.
    Post,
    /// Change some fields.
    Patch,
    /// Remove.
    Delete,
}

impl Method {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Every method and pattern of the API, for the server's own test that it mounts them all.
pub const ALL: &[(Method, &str)] = &[
    (Method::Get, PROJECTS),
    (Method::Post, PROJECTS),
    (Method::Get, PROJECTS_SHARED),
    (Method::Post, PROJECTS_IMPORT),
    (Method::Get, PROJECT),
    (Method::Patch, PROJECT),
    (Method::Delete, PROJECT),
    (Method::Get, CONNECTION_URI),
    (Method::Post, AUTH_TOKEN),
    (Method::Post, AUTH_ROTATE_KEY),
    (Method::Get, BRANCHES),
    (Method::Post, BRANCHES),
    (Method::Get, BRANCH),
    (Method::Patch, BRANCH),
    (Method::Delete, BRANCH),
    (Method::Post, BRANCH_SET_DEFAULT),
    (Method::Post, BRANCH_RESTORE),
    (Method::Get, BRANCH_SCHEMA),
    (Method::Get, BRANCH_COMPARE_SCHEMA),
    (Method::Post, BRANCH_SNAPSHOT),
    (Method::Get, BRANCH_ENDPOINTS),
    (Method::Get, ROLES),
    (Method::Post, ROLES),
    (Method::Get, ROLE),
    (Method::Delete, ROLE),
    (Method::Get, ROLE_REVEAL),
    (Method::Post, ROLE_RESET),
    (Method::Get, DATABASES),
    (Method::Post, DATABASES),
    (Method::Get, DATABASE),
    (Method::Patch, DATABASE),
    (Method::Delete, DATABASE),
    (Method::Get, ENDPOINTS),
    (Method::Post, ENDPOINTS),
    (Method::Get, ENDPOINT),
    (Method::Patch, ENDPOINT),
    (Method::Delete, ENDPOINT),
    (Method::Post, ENDPOINT_START),
    (Method::Post, ENDPOINT_SUSPEND),
    (Method::Post, ENDPOINT_PAUSE),
    (Method::Post, ENDPOINT_RESTART),
    (Method::Post, ENDPOINT_EVICT),
    (Method::Get, ENDPOINT_EVENTS),
    (Method::Get, OPERATIONS),
    (Method::Get, OPERATION),
    (Method::Get, API_KEYS),
    (Method::Post, API_KEYS),
    (Method::Delete, API_KEY),
    (Method::Get, USER),
    (Method::Get, USER_ORGANIZATIONS),
    (Method::Get, STATUS),
    (Method::Get, STORAGE),
    (Method::Post, STORAGE_CHECK),
    (Method::Post, STORAGE_COLLECT),
    (Method::Get, POOLER),
    (Method::Patch, POOLER),
    (Method::Post, POOLER_COMMAND),
];
