//! Joins control's API to the proxy's pooler.

use dormouse_api::pooler::{PoolerAnswer, PoolerSetting};
use dormouse_control::pooler::{Pooler, PoolerError};
use dormouse_pgwire::ClientError;
use dormouse_proxy::PoolSettings;
use dormouse_proxy::console::{Answer, ChangeError};

/// The proxy's pooler, as control asks it.
#[derive(Debug)]
pub struct Desk(pub dormouse_proxy::Pooler);

#[async_trait::async_trait]
impl Pooler for Desk {
    fn settings(&self) -> Vec<PoolerSetting> {
        let row = |it: dormouse_proxy::console::Setting| PoolerSetting {
            name: it.name.to_owned(),
            value: it.value,
            default: it.default.to_owned(),
            used: it.used,
        };
        self.0.settings().into_iter().map(row).collect()
    }

    async fn change(&self, changes: Vec<(String, Option<String>)>) -> Result<(), PoolerError> {
        self.0.change(&changes).await.map_err(|error| match error {
            ChangeError::Setting(error) => refused(error.client_error()),
            ChangeError::Keep(_) => PoolerError::NotKept,
        })
    }

    async fn run(&self, command: &str) -> Result<PoolerAnswer, PoolerError> {
        Ok(match self.0.run(command).await.map_err(refused)? {
            Answer::Table { columns, rows } => {
                PoolerAnswer { columns: columns.into_iter().map(str::to_owned).collect(), rows, notice: None }
            }
            Answer::Done(notice) => PoolerAnswer { notice, ..PoolerAnswer::default() },
        })
    }
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
