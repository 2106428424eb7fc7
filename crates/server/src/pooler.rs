//! Joins control's API to the proxy's pooler.

use std::sync::Arc;

use dormouse_api::pooler::{PoolerAnswer, PoolerLayer, PoolerSetting, UpdatePooler};
use dormouse_base::EndpointId;
use dormouse_compute::limits::Clients;
use dormouse_control::Control;
use dormouse_control::measure::Census;
use dormouse_control::pooler::{ClientLoad, Pooler, PoolerError};
use dormouse_pgwire::ClientError;
use dormouse_proxy::console::{Answer, ChangeError};
use dormouse_proxy::{PoolLayers, PoolPlace, PoolSettings};
use parking_lot::RwLock;

/// Settings of some pools: what the proxy asks for each of them.
pub(crate) type Layers = Arc<RwLock<PoolLayers>>;

/// The proxy's pooler, as control asks it.
#[derive(Debug)]
pub struct Desk {
    pooler: dormouse_proxy::Pooler,
    /// Keeps what is changed.
    control: Control,
    /// The door has them too.
    layers: Layers,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
}

impl Desk {
    pub(crate) fn new(pooler: dormouse_proxy::Pooler, control: Control, layers: Layers) -> Self {
        Self { pooler, control, layers, changing: tokio::sync::Mutex::default() }
    }

    async fn change_layer(&self, place: PoolPlace, wish: &UpdatePooler) -> Result<(), PoolerError> {
        let _one_at_a_time = self.changing.lock().await;
        let mut layers = self.layers.read().clone();
        let changes = wish.settings.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        layers.change(&place, changes).map_err(|error| refused(error.client_error()))?;
        self.control.keep_pool_layers(told(&layers)).await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot keep the pools' settings");
            PoolerError::NotKept
        })?;
        *self.layers.write() = layers;
        self.pooler.apply_layers().await;
        tracing::info!(?place, changes = ?wish.settings, "settings of some pools changed");
        Ok(())
    }
}

#[async_trait::async_trait]
impl Pooler for Desk {
    fn settings(&self) -> Vec<PoolerSetting> {
        let row = |it: dormouse_proxy::console::Setting| PoolerSetting {
            name: it.name.to_owned(),
            value: it.value,
            default: it.default.to_owned(),
            used: it.used,
        };
        self.pooler.settings().into_iter().map(row).collect()
    }

    fn layers(&self) -> Vec<PoolerLayer> {
        told(&self.layers.read())
    }

    fn census(&self) -> Vec<Census> {
        let of = |(endpoint, it): (_, dormouse_proxy::census::EndpointCensus)| Census {
            endpoint,
            clients: it.clients,
            backends: it.backends,
            waiting: it.waiting,
            logins: it.logins.milliseconds().collect(),
            waits: it.waits.milliseconds().collect(),
        };
        self.pooler.census().into_iter().map(of).collect()
    }

    fn load(&self, endpoint: &EndpointId) -> ClientLoad {
        let waiting = self.pooler.waiting(std::slice::from_ref(endpoint));
        ClientLoad {
            connections: u32::try_from(self.pooler.backends(endpoint)).unwrap_or(u32::MAX),
            waiting: waiting.first().copied().unwrap_or(0),
        }
    }

    async fn change(&self, wish: UpdatePooler) -> Result<(), PoolerError> {
        let place = PoolPlace {
            endpoint: wish.endpoint.clone(),
            database: wish.database.clone(),
            role: wish.role.clone(),
        };
        if !place.is_everywhere() {
            return self.change_layer(place, &wish).await;
        }
        let changes: Vec<_> = wish.settings.into_iter().collect();
        self.pooler.change(&changes).await.map_err(|error| match error {
            ChangeError::Setting(error) => refused(error.client_error()),
            ChangeError::Keep(_) => PoolerError::NotKept,
        })
    }

    async fn run(&self, command: &str) -> Result<PoolerAnswer, PoolerError> {
        Ok(match self.pooler.run(command).await.map_err(refused)? {
            Answer::Table { columns, rows } => {
                PoolerAnswer { columns: columns.into_iter().map(str::to_owned).collect(), rows, notice: None }
            }
            Answer::Done(notice) => PoolerAnswer { notice, ..PoolerAnswer::default() },
        })
    }
}

impl Clients for Desk {
    fn waiting(&self, endpoints: &[EndpointId]) -> Vec<u32> {
        self.pooler.waiting(endpoints)
    }
}

/// Layers as the API shows and the metadata keeps them.
fn told(layers: &PoolLayers) -> Vec<PoolerLayer> {
    let row = |(place, layer): (&PoolPlace, &dormouse_proxy::PoolLayer)| PoolerLayer {
        endpoint: place.endpoint.clone(),
        database: place.database.clone(),
        role: place.role.clone(),
        settings: layer.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    };
    layers.iter().map(row).collect()
}

/// The layers that were kept.
pub(crate) fn layers(kept: Vec<PoolerLayer>) -> PoolLayers {
    let mut layers = PoolLayers::default();
    for PoolerLayer { endpoint, database, role, settings } in kept {
        let place = PoolPlace { endpoint, database, role };
        for (name, value) in &settings {
            if let Err(error) = layers.change(&place, [(name.as_str(), Some(value.as_str()))]) {
                tracing::warn!(%error, "a kept setting of some pools is ignored");
            }
        }
    }
    layers
}

fn refused(error: ClientError) -> PoolerError {
    let message = match error.detail {
        Some(detail) => format!("{}: {}", error.message, detail.trim_end_matches('.')),
        None => error.message,
    };
    PoolerError::Refused { message, hint: error.hint }
}

/// The settings to start with: what was kept, and above it what the command line says.
pub(crate) fn settings<'a>(
    kept: impl IntoIterator<Item = (&'a String, &'a String)>,
    options: &[(String, String)],
) -> Result<PoolSettings, String> {
    let mut settings = PoolSettings::default();
    for (name, value) in kept {
        if let Err(error) = settings.set(name, value) {
            // Of a newer version, perhaps. No reason not to serve.
            tracing::warn!(%error, "a kept setting of the pooler is ignored");
        }
    }
    for (name, value) in options {
        settings.set(name, value).map_err(|error| error.to_string())?;
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn layers_come_back_as_they_were_kept_without_what_nobody_knows() {
        let settings = std::collections::BTreeMap::from([pair("default_pool_size", "7"), pair("gone", "1")]);
        let kept = PoolerLayer { role: Some("anna".to_owned()), settings, ..PoolerLayer::default() };
        let [again] = told(&layers(vec![kept.clone()])).try_into().unwrap();
        assert_eq!(again.role, kept.role);
        assert_eq!(again.settings.into_iter().collect::<Vec<_>>(), [pair("default_pool_size", "7")]);
    }

    #[test]
    fn options_win_over_what_was_kept() {
        let kept = std::collections::BTreeMap::from([
            pair("default_pool_size", "7"),
            pair("gone", "1"),
            pair("query_timeout", "5"),
        ]);
        let made = settings(&kept, &[pair("pool_size", "9")]).unwrap();
        assert_eq!(made.default_pool_size, 9);
        assert_eq!(made.get("query_timeout").as_deref(), Some("5"));
        assert!(settings(&kept, &[pair("nonsense", "9")]).unwrap_err().contains("nonsense"));
    }
}
