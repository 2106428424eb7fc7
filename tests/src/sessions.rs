//! Sessions whose end can be looked at: with which last words did the server close them?

use std::time::Duration;

use dormouse_runtime::task::Scope;
use tokio::sync::oneshot;
use tokio_postgres::{Client, Config, NoTls};

use crate::Server;

/// A session that is not closed within this time stays open.
const END_WITHIN: Duration = Duration::from_secs(30);

/// A session, and its end.
#[derive(Debug)]
pub struct Session {
    /// The session.
    pub client: Client,
    ended: oneshot::Receiver<Option<tokio_postgres::Error>>,
}

impl Session {
    /// Ends the session, and waits until the goodbye is sent. Dropping a client only begins that: what
    /// is sent later (a statement that is given up, for one) may find the database asleep and wake it.
    pub async fn close(self) {
        drop(self.client);
        let _error = tokio::time::timeout(END_WITHIN, self.ended).await.expect("the session stays open");
    }

    /// Waits for the server to close this session, and returns its last words.
    pub async fn last_words(self) -> tokio_postgres::error::DbError {
        let end = tokio::time::timeout(END_WITHIN, self.ended).await.expect("the session stays open");
        let error = end.unwrap().expect("closed without a word");
        error.as_db_error().unwrap_or_else(|| panic!("closed without a word: {error}")).clone()
    }
}

impl Server {
    /// Connects to the default project, keeping an eye on the end.
    pub async fn session(&self) -> Session {
        self.session_of(&self.config()).await.unwrap()
    }

    /// Connects without TLS, keeping an eye on the end.
    ///
    /// # Errors
    /// What the login was refused with.
    pub async fn session_of(&self, config: &Config) -> Result<Session, tokio_postgres::Error> {
        let (client, connection) = config.connect(NoTls).await?;
        let (sender, ended) = oneshot::channel();
        Scope::new().spawn("test-session", async move {
            let _unread = sender.send(connection.await.err());
        });
        Ok(Session { client, ended })
    }

    /// Connects without TLS.
    ///
    /// # Errors
    /// What the login was refused with.
    pub async fn connect_with(&self, config: &Config) -> Result<Client, tokio_postgres::Error> {
        Ok(self.session_of(config).await?.client)
    }

    /// Connects to the default project with this role and password, without TLS; returns the
    /// SQLSTATE and text of a refusal.
    pub async fn login(&self, role: &str, password: &str) -> Result<Client, (String, String)> {
        Ok(self.login_session(role, password).await?.client)
    }

    /// The same, keeping an eye on the end.
    pub async fn login_session(&self, role: &str, password: &str) -> Result<Session, (String, String)> {
        let mut config = self.config();
        config.user(role).password(password);
        self.session_of(&config).await.map_err(|error| match error.as_db_error() {
            Some(error) => (error.code().code().to_owned(), error.message().to_owned()),
            None => (String::new(), error.to_string()),
        })
    }
}
