//! How many pooled clients there may be: in all, of a database, of a role.

use std::sync::Arc;

use dormouse_pgwire::ClientError;
use dormouse_pooler::config::Settings;
use dormouse_pooler::pool::{Farewell, Seats};
use parking_lot::Mutex;

use super::pools::PoolKey;
use dormouse_base::EndpointId;

/// What the number of clients is limited for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Seat {
    /// The whole pooler.
    All,
    /// A database of an endpoint.
    Database(EndpointId, String),
    /// A role of an endpoint.
    Role(EndpointId, String),
}

/// Who sits where.
pub(crate) type Hall = Arc<Mutex<Seats<Seat>>>;

/// One client's seats; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seated {
    hall: Hall,
    at: [Seat; 3],
}

impl Seated {
    /// Takes the seats of a client of this pool.
    pub(super) fn take(hall: &Hall, key: &PoolKey, settings: &Settings) -> Result<Self, ClientError> {
        let at = [Seat::All, key.database_seat(), key.role_seat()];
        let limits = [
            settings.max_client_conn,
            settings.max_db_client_connections,
            settings.max_user_client_connections,
        ];
        let wanted: Vec<_> = at.iter().cloned().zip(limits).collect();
        hall.lock().enter(&wanted).map_err(|full| {
            let why = match full.key {
                Seat::All => Farewell::MaxClientConn,
                Seat::Database(..) => Farewell::MaxDbClientConnections,
                Seat::Role(..) => Farewell::MaxUserClientConnections,
            };
            why.client_error().with_detail(format!("The limit is {}.", full.limit))
        })?;
        Ok(Self { hall: Arc::clone(hall), at })
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.hall.lock().leave(&self.at);
    }
}

impl PoolKey {
    pub(crate) fn database_seat(&self) -> Seat {
        Seat::Database(self.endpoint.clone(), self.database.clone())
    }

    pub(crate) fn role_seat(&self) -> Seat {
        Seat::Role(self.people.clone(), self.role.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_apart_and_seats_come_back() {
        let key = |role: &str| PoolKey {
            endpoint: "ep-quiet-oak-0123456789".parse().unwrap(),
            database: "app".to_owned(),
            role: role.to_owned(),
            people: "ep-quiet-oak-0123456789".parse().unwrap(),
        };
        let mut settings = Settings::default();
        settings.set("max_client_conn", "3").unwrap();
        settings.set("max_db_client_connections", "2").unwrap();
        settings.set("max_user_client_connections", "1").unwrap();
        let hall = Hall::default();
        let anna = Seated::take(&hall, &key("anna"), &settings).unwrap();
        let told = |key: &PoolKey| Seated::take(&hall, key, &settings).unwrap_err().to_string();
        assert!(
            told(&key("anna")).contains("53300")
                && told(&key("anna")).contains("max_user_client_connections")
        );
        let _ben = Seated::take(&hall, &key("ben"), &settings).unwrap();
        assert!(told(&key("cleo")).contains("max_db_client_connections"));
        drop(anna);
        Seated::take(&hall, &key("anna"), &settings).unwrap();
    }
}
