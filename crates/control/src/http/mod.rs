//! The public API, `/api/v2`: one file per resource, in the words of [`dormouse_api`].
//!
//! ```text
//!  request ──► envelope (request ID, errors as JSON) ──► time limit ──► who, and may they ──► not twice ──► handler
//! ```
//!
//! Handlers read the path, ask the metadata, and either answer or hand an operation to
//! [`submit`]. [`shape`] turns rows into replies; rules live in [`crate::model`]. A new route goes
//! into `dormouse_api::routes` and into [`router`]; a test compares the two.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{delete, get, patch, post};
use dormouse_api::body::MAX_REQUEST_BODY;
use dormouse_api::console::SESSION_PATH;
use dormouse_api::routes;

use crate::control::Control;

pub mod error;
pub mod envelope;
pub mod auth;
pub mod console;
pub mod console_sessions;
pub mod audit;
pub mod idempotent;
pub mod neonctl;
pub mod extract;
pub mod find;
pub mod shape;
pub mod submit;
pub mod projects;
pub mod import;
pub mod connection;
pub mod tokens;
pub mod branches;
pub mod branch_create;
pub mod branch_restore;
pub mod point;
pub mod schema;
pub mod roles;
pub mod databases;
pub mod endpoints;
pub mod wake;
pub mod operations;
pub mod api_keys;
pub mod users;
pub mod snapshots;
pub mod consumption;
pub mod usage;
mod used;
pub mod cost;
pub mod quotas;
pub mod openapi;
pub mod status;
pub mod storage;
pub mod storage_restore;
pub mod pooler;
pub mod statistics;
pub mod alerts;
pub mod alert_rules;
pub mod alert_webhooks;

