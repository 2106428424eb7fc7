//! What each route takes and gives: the table behind [`super::document`]. A new route is a row here.

use schemars::{JsonSchema, Schema, SchemaGenerator};

#[allow(clippy::wildcard_imports, reason = "every resource is meant")]
use crate::*;

/// Makes the schema of a type.
pub(super) type Type = fn(&mut SchemaGenerator) -> Schema;

/// What a route takes and gives.
pub(super) struct Shape {
    /// For people.
    pub(super) summary: &'static str,
    /// The query.
    pub(super) query: Option<Type>,
    /// The JSON body.
    pub(super) body: Option<Type>,
    /// The status of a success.
    pub(super) status: u16,
    /// The reply.
    pub(super) reply: Type,
}

fn of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    schemas.subschema_for::<T>()
}

const fn reply(summary: &'static str, reply: Type) -> Shape {
    Shape { summary, query: None, body: None, status: 200, reply }
}

const fn made(summary: &'static str, reply: Type) -> Shape {
    Shape { summary, query: None, body: None, status: 201, reply }
}

impl Shape {
    const fn query(mut self, query: Type) -> Self {
        self.query = Some(query);
        self
    }

    const fn body(mut self, body: Type) -> Self {
        self.body = Some(body);
        self
    }
}

/// The row of a route, by its `operationId`.
pub(super) fn shape(id: &str) -> Option<Shape> {
    ALL.iter().find(|(of, _)| *of == id).map(|(_, shape)| shape())
}

