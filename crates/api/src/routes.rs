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
/// `POST`: bring a deleted project back; nothing that was deleted is kept here, so it always refuses.
pub const PROJECT_RECOVER: &str = "/projects/{project_id}/recover";
/// `POST` *(extension)*: wake all its endpoints at once.
pub const PROJECT_WAKE: &str = "/projects/{project_id}/wake";
/// `GET` *(extension)*: who changed what in a project.
pub const PROJECT_AUDIT: &str = "/projects/{project_id}/audit";
/// `GET`, `PUT` *(extension)*: how much a project may use.
pub const QUOTAS: &str = "/projects/{project_id}/quotas";
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
/// `GET`: how many there are, with [`crate::branch::CountQuery`].
pub const BRANCHES_COUNT: &str = "/projects/{project_id}/branches/count";
/// `POST`: keep the data of a branch as a snapshot, with [`crate::snapshot::CreateSnapshotQuery`].
pub const BRANCH_SNAPSHOT: &str = "/projects/{project_id}/branches/{branch_id}/snapshot";
/// `POST`: put a restored snapshot in the place of the branch that it was restored for.
pub const BRANCH_FINALIZE_RESTORE: &str = "/projects/{project_id}/branches/{branch_id}/finalize_restore";
/// `GET`, `PUT`: when snapshots are taken by themselves; never here.
pub const BRANCH_BACKUP_SCHEDULE: &str = "/projects/{project_id}/branches/{branch_id}/backup_schedule";
/// `POST` *(extension)*: store what the branch has now, so that later restores are quick.
pub const BRANCH_STORE: &str = "/projects/{project_id}/branches/{branch_id}/store";
/// `GET` list.
pub const SNAPSHOTS: &str = "/projects/{project_id}/snapshots";
/// `PATCH`, `DELETE`.
pub const SNAPSHOT: &str = "/projects/{project_id}/snapshots/{snapshot_id}";
/// `POST`: a branch with the data of a snapshot, or an existing branch gets it.
pub const SNAPSHOT_RESTORE: &str = "/projects/{project_id}/snapshots/{snapshot_id}/restore";
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
/// Have an endpoint's directory made from the store, and keep the old one *(extension)*.
pub const ENDPOINT_SET_ASIDE: &str = "/projects/{project_id}/endpoints/{endpoint_id}/set-aside";
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
/// `GET` *(extension)*: who changed what on this server.
pub const AUDIT: &str = "/audit";
/// `GET`: how the request proved who it comes from.
pub const AUTH: &str = "/auth";
/// `POST` *(extension)*: a code that signs a browser in.
pub const CONSOLE_LINK: &str = "/console_link";
/// `GET` *(extension)*: browsers that are signed in.
pub const CONSOLE_SESSIONS: &str = "/console_sessions";
/// `DELETE` *(extension)*: sign a browser out.
pub const CONSOLE_SESSION: &str = "/console_sessions/{session_id}";
/// `GET`: the places where projects can be; there is one.
pub const REGIONS: &str = "/regions";
/// `GET`: what all projects used, with [`crate::consumption::ConsumptionQuery`].
pub const CONSUMPTION_ACCOUNT: &str = "/consumption_history/account";
/// `GET`: the same for each project.
pub const CONSUMPTION_PROJECTS: &str = "/consumption_history/projects";
/// `GET` *(extension)*: what was used, with [`crate::usage::Query`].
pub const USAGE: &str = "/usage";
/// `GET` *(extension)*: what that would have cost, with [`crate::cost::CostQuery`].
pub const COST: &str = "/cost";
/// `POST` *(extension)*: what a month that is described would cost. Changes nothing.
pub const COST_ESTIMATE: &str = "/cost/estimate";
/// `GET` *(extension)*: the price sheets.
pub const COST_SHEETS: &str = "/cost/sheets";
/// `GET` *(extension)*: this contract as OpenAPI 3.1. Needs no key.
pub const OPENAPI: &str = "/openapi.json";
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
/// `GET` *(extension)*: what was measured, with [`crate::statistics::StatisticsQuery`].
pub const STATISTICS: &str = "/statistics";
/// `GET` *(extension)*: what is measured.
pub const STATISTICS_METRICS: &str = "/statistics/metrics";
/// `GET` *(extension)*: what alerts say, with [`crate::alert::AlertsQuery`].
pub const ALERTS: &str = "/alerts";
/// `GET` list, `POST` create *(extension)*.
pub const ALERT_RULES: &str = "/alerts/rules";
/// `GET`, `PATCH`, `DELETE` *(extension)*.
pub const ALERT_RULE: &str = "/alerts/rules/{rule_id}";
/// `POST` *(extension)*: what it says now, and a notice that is marked as a test.
pub const ALERT_RULE_TEST: &str = "/alerts/rules/{rule_id}/test";
/// `GET` list, `POST` create *(extension)*.
pub const ALERT_WEBHOOKS: &str = "/alerts/webhooks";
/// `DELETE` *(extension)*.
pub const ALERT_WEBHOOK: &str = "/alerts/webhooks/{webhook_id}";
/// `POST` *(extension)*: a notice that is marked as a test.
pub const ALERT_WEBHOOK_TEST: &str = "/alerts/webhooks/{webhook_id}/test";
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
    /// Replace.
    Put,
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
            Method::Put => "PUT",
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

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Whoever reaches the port: nothing of this server is told.
    Anybody,
    /// Every known caller; the answer is the same for all, or about the caller.
    Caller,
    /// Every known caller; who is bound to one project sees only what belongs to it.
    Listed,
    /// Who may use the project in the path.
    Project,
    /// Only who is not bound to one project.
    Organisation,
}