/// All routes below [`routes::BASE`].
pub(crate) fn router(control: &Control) -> Router {
    let resources = Router::new()
        .route(routes::PROJECTS, get(projects::list).post(projects::create))
        .route(routes::PROJECTS_SHARED, get(projects::list_shared))
        .route(routes::PROJECTS_IMPORT, post(import::directory))
        .route(routes::PROJECT, get(projects::get).patch(projects::update).delete(projects::delete))
        .route(routes::PROJECT_RECOVER, post(projects::recover))
        .route(routes::PROJECT_WAKE, post(wake::project))
        .route(routes::PROJECT_AUDIT, get(audit::of_project))
        .route(routes::QUOTAS, get(quotas::get).put(quotas::set))
        .route(routes::CONNECTION_URI, get(connection::uri))
        .route(routes::AUTH_TOKEN, post(tokens::create))
        .route(routes::AUTH_ROTATE_KEY, post(tokens::rotate))
        .route(routes::BRANCHES, get(branches::list).post(branch_create::create))
        .route(routes::BRANCHES_COUNT, get(branches::count))
        .route(routes::BRANCH, get(branches::get).patch(branches::update).delete(branches::delete))
        .route(routes::BRANCH_SET_DEFAULT, post(branches::set_default))
        .route(routes::BRANCH_RESTORE, post(branch_restore::restore))
        .route(routes::BRANCH_SCHEMA, get(schema::get))
        .route(routes::BRANCH_COMPARE_SCHEMA, get(schema::compare))
        .route(routes::BRANCH_STORE, post(branches::store))
        .route(routes::BRANCH_SNAPSHOT, post(snapshots::create))
        .route(routes::BRANCH_FINALIZE_RESTORE, post(snapshots::finalize))
        .route(routes::BRANCH_BACKUP_SCHEDULE, get(snapshots::schedule).put(snapshots::set_schedule))
        .route(routes::SNAPSHOTS, get(snapshots::list))
        .route(routes::SNAPSHOT, patch(snapshots::update).delete(snapshots::delete))
        .route(routes::SNAPSHOT_RESTORE, post(snapshots::restore))
        .route(routes::BRANCH_ENDPOINTS, get(endpoints::list_of_branch))
        .route(routes::ROLES, get(roles::list).post(roles::create))
        .route(routes::ROLE, get(roles::get).delete(roles::delete))
        .route(routes::ROLE_REVEAL, get(roles::reveal))
        .route(routes::ROLE_RESET, post(roles::reset))
        .route(routes::DATABASES, get(databases::list).post(databases::create))
        .route(routes::DATABASE, get(databases::get).patch(databases::update).delete(databases::delete))
        .route(routes::ENDPOINTS, get(endpoints::list).post(endpoints::create))
        .route(routes::ENDPOINT, get(endpoints::get).patch(endpoints::update).delete(endpoints::delete))
        .route(routes::ENDPOINT_START, post(endpoints::start))
        .route(routes::ENDPOINT_SUSPEND, post(endpoints::suspend))
        .route(routes::ENDPOINT_PAUSE, post(endpoints::pause))
        .route(routes::ENDPOINT_RESTART, post(endpoints::restart))
        .route(routes::ENDPOINT_EVICT, post(endpoints::evict))
        .route(routes::ENDPOINT_SET_ASIDE, post(endpoints::set_aside))
        .route(routes::ENDPOINT_EVENTS, get(endpoints::events))
        .route(routes::OPERATIONS, get(operations::list))
        .route(routes::OPERATION, get(operations::get))
        .route(routes::API_KEYS, get(api_keys::list).post(api_keys::create))
        .route(routes::API_KEY, delete(api_keys::revoke))
        .route(routes::AUDIT, get(audit::list))
        .route(routes::AUTH, get(users::auth))
        .route(routes::CONSOLE_LINK, post(console::link))
        .route(routes::CONSOLE_SESSIONS, get(console_sessions::list))
        .route(routes::CONSOLE_SESSION, delete(console_sessions::end))
        .route(routes::REGIONS, get(users::regions))
        .route(routes::CONSUMPTION_ACCOUNT, get(consumption::account))
        .route(routes::CONSUMPTION_PROJECTS, get(consumption::projects))
        .route(routes::USAGE, get(usage::get))
        .route(routes::COST, get(cost::get))
        .route(routes::COST_ESTIMATE, post(cost::estimate))
        .route(routes::COST_SHEETS, get(cost::sheets))
        .route(routes::OPENAPI, get(openapi::document))
        .route(routes::USER, get(users::me))
        .route(routes::USER_ORGANIZATIONS, get(users::organizations))
        .route(routes::STATUS, get(status::status))
        .route(routes::STORAGE, get(storage::status))
        .route(routes::STORAGE_CHECK, post(storage::check))
        .route(routes::STORAGE_COLLECT, post(storage::collect))
        .route(routes::STATISTICS, get(statistics::get))
        .route(routes::STATISTICS_METRICS, get(statistics::metrics))
        .route(routes::ALERTS, get(alerts::list))
        .route(routes::ALERT_RULES, get(alert_rules::list).post(alert_rules::create))
        .route(
            routes::ALERT_RULE,
            get(alert_rules::get).patch(alert_rules::update).delete(alert_rules::delete),
        )
        .route(routes::ALERT_RULE_TEST, post(alert_rules::test))
        .route(routes::ALERT_WEBHOOKS, get(alert_webhooks::list).post(alert_webhooks::create))
        .route(routes::ALERT_WEBHOOK, delete(alert_webhooks::delete))
        .route(routes::ALERT_WEBHOOK_TEST, post(alert_webhooks::test))
        .route(routes::POOLER, get(pooler::get).patch(pooler::update))
        .route(routes::POOLER_COMMAND, post(pooler::command))
        .fallback(error::no_route);
    Router::new()
        .nest(routes::BASE, resources)
        .layer(middleware::from_fn_with_state(control.clone(), idempotent::once))
        .layer(middleware::from_fn_with_state(control.clone(), neonctl::hosts))
        .layer(middleware::from_fn_with_state(control.clone(), auth::admit))
        // Whoever signs in has shown nothing yet.
        .route(SESSION_PATH, get(console::show).post(console::sign_in).delete(console::sign_out))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BODY))
        .layer(middleware::from_fn_with_state(control.clone(), console::lend))
        .layer(middleware::from_fn(envelope::time_limit))
        .layer(middleware::from_fn_with_state(control.clone(), envelope::envelope))
        .with_state(control.clone())
}
