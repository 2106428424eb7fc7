//! What a server needs that belongs to nobody: PostgreSQL installations, the object store, TLS. It can be prepared
//! while another server still runs on the data directory, so that a takeover fails before anything has changed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use dormouse_compute::fleet::BOOTS_PER_CORE;
use dormouse_compute::limits::Controllers;
use dormouse_compute::metrics::Metrics as ComputeMetrics;
use dormouse_compute::postgres::discover::{self, Installations};
use dormouse_compute::postgres::view::View;
use dormouse_compute::sandbox::cgroup::Cgroups;
use dormouse_compute::sandbox::identity::Identities;
use dormouse_compute::{Fleet, FleetConfig, HostChange};
use dormouse_control::db::belongs;
use dormouse_control::{Address, Config as ControlConfig, Foundation, StartError, Timeouts};
use dormouse_pricing::Pricing;
use dormouse_proxy::tls::Tls;
use dormouse_runtime::task::{self, Scope};
use dormouse_storage::Store;
use dormouse_storage::object::StoreOptions;

use crate::config::ServerConfig;
use crate::error::{ServerError, system};
use crate::place::Place;
use crate::pooler;
use crate::prices;

/// See the module.
pub(crate) struct Prepared {
    installations: Installations,
    identities: Identities,
    cgroups: Cgroups,
    controllers: Controllers,
    views: BTreeMap<u16, View>,
    pub(crate) store: Store,
    pub(crate) tls: Tls,
    pricing: Arc<Pricing>,
}

impl Prepared {
    /// Finds and opens all of it.
    pub(crate) async fn make(config: &ServerConfig, place: &Place) -> Result<Self, ServerError> {
        let named = config.pg_dir.clone();
        let installations = task::blocking(move || Installations::discover(&named)).await;
        if installations.newest().is_none() {
            return Err(ServerError::NoPostgres);
        }
        let identities =
            Identities::detect(config.compute_user.as_deref(), &place.data).map_err(ServerError::Identity)?;
        place.check_passable(identities).map_err(ServerError::Place)?;
        let cgroups =
            Cgroups::detect(config.cgroup, &place.instance()).map_err(system("use the wanted cgroups"))?;
        let controllers = Controllers::detect(config.cgroup, &cgroups, &place.instance());
        match &controllers {
            Controllers::Missing(why) => {
                tracing::warn!(why, "computes are not limited: metering goes by configured sizes");
            }
            found => tracing::info!(by = found.name(), "computes are limited"),
        }
        let (found, cache) = (installations.clone(), place.data.join("postgres"));
        let views = task::blocking(move || prepare_views(&found, &cache)).await?;
        let store = open_store(config, place).await?;
        let (dir, domain, clients) =
            (place.data.join("tls"), config.domain.clone(), config.client_certs.clone());
        let tls = task::blocking(move || Tls::load_or_make(&dir, &domain, clients));
        let tls = tls.await.map_err(ServerError::Tls)?;
        // What the metadata adds to them is known later, and is believed.
        pooler::settings([], &config.pool_settings).map_err(ServerError::Pooler)?;
        let (named, data) = (config.price_sheets.clone(), place.data.clone());
        let pricing =
            task::blocking(move || prices::load(&named, &data)).await.map_err(ServerError::Prices)?;
        let pricing = Arc::new(pricing);
        Ok(Self { installations, identities, cgroups, controllers, views, store, tls, pricing })
    }

    /// Opens the metadata. Only the server that holds the lock may.
    pub(crate) async fn foundation(
        &self,
        config: &ServerConfig,
        place: &Place,
    ) -> Result<Foundation, ServerError> {
        let control = ControlConfig {
            data: place.data.clone(),
            address: address(config),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            timeouts: Timeouts { idle: config.idle_timeout, pause: config.pause_timeout },
            installations: self.installations.clone(),
            identities: self.identities,
            store: self.store.clone(),
            run_root: place.run_root(),
            ways: config.ways,
            oidc: config.oidc.clone(),
            pricing: Arc::clone(&self.pricing),
        };
        task::blocking(move || Foundation::open(control)).await.map_err(ServerError::Control)
    }

    /// The computes, of which none is started or looked at yet.
    pub(crate) fn fleet(
        &self,
        place: &Place,
        host: &Arc<HostChange>,
        counters: ComputeMetrics,
    ) -> Result<Fleet, ServerError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let fleet = FleetConfig {
            computes: place.data.join("computes"),
            run_root: place.run_root(),
            views: self.views.clone(),
            identities: self.identities,
            cgroups: self.cgroups.clone(),
            controllers: self.controllers.clone(),
            boot_slots: cores * BOOTS_PER_CORE,
        };
        let host = Arc::clone(host);
        Fleet::new(fleet, host, counters, Scope::new()).map_err(system("prepare the computes' directories"))
    }
}

fn prepare_views(installations: &Installations, cache: &Path) -> Result<BTreeMap<u16, View>, ServerError> {
    std::fs::create_dir_all(cache).map_err(system("create the directory of PostgreSQL views"))?;
    let mut views = BTreeMap::new();
    for installation in installations.iter() {
        let view = View::prepare(installation, cache).map_err(ServerError::View)?;
        tracing::info!(version = installation.version, bin = %installation.bin.display(), "PostgreSQL found");
        views.insert(installation.major, view);
    }
    tracing::debug!(home = %discover::own_home().display(), "Dormouse's own installations");
    Ok(views)
}

/// The object store; without a wish a directory of the server's own. Metadata that is there already belongs to one.
async fn open_store(config: &ServerConfig, place: &Place) -> Result<Store, ServerError> {
    let own = || format!("file://{}", place.data.join("store").display());
    let url = config.store.clone().unwrap_or_else(own);
    let data = place.data.clone();
    let expected = task::blocking(move || belongs::expected(&data)).await;
    let expected = expected.map_err(|error| ServerError::Control(StartError::Open(error)))?;
    let options = StoreOptions::from_environment().map_err(ServerError::Store)?;
    let options = StoreOptions { expected, ..options };
    Store::open(&url, options).await.map_err(ServerError::Store)
}

/// How clients reach the proxy. Names below `localhost` do not resolve everywhere, so there the
/// address is used and the endpoint is named in `options`.
pub(crate) fn address(config: &ServerConfig) -> Address {
    let local = config.pg_listen.ip().is_loopback();
    let require = ("sslmode".to_owned(), "require".to_owned());
    Address {
        domain: (config.domain != "localhost").then(|| config.domain.clone()),
        host: config.pg_listen.ip().to_string(),
        port: config.pg_listen.port(),
        parameters: if local { Vec::new() } else { vec![require] },
    }
}