/// One method of one pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The HTTP method.
    pub method: Method,
    /// One of the constants above.
    pub pattern: &'static str,
    /// Its `operationId`, which is Neon's where Neon has the route.
    pub id: &'static str,
    /// Who may use it.
    pub access: Access,
}

impl Route {
    /// Whether it changes something, or tells a secret: then its use is recorded.
    #[must_use]
    pub fn is_audited(&self) -> bool {
        let changes = self.method != Method::Get && self.pattern != COST_ESTIMATE;
        changes || matches!(self.pattern, ROLE_REVEAL | CONNECTION_URI)
    }
}

const fn route(method: Method, pattern: &'static str, id: &'static str, access: Access) -> Route {
    Route { method, pattern, id, access }
}

/// Every method and pattern of the API: the server refuses what is not here, and tests compare this with what
/// it mounts, with the OpenAPI document and with the table of who may do what.
pub const ALL: &[Route] = &[
    route(Method::Get, PROJECTS, "listProjects", Access::Listed),
    route(Method::Post, PROJECTS, "createProject", Access::Organisation),
    route(Method::Get, PROJECTS_SHARED, "listSharedProjects", Access::Caller),
    route(Method::Post, PROJECTS_IMPORT, "importDirectory", Access::Organisation),
    route(Method::Get, PROJECT, "getProject", Access::Project),
    route(Method::Patch, PROJECT, "updateProject", Access::Project),
    route(Method::Delete, PROJECT, "deleteProject", Access::Organisation),
    route(Method::Post, PROJECT_RECOVER, "recoverProject", Access::Organisation),
    route(Method::Post, PROJECT_WAKE, "wakeProject", Access::Project),
    route(Method::Get, PROJECT_AUDIT, "listProjectAudit", Access::Project),
    route(Method::Get, QUOTAS, "getProjectQuotas", Access::Project),
    route(Method::Put, QUOTAS, "setProjectQuotas", Access::Organisation),
    route(Method::Get, CONNECTION_URI, "getConnectionUri", Access::Project),
    route(Method::Post, AUTH_TOKEN, "createLoginToken", Access::Project),
    route(Method::Post, AUTH_ROTATE_KEY, "rotateLoginKey", Access::Organisation),
    route(Method::Get, BRANCHES, "listProjectBranches", Access::Project),
    route(Method::Post, BRANCHES, "createProjectBranch", Access::Project),
    route(Method::Get, BRANCHES_COUNT, "countProjectBranches", Access::Project),
    route(Method::Get, BRANCH, "getProjectBranch", Access::Project),
    route(Method::Patch, BRANCH, "updateProjectBranch", Access::Project),
    route(Method::Delete, BRANCH, "deleteProjectBranch", Access::Project),
    route(Method::Post, BRANCH_SET_DEFAULT, "setDefaultProjectBranch", Access::Project),
    route(Method::Post, BRANCH_RESTORE, "restoreProjectBranch", Access::Project),
    route(Method::Post, BRANCH_FINALIZE_RESTORE, "finalizeRestoreBranch", Access::Project),
    route(Method::Get, BRANCH_SCHEMA, "getProjectBranchSchema", Access::Project),
    route(Method::Get, BRANCH_COMPARE_SCHEMA, "getProjectBranchSchemaComparison", Access::Project),
    route(Method::Get, BRANCH_BACKUP_SCHEDULE, "getSnapshotSchedule", Access::Project),
    route(Method::Put, BRANCH_BACKUP_SCHEDULE, "setSnapshotSchedule", Access::Project),
    route(Method::Post, BRANCH_SNAPSHOT, "createSnapshot", Access::Project),
    route(Method::Post, BRANCH_STORE, "storeProjectBranch", Access::Project),
    route(Method::Get, SNAPSHOTS, "listSnapshots", Access::Project),
    route(Method::Patch, SNAPSHOT, "updateSnapshot", Access::Project),
    route(Method::Delete, SNAPSHOT, "deleteSnapshot", Access::Project),
    route(Method::Post, SNAPSHOT_RESTORE, "restoreSnapshot", Access::Project),
    route(Method::Get, BRANCH_ENDPOINTS, "listProjectBranchEndpoints", Access::Project),
    route(Method::Get, ROLES, "listProjectBranchRoles", Access::Project),
    route(Method::Post, ROLES, "createProjectBranchRole", Access::Project),
    route(Method::Get, ROLE, "getProjectBranchRole", Access::Project),
    route(Method::Delete, ROLE, "deleteProjectBranchRole", Access::Project),
    route(Method::Get, ROLE_REVEAL, "getProjectBranchRolePassword", Access::Project),
    route(Method::Post, ROLE_RESET, "resetProjectBranchRolePassword", Access::Project),
    route(Method::Get, DATABASES, "listProjectBranchDatabases", Access::Project),
    route(Method::Post, DATABASES, "createProjectBranchDatabase", Access::Project),
    route(Method::Get, DATABASE, "getProjectBranchDatabase", Access::Project),
    route(Method::Patch, DATABASE, "updateProjectBranchDatabase", Access::Project),
    route(Method::Delete, DATABASE, "deleteProjectBranchDatabase", Access::Project),
    route(Method::Get, ENDPOINTS, "listProjectEndpoints", Access::Project),
    route(Method::Post, ENDPOINTS, "createProjectEndpoint", Access::Project),
    route(Method::Get, ENDPOINT, "getProjectEndpoint", Access::Project),
    route(Method::Patch, ENDPOINT, "updateProjectEndpoint", Access::Project),
    route(Method::Delete, ENDPOINT, "deleteProjectEndpoint", Access::Project),
    route(Method::Post, ENDPOINT_START, "startProjectEndpoint", Access::Project),
    route(Method::Post, ENDPOINT_SUSPEND, "suspendProjectEndpoint", Access::Project),
    route(Method::Post, ENDPOINT_PAUSE, "pauseProjectEndpoint", Access::Project),
    route(Method::Post, ENDPOINT_RESTART, "restartProjectEndpoint", Access::Project),
    route(Method::Post, ENDPOINT_EVICT, "evictProjectEndpoint", Access::Project),
    route(Method::Post, ENDPOINT_SET_ASIDE, "setAsideProjectEndpoint", Access::Project),
    route(Method::Get, ENDPOINT_EVENTS, "listProjectEndpointEvents", Access::Project),
    route(Method::Get, OPERATIONS, "listProjectOperations", Access::Project),
    route(Method::Get, OPERATION, "getProjectOperation", Access::Project),
    route(Method::Get, API_KEYS, "listApiKeys", Access::Organisation),
    route(Method::Post, API_KEYS, "createApiKey", Access::Organisation),
    route(Method::Delete, API_KEY, "revokeApiKey", Access::Organisation),
    route(Method::Get, AUDIT, "listAudit", Access::Organisation),
    route(Method::Get, AUTH, "getAuthDetails", Access::Caller),
    route(Method::Post, CONSOLE_LINK, "createConsoleLink", Access::Caller),
    route(Method::Get, CONSOLE_SESSIONS, "listConsoleSessions", Access::Caller),
    route(Method::Delete, CONSOLE_SESSION, "endConsoleSession", Access::Caller),
    route(Method::Get, REGIONS, "getActiveRegions", Access::Caller),
    route(Method::Get, CONSUMPTION_ACCOUNT, "getConsumptionHistoryPerAccount", Access::Organisation),
    route(Method::Get, CONSUMPTION_PROJECTS, "getConsumptionHistoryPerProject", Access::Listed),
    route(Method::Get, USAGE, "getUsage", Access::Listed),
    route(Method::Get, COST, "getCost", Access::Listed),
    route(Method::Post, COST_ESTIMATE, "estimateCost", Access::Caller),
    route(Method::Get, COST_SHEETS, "listPriceSheets", Access::Caller),
    route(Method::Get, OPENAPI, "getOpenApi", Access::Anybody),
    route(Method::Get, USER, "getCurrentUserInfo", Access::Caller),
    route(Method::Get, USER_ORGANIZATIONS, "getCurrentUserOrganizations", Access::Caller),
    route(Method::Get, STATUS, "getStatus", Access::Listed),
    route(Method::Get, STORAGE, "getStorage", Access::Organisation),
    route(Method::Post, STORAGE_CHECK, "checkStorage", Access::Organisation),
    route(Method::Post, STORAGE_COLLECT, "collectStorage", Access::Organisation),
    route(Method::Get, STATISTICS, "getStatistics", Access::Listed),
    route(Method::Get, STATISTICS_METRICS, "listStatisticsMetrics", Access::Caller),
    route(Method::Get, ALERTS, "listAlerts", Access::Listed),
    route(Method::Get, ALERT_RULES, "listAlertRules", Access::Organisation),
    route(Method::Post, ALERT_RULES, "createAlertRule", Access::Organisation),
    route(Method::Get, ALERT_RULE, "getAlertRule", Access::Organisation),
    route(Method::Patch, ALERT_RULE, "updateAlertRule", Access::Organisation),
    route(Method::Delete, ALERT_RULE, "deleteAlertRule", Access::Organisation),
    route(Method::Post, ALERT_RULE_TEST, "testAlertRule", Access::Organisation),
    route(Method::Get, ALERT_WEBHOOKS, "listAlertWebhooks", Access::Organisation),
    route(Method::Post, ALERT_WEBHOOKS, "createAlertWebhook", Access::Organisation),
    route(Method::Delete, ALERT_WEBHOOK, "deleteAlertWebhook", Access::Organisation),
    route(Method::Post, ALERT_WEBHOOK_TEST, "testAlertWebhook", Access::Organisation),
    route(Method::Get, POOLER, "getPooler", Access::Organisation),
    route(Method::Patch, POOLER, "updatePooler", Access::Organisation),
    route(Method::Post, POOLER_COMMAND, "runPoolerCommand", Access::Organisation),
];

/// The row of [`ALL`] for a method and a pattern.
#[must_use]
pub fn find(method: Method, pattern: &str) -> Option<&'static Route> {
    ALL.iter().find(|route| route.method == method && route.pattern == pattern)
}
