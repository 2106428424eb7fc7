//! Import *(extension)*: a project from a PostgreSQL data directory on the server's machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Branch, ConnectionUri, Database, Endpoint, Operation, Project, Role};

/// `POST /projects/import`, the request. The *server* reads the directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImportDirectory {
    /// The data directory of a cleanly stopped cluster, an absolute path.
    pub data_directory: String,
    /// The project's name; two random words when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The role that gets what belonged to the cluster's superuser; `app_owner` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_name: Option<String>,
}

/// `POST /projects/import`, the reply (201). While the operation is `running`, the branch is `init`,
/// and the databases are not known yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImportedProject {
    /// The project.
    pub project: Project,
    /// Its branch.
    pub branch: Branch,
    /// That branch's endpoint.
    pub endpoints: Vec<Endpoint>,
    /// The owner role, with its new password. The other roles come with the first wake.
    pub roles: Vec<Role>,
    /// The databases that came along.
    pub databases: Vec<Database>,
    /// The work that makes all this.
    pub operations: Vec<Operation>,
    /// How to connect, one for each database.
    pub connection_uris: Vec<ConnectionUri>,
}
