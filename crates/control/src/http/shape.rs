//! Rows as replies.

use dormouse_api as api;
use dormouse_base::{BranchId, EndpointId, Secret};
use dormouse_compute::State;
use dormouse_compute::limits::Live;
use dormouse_compute::spec::Mode;

use super::error::Error;
use super::used;
use crate::control::Control;
use crate::db::branches;
use crate::db::usage::Month;
use crate::model::defaults;
use crate::model::record::{ApiKey, Branch, Database, Endpoint, Operation, Project, Role};
use crate::operation::phase::Phase;
use crate::pooler::ClientLoad;
use crate::vault::Sizes;

impl Control {
    /// A project as a reply.
    pub(super) fn show_project(
        &self,
        row: Project,
        default_branch: Option<BranchId>,
        month: &Month,
    ) -> api::Project {
        let pause = row.settings.pause_timeout_seconds;
        let used = used::of_project(&row, month);
        api::Project {
            id: row.id,
            name: row.name,
            pg_version: row.pg_version,
            region_id: api::project::REGION.to_owned(),
            platform_id: api::project::PLATFORM.to_owned(),
            provisioner: api::endpoint::PROVISIONER.to_owned(),
            creation_source: api::branch::CREATION_SOURCE.to_owned(),
            owner_id: api::user::LOGIN.to_owned(),
            created_at: row.created_at,
            updated_at: row.updated_at,
            store_passwords: true,
            proxy_host: self.foundation.config.address.proxy_host().to_owned(),
            history_retention_seconds: row
                .settings
                .history_retention_seconds
                .unwrap_or(defaults::HISTORY_RETENTION_SECONDS),
            default_endpoint_settings: api::project::EndpointDefaults {
                suspend_timeout_seconds: row.settings.suspend_timeout_seconds,
                autoscaling_limit_min_cu: row.settings.autoscaling_limit_min_cu.unwrap_or(defaults::MIN_CU),
                autoscaling_limit_max_cu: row.settings.autoscaling_limit_max_cu.unwrap_or(defaults::MAX_CU),
                pause_timeout_seconds: pause
                    .unwrap_or_else(|| self.foundation.config.timeouts.pause_seconds()),
            },
            settings: api::project::ProjectSettings {
                preload_libraries: api::project::PreloadLibraries {
                    enabled_libraries: row.settings.preload_libraries,
                },
                owner_is_superuser: row.settings.owner_is_superuser,
                quota: row.settings.quotas.in_neon_words(),
                allowed_ips: api::project::AllowedIps {
                    ips: row.settings.allowed_ips,
                    protected_branches_only: row.settings.allowed_ips_protected_branches_only,
                },
            },
            default_branch_id: default_branch,
            used,
        }
    }

    /// An endpoint as a reply, with what it is doing now.
    pub(super) fn show_endpoint(&self, row: Endpoint) -> api::Endpoint {
        let address = &self.foundation.config.address;
        let state = live_state(self.computes.state(&row.id));
        let (current_state, pending_state) = state.in_neon_words();
        let pause = row.pause_timeout_seconds;
        let live = self.computes.live(&row.id);
        api::Endpoint {
            host: address.host_of(&row.id, false),
            proxy_host: address.proxy_host().to_owned(),
            region_id: api::project::REGION.to_owned(),
            provisioner: api::endpoint::PROVISIONER.to_owned(),
            kind: match row.mode {
                Mode::ReadWrite => api::endpoint::EndpointType::ReadWrite,
                Mode::ReadOnly => api::endpoint::EndpointType::ReadOnly,
            },
            pinned_lsn: row.pinned_lsn,
            disabled: false,
            passwordless_access: false,
            creation_source: api::branch::CREATION_SOURCE.to_owned(),
            pooler_enabled: true,
            pooler_mode: api::endpoint::PoolerMode::Transaction,
            settings: api::endpoint::EndpointSettings { pg_settings: row.pg_settings },
            allowed_ips: row.allowed_ips,
            live: api::endpoint::EndpointLive {
                current_state,
                pending_state,
                state,
                pid: self.computes.pid(&row.id),
                last_active: row.seen.last_active,
                started_at: row.seen.started_at,
                suspended_at: row.seen.suspended_at,
                next_wake: row.next_wake,
                current_cu: live.map(|live| live.cu.as_f64()),
                load: live.map(|live| {
                    load(&live, self.pooler.get().map(|it| it.load(&row.id)).unwrap_or_default())
                }),
            },
            limits: api::endpoint::EndpointLimits {
                suspend_timeout_seconds: row.suspend_timeout_seconds,
                pause_timeout_seconds: pause
                    .unwrap_or_else(|| self.foundation.config.timeouts.pause_seconds()),
                autoscaling_limit_min_cu: row.autoscaling_limit_min_cu,
                autoscaling_limit_max_cu: row.autoscaling_limit_max_cu,
                keep_warm: row.warm.keep,
                prewarm: row.warm.prewarm,
            },
            created_at: row.created_at,
            updated_at: row.updated_at,
            id: row.id,
            project_id: row.project_id,
            branch_id: row.branch_id,
        }
    }
}

/// What a compute uses, as a reply.
fn load(live: &Live, clients: ClientLoad) -> api::endpoint::EndpointLoad {
    api::endpoint::EndpointLoad {
        cpu_cores: (live.cpu_cores * 1000.0).round() / 1000.0,
        memory_bytes: live.memory_bytes,
        memory_limit_bytes: live.memory_limit_bytes,
        connections: clients.connections,
        pool_waiting: clients.waiting,
        measured: live.measured,
    }
}

