//! Every way to say which database is meant leads there, and nowhere else.
//!
//! A [`Town`] is a server with two projects that look alike: the same database, role and password.
//! Only a setting tells them apart, so that a wrong turn is seen and not refused by accident.

use dormouse_tests::programs::psql;
use dormouse_tests::{Project, Server};
use serde_json::json;

mod forms;
mod refusals;
mod tls_names;

/// The password of `app_owner` in both projects.
const PASSWORD: &str = "same;in$both=projects@x";

struct Town {
    server: Server,
    first: Project,
    second: Project,
}

impl Town {
    /// Both projects run when it is ready.
    async fn new() -> Self {
        let server = Server::start(&[]);
        let first = server.default_project();
        let second = server.create_project(&json!({
            "name": "second", "branch": { "name": "other", "database_name": "app" }
        }));
        for (project, place) in [(&first, "first"), (&second, "second")] {
            let client = server.try_connect(&project.dsn).await.unwrap();
            let sql = format!(
                "create table place as select '{place}' as name; grant select on place to public; alter role app_owner password '{PASSWORD}'"
            );
            client.batch_execute(&sql).await.unwrap();
        }
        Self { server, first, second }
    }

    /// A psql login over TLS with host name `host`; tells the place.
    fn psql(&self, host: &str, database: &str, rest: &str, password: &str) -> dormouse_tests::programs::Said {
        let port = self.server.pg_port();
        let connection = format!(
            "host={host} hostaddr=127.0.0.1 port={port} user=app_owner dbname='{database}' sslmode=require {rest}"
        );
        psql(&connection, password, &["-c", "select name from place"])
    }

    /// A login without TLS; `url_end` is what follows the port.
    async fn plain(&self, url_end: &str) -> Result<String, tokio_postgres::Error> {
        let port = self.server.pg_port();
        let mut config: tokio_postgres::Config =
            format!("postgresql://app_owner@127.0.0.1:{port}/{url_end}").parse()?;
        config.password(PASSWORD);
        let client = self.server.connect_with(&config).await?;
        Ok(client.query_one("select name from place", &[]).await?.get(0))
    }
}