/// A route by its `operationId`, and what goes in and out there.
type Row = (&'static str, fn() -> Shape);

#[rustfmt::skip]
const ALL: &[Row] = &[
    ("listProjects", || reply("List projects", of::<Projects>).query(of::<PageQuery>)),
    ("createProject", || made("Make a project with a branch, an endpoint, a role and a database", of::<CreatedProject>).body(of::<project::CreateProject>)),
    ("listSharedProjects", || reply("List projects that others share with the caller: always none", of::<Projects>)),
    ("importDirectory", || made("Make a project from a stopped data directory on the server's machine (extension)", of::<import::ImportedProject>).body(of::<import::ImportDirectory>)),
    ("getProject", || reply("Show a project", of::<project::ProjectReply>)),
    ("updateProject", || reply("Change a project", of::<project::ProjectChanged>).body(of::<project::UpdateProject>)),
    ("deleteProject", || reply("Remove a project with all its data", of::<project::ProjectReply>)),
    ("recoverProject", || reply("Bring a deleted project back: always refused, because nothing deleted is kept", of::<project::ProjectReply>)),
    ("wakeProject", || reply("Wake all endpoints of a project, and wait until they serve (extension)", of::<endpoint::ProjectWoken>)),
    ("listProjectAudit", || reply("List who changed what in a project (extension)", of::<Audit>).query(of::<PageQuery>)),
    ("getProjectQuotas", || reply("Show how much a project may use, and has used (extension)", of::<quota::Quotas>)),
    ("setProjectQuotas", || reply("Set how much a project may use (extension)", of::<quota::Quotas>).body(of::<quota::SetQuotas>)),
    ("getConnectionUri", || reply("Show a connection string with the password", of::<ConnectionUriReply>).query(of::<connection::ConnectionUriQuery>)),
    ("createLoginToken", || made("Make a login token, to be shown in the place of a password (extension)", of::<auth::TokenCreated>).body(of::<auth::CreateToken>)),
    ("rotateLoginKey", || reply("Make a new signing key: every login token ends (extension)", of::<auth::KeyRotated>)),
    ("listProjectBranches", || reply("List branches", of::<Branches>).query(of::<PageQuery>)),
    ("createProjectBranch", || made("Make a branch of another one, as it is now or as it was", of::<branch::CreatedBranch>).body(of::<branch::CreateBranch>)),
    ("countProjectBranches", || reply("Count branches", of::<branch::BranchesCount>).query(of::<branch::CountQuery>)),
    ("getProjectBranch", || reply("Show a branch, with what it takes and how far back it goes", of::<branch::BranchReply>)),
    ("updateProjectBranch", || reply("Change a branch", of::<branch::BranchChanged>).body(of::<branch::UpdateBranch>)),
    ("deleteProjectBranch", || reply("Remove a branch with all its data", of::<branch::BranchChanged>).query(of::<branch::DeleteBranchQuery>)),
    ("setDefaultProjectBranch", || reply("Make a branch the one that is meant when none is named", of::<branch::BranchChanged>)),
    ("restoreProjectBranch", || reply("Give a branch the data of another one, or of its own past", of::<branch::BranchChanged>).body(of::<branch::RestoreBranch>)),
    ("finalizeRestoreBranch", || reply("Put a restored snapshot in the place of the branch that it was restored for", of::<branch::BranchChanged>).body(of::<branch::FinalizeRestore>)),
    ("getProjectBranchSchema", || reply("Show the definitions of a database as SQL", of::<schema::SchemaReply>).query(of::<schema::SchemaQuery>)),
    ("getProjectBranchSchemaComparison", || reply("Show how the definitions of two branches differ", of::<schema::CompareReply>).query(of::<schema::CompareQuery>)),
    ("getSnapshotSchedule", || reply("Show when snapshots are taken by themselves: never", of::<snapshot::BackupSchedule>)),
    ("setSnapshotSchedule", || reply("Have snapshots taken by themselves: only the empty schedule is accepted", of::<snapshot::BackupSchedule>).body(of::<snapshot::BackupSchedule>)),
    ("createSnapshot", || reply("Keep the data of a branch as a snapshot", of::<snapshot::SnapshotChanged>).query(of::<snapshot::CreateSnapshotQuery>)),
    ("storeProjectBranch", || reply("Store what a branch has now, so that later restores are quick (extension)", of::<branch::BranchStored>)),
    ("listSnapshots", || reply("List snapshots", of::<Snapshots>)),
    ("updateSnapshot", || reply("Change a snapshot's name, or when it goes", of::<snapshot::SnapshotChanged>).body(of::<snapshot::UpdateSnapshot>)),
    ("deleteSnapshot", || reply("Remove a snapshot", of::<snapshot::SnapshotDeleted>)),
    ("restoreSnapshot", || reply("Make a branch with the data of a snapshot, or give it to an existing one", of::<snapshot::SnapshotRestored>).body(of::<snapshot::RestoreSnapshot>)),
    ("listProjectBranchEndpoints", || reply("List the endpoints of a branch", of::<Endpoints>)),
    ("listProjectBranchRoles", || reply("List roles", of::<Roles>)),
    ("createProjectBranchRole", || made("Make a role with a new password", of::<role::RoleChanged>).body(of::<role::CreateRole>)),
    ("getProjectBranchRole", || reply("Show a role", of::<role::RoleReply>)),
    ("deleteProjectBranchRole", || reply("Remove a role; what it owns goes to the branch's owner", of::<role::RoleChanged>)),
    ("getProjectBranchRolePassword", || reply("Show the password of a role", of::<role::RolePassword>)),
    ("resetProjectBranchRolePassword", || reply("Give a role a new password", of::<role::RoleChanged>)),
    ("listProjectBranchDatabases", || reply("List databases", of::<Databases>)),
    ("createProjectBranchDatabase", || made("Make a database", of::<database::DatabaseChanged>).body(of::<database::CreateDatabase>)),
    ("getProjectBranchDatabase", || reply("Show a database", of::<database::DatabaseReply>)),
    ("updateProjectBranchDatabase", || reply("Change a database's name or owner", of::<database::DatabaseChanged>).body(of::<database::UpdateDatabase>)),
    ("deleteProjectBranchDatabase", || reply("Remove a database", of::<database::DatabaseChanged>)),
    ("listProjectEndpoints", || reply("List the endpoints of a project", of::<Endpoints>)),
    ("createProjectEndpoint", || made("Give a branch an endpoint", of::<endpoint::EndpointChanged>).body(of::<endpoint::CreateEndpoint>)),
    ("getProjectEndpoint", || reply("Show an endpoint", of::<endpoint::EndpointReply>)),
    ("updateProjectEndpoint", || reply("Change an endpoint's size, timeouts and settings", of::<endpoint::EndpointChanged>).body(of::<endpoint::UpdateEndpoint>)),
    ("deleteProjectEndpoint", || reply("Remove an endpoint", of::<endpoint::EndpointChanged>)),
    ("startProjectEndpoint", || reply("Wake an endpoint, and wait until it serves", of::<endpoint::EndpointChanged>)),
    ("suspendProjectEndpoint", || reply("Stop an endpoint, and wait until it has", of::<endpoint::EndpointChanged>)),
    ("pauseProjectEndpoint", || reply("Freeze an endpoint (extension)", of::<endpoint::EndpointChanged>)),
    ("restartProjectEndpoint", || reply("Stop an endpoint and wake it", of::<endpoint::EndpointChanged>)),
    ("evictProjectEndpoint", || reply("Stop an endpoint and remove its local files; the store has everything (extension)", of::<endpoint::EndpointChanged>)),
    ("setAsideProjectEndpoint", || reply("Stop an endpoint and move its local files aside as they are; what the store lacks of them is not in the branch (extension)", of::<endpoint::EndpointChanged>)),
    ("listProjectEndpointEvents", || reply("List what happened to an endpoint (extension)", of::<Events>).query(of::<event::EventsQuery>)),
    ("listProjectOperations", || reply("List the operations of a project", of::<Operations>).query(of::<PageQuery>)),
    ("getProjectOperation", || reply("Show an operation", of::<operation::OperationReply>)),
    ("listApiKeys", || reply("List API keys, without the keys themselves", of::<Vec<ApiKey>>)),
    ("createApiKey", || made("Make an API key, for everything or for one project", of::<ApiKeyCreated>).body(of::<CreateApiKey>)),
    ("revokeApiKey", || reply("Revoke an API key; it stops working at once", of::<ApiKeyRevoked>)),
    ("listAudit", || reply("List who changed what on this server (extension)", of::<Audit>).query(of::<PageQuery>)),
    ("getAuthDetails", || reply("Show how the request proved who it comes from", of::<user::AuthDetails>)),
    ("createConsoleLink", || made("Make a code that signs a browser in once (extension)", of::<ConsoleLink>)),
    ("listConsoleSessions", || reply("List browsers that are signed in (extension)", of::<console::ConsoleSessions>)),
    ("endConsoleSession", || reply("Sign a browser out (extension)", of::<console::ConsoleSessionEnded>)),
    ("getActiveRegions", || reply("List regions: there is one", of::<user::Regions>)),
    ("getConsumptionHistoryPerAccount", || reply("Show what all projects used", of::<consumption::AccountConsumption>).query(of::<consumption::ConsumptionQuery>)),
    ("getConsumptionHistoryPerProject", || reply("Show what each project used", of::<consumption::ProjectsConsumption>).query(of::<consumption::ConsumptionQuery>)),
    ("getUsage", || reply("Show what was used, by project, branch and time (extension)", of::<usage::Report>).query(of::<usage::Query>)),
    ("getCost", || reply("Show what a month cost by each price sheet (extension)", of::<cost::Cost>).query(of::<cost::CostQuery>)),
    ("estimateCost", || reply("Show what a month would cost by each price sheet (extension)", of::<cost::Estimate>).body(of::<cost::EstimateRequest>)),
    ("listPriceSheets", || reply("List the price sheets (extension)", of::<cost::PriceSheets>)),
    ("getOpenApi", || reply("Show this document (extension)", of::<serde_json::Map<String, serde_json::Value>>)),
    ("getCurrentUserInfo", || reply("Show who the caller is", of::<User>)),
    ("getCurrentUserOrganizations", || reply("List the caller's organisations: always none", of::<Organizations>)),
    ("getStatus", || reply("Show the version and every endpoint's state (extension)", of::<Status>)),
    ("getStorage", || reply("Show where the store is, and how far each endpoint's data is in it (extension)", of::<storage::StorageStatus>)),
    ("checkStorage", || reply("Check that branches can be restored; no time limit (extension)", of::<storage::StorageChecked>).body(of::<storage::CheckStorage>)),
    ("collectStorage", || reply("Delete what nothing needs; no time limit (extension)", of::<storage::StorageCollected>).body(of::<storage::CollectStorage>)),
    ("getStatistics", || reply("Show what was measured, period by period (extension)", of::<statistics::Statistics>).query(of::<statistics::StatisticsQuery>)),
    ("listStatisticsMetrics", || reply("List what is measured (extension)", of::<statistics::MetricList>)),
    ("listAlerts", || reply("List what alerts say, and what changed (extension)", of::<alert::Alerts>).query(of::<alert::AlertsQuery>)),
    ("listAlertRules", || reply("List the rules of alerts (extension)", of::<alert::Rules>)),
    ("createAlertRule", || made("Make a rule of alerts (extension)", of::<alert::RuleReply>).body(of::<alert::CreateRule>)),
    ("getAlertRule", || reply("Show a rule of alerts (extension)", of::<alert::RuleReply>)),
    ("updateAlertRule", || reply("Change a rule of alerts (extension)", of::<alert::RuleReply>).body(of::<alert::UpdateRule>)),
    ("deleteAlertRule", || reply("Remove a rule of alerts; one of the server's own is as at the start again (extension)", of::<alert::RuleReply>)),
    ("testAlertRule", || reply("Show what a rule says now, and send a notice that is marked as a test (extension)", of::<alert::RuleTested>)),
    ("listAlertWebhooks", || reply("List who is told of alerts (extension)", of::<alert::Webhooks>)),
    ("createAlertWebhook", || made("Have alerts posted to a URL (extension)", of::<alert::WebhookCreated>).body(of::<alert::CreateWebhook>)),
    ("deleteAlertWebhook", || reply("Tell a URL no more (extension)", of::<alert::WebhookReply>)),
    ("testAlertWebhook", || reply("Post a notice that is marked as a test (extension)", of::<alert::WebhookTested>)),
    ("getPooler", || reply("Show the settings of the pooler (extension)", of::<pooler::Pooler>)),
    ("updatePooler", || reply("Change settings of the pooler (extension)", of::<pooler::Pooler>).body(of::<pooler::UpdatePooler>)),
    ("runPoolerCommand", || reply("Run a command of the pooler's console (extension)", of::<pooler::PoolerAnswer>).body(of::<pooler::PoolerCommand>)),
];
