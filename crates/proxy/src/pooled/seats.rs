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

/// Where each client of a pool sits. Its clients share one.
pub(super) type Row = Arc<[Seat; 3]>;

/// How many there may be at each seat of a row.
pub(super) fn limits(settings: &Settings) -> [u32; 3] {
    [settings.max_client_conn, settings.max_db_client_connections, settings.max_user_client_connections]
}

/// One client's seats; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seated {
    hall: Hall,
    at: Row,
}

impl Seated {
    /// Takes the seats of a client.
    pub(super) fn take(hall: &Hall, at: &Row, limits: [u32; 3]) -> Result<Self, ClientError> {
        hall.lock().enter(at, limits).map_err(|full| {
            let why = match full.key {
                Seat::All => Farewell::MaxClientConn,
                Seat::Database(..) => Farewell::MaxDbClientConnections,
                Seat::Role(..) => Farewell::MaxUserClientConnections,
            };
            why.client_error().with_detail(format!("The limit is {}.", full.limit))
        })?;
        Ok(Self { hall: Arc::clone(hall), at: Arc::clone(at) })
    }

    /// Takes them, however many there are.
    pub(super) fn take_another(hall: &Hall, at: &Row) -> Self {
        let _without_limits = hall.lock().enter(at, [0; 3]);
        Self { hall: Arc::clone(hall), at: Arc::clone(at) }
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.hall.lock().leave(&*self.at);
    }
}

impl PoolKey {
    /// Where its clients sit.
    pub(super) fn row(&self) -> Row {
        Arc::new([Seat::All, self.database_seat(), self.role_seat()])
    }

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
        let row = |role: &str| {
            let endpoint: EndpointId = "ep-quiet-oak-0123456789".parse().unwrap();
            let people = endpoint.clone();
            PoolKey { endpoint, database: "app".to_owned(), role: role.to_owned(), people }.row()
        };
        let mut settings = Settings::default();
        settings.set("max_client_conn", "3").unwrap();
        settings.set("max_db_client_connections", "2").unwrap();
        settings.set("max_user_client_connections", "1").unwrap();
        let hall = Hall::default();
        let take = |role: &str| Seated::take(&hall, &row(role), limits(&settings));
        let anna = take("anna").unwrap();
        let told = |role: &str| take(role).unwrap_err().to_string();
        assert!(told("anna").contains("53300") && told("anna").contains("max_user_client_connections"));
        let _ben = take("ben").unwrap();
        assert!(told("cleo").contains("max_db_client_connections"));
        drop(anna);
        take("anna").unwrap();
    }
}