/// A compute's state in the API's words.
pub(super) fn live_state(state: State) -> api::LiveState {
    match state {
        State::Stopped => api::LiveState::Stopped,
        State::Starting => api::LiveState::Starting,
        State::Active => api::LiveState::Active,
        State::Paused => api::LiveState::Paused,
        State::Stopping => api::LiveState::Stopping,
    }
}

impl Control {
    /// A branch as a reply, without what only the store knows.
    pub(super) fn show_branch(&self, row: Branch) -> Result<api::Branch, Error> {
        let parent = match &row.parent {
            Some(parent) => self
                .foundation
                .db
                .read("find a parent", |db| branches::by_storage(db, &parent.storage_id))?
                .map(|branch| branch.id),
            None => None,
        };
        let used = self.used_by(&row)?;
        Ok(branch(row, parent, used))
    }

    /// A connection string with its parts.
    pub(super) fn connection(
        &self,
        endpoint: &EndpointId,
        role: &str,
        password: Secret<String>,
        database: &str,
    ) -> api::ConnectionUri {
        let address = &self.foundation.config.address;
        api::ConnectionUri {
            connection_uri: address.uri(endpoint, false, role, Some(password.expose()), database),
            connection_parameters: api::ConnectionParameters {
                database: database.to_owned(),
                password,
                role: role.to_owned(),
                host: address.host_of(endpoint, false),
                pooler_host: address.host_of(endpoint, true),
                port: address.port,
            },
        }
    }
}

/// A branch as a reply, when its parent's public ID and what it used are known.
pub(super) fn branch(row: Branch, parent: Option<BranchId>, used: api::used::Used) -> api::Branch {
    use api::branch::BranchState;
    let current_state = match (row.ready, row.resetting) {
        (false, _) => BranchState::Init,
        (true, true) => BranchState::Resetting,
        (true, false) => BranchState::Ready,
    };
    api::Branch {
        id: row.id,
        project_id: row.project_id,
        name: row.name,
        current_state,
        pending_state: (current_state != BranchState::Ready).then_some(BranchState::Ready),
        parent_id: parent,
        parent_lsn: row.parent.as_ref().map(|parent| parent.lsn),
        parent_timestamp: row.parent.as_ref().and_then(|parent| parent.at),
        default: row.is_default,
        protected: row.protected,
        primary: row.is_default,
        created_at: row.created_at,
        updated_at: row.updated_at,
        creation_source: api::branch::CREATION_SOURCE.to_owned(),
        expires_at: row.expires_at,
        ttl_interval_seconds: row.ttl_seconds,
        past: api::branch::BranchPast {
            state_changed_at: row.last_reset_at.unwrap_or(row.created_at),
            last_reset_at: row.last_reset_at,
            restored_from: row.restored_from,
        },
        used,
        sizes: api::branch::BranchSizes::default(),
        history: None,
    }
}

/// What a branch takes, as a reply.
pub(super) fn sizes(sizes: Sizes) -> api::branch::BranchSizes {
    api::branch::BranchSizes {
        logical_size: Some(sizes.logical),
        own_size: Some(sizes.own),
        history_size: Some(sizes.history),
    }
}

/// What a requested endpoint may do.
pub(super) fn mode(kind: api::endpoint::EndpointType) -> Mode {
    match kind {
        api::endpoint::EndpointType::ReadWrite => Mode::ReadWrite,
        api::endpoint::EndpointType::ReadOnly => Mode::ReadOnly,
    }
}

/// A role as a reply; `password` only where it was just made.
pub(super) fn role(row: Role, password: Option<Secret<String>>) -> api::Role {
    api::Role {
        branch_id: row.branch_id,
        name: row.name,
        password,
        protected: row.protected,
        created_at: row.created_at,
        updated_at: row.updated_at,
        no_login: !row.can_login,
    }
}

/// A database as a reply.
pub(super) fn database(row: Database) -> api::Database {
    api::Database {
        id: row.id,
        branch_id: row.branch_id,
        name: row.name,
        owner_name: row.owner,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

/// An operation as a reply.
pub(super) fn operation(row: Operation) -> api::Operation {
    use api::operation::OperationStatus;
    let took = row.updated_at.duration_since(row.created_at).as_millis();
    api::Operation {
        status: match row.phase {
            Phase::Doing if row.retry_at.is_some() => OperationStatus::Error,
            Phase::Doing | Phase::Undoing => OperationStatus::Running,
            Phase::Done => OperationStatus::Finished,
            Phase::Undone | Phase::Stuck => OperationStatus::Failed,
        },
        id: row.id,
        project_id: row.target.project_id,
        branch_id: row.target.branch_id,
        endpoint_id: row.target.endpoint_id,
        action: row.kind,
        error: row.error.map(|failure| failure.message),
        failures_count: row.failures,
        retry_at: row.retry_at,
        created_at: row.created_at,
        updated_at: row.updated_at,
        total_duration_ms: i64::try_from(took).unwrap_or(i64::MAX),
    }
}

/// An API key as a reply, without its secret.
pub(super) fn api_key(row: ApiKey) -> api::ApiKey {
    api::ApiKey {
        id: row.id,
        name: row.name,
        created_at: row.created_at,
        last_used_at: row.last_used_at,
        prefix: row.prefix,
        project_id: row.project_id,
        created_by: api::api_key::KeyMaker {
            id: api::user::LOGIN.to_owned(),
            name: row.created_by,
            image: String::new(),
        },
        last_used_from_addr: row.last_used_from,
    }
}
