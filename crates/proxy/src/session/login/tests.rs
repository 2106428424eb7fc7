//! What a login makes of a password that carries its route.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::BytesMut;
use dormouse_pooler::config::{PoolMode, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::listen::ProxyConfig;
use crate::metrics::Metrics;
use crate::route::Pooling;
use crate::stream::{Carried, ClientStream};
use crate::wake::{Backend, Claim, TokenRefusal, Wake};
use crate::{Bound, Proxy};

/// Two endpoints, and one token that is good everywhere.
struct Town;

#[async_trait::async_trait]
impl Wake for Town {
    fn locate(&self, route: &Route) -> Result<EndpointId, ClientError> {
        let id = match route {
            Route::Endpoint(id) => id.as_str(),
            _ => "ep-first-one",
        };
        Ok(id.parse().unwrap())
    }

    fn admit(&self, _: &EndpointId, _: IpAddr) -> Result<(), ClientError> {
        Ok(())
    }

    fn expects_token(&self, _: &EndpointId) -> bool {
        true
    }

    fn check_token(&self, token: &[u8], _: Claim<'_>) -> Result<(), TokenRefusal> {
        if token == b"secret" { Ok(()) } else { Err(TokenRefusal::NotOne) }
    }

    async fn stored_password(&self, _: &EndpointId, _: &str) -> Result<Option<StoredRole>, ClientError> {
        Ok(Some(StoredRole { password: None, can_login: true, valid_until: None, oid: None }))
    }

    fn knows_key(&self, _: &str) -> bool {
        false
    }

    async fn keep_pool_settings(&self, _: &[(&'static str, Option<String>)]) -> Result<(), ClientError> {
        Ok(())
    }

    async fn acquire(&self, _: &EndpointId) -> Result<Backend, ClientError> {
        Err(ClientError::internal("not asked here"))
    }
}

fn proxy() -> Proxy {
    let config = ProxyConfig {
        listen: Vec::<Bound>::new(),
        tls: None,
        max_client_conn: 10,
        max_conn_rate: 0,
        shards: 1,
        secret: b"secret".to_vec(),
        pool: Settings::default(),
        upstream: None,
    };
    Proxy::prepare(config, Arc::new(Town), Metrics::default()).unwrap().0
}

/// Where a client gets that says `password` when it is asked, or unasked.
async fn led(options: Option<&str>, password: &str, unasked: bool) -> (String, Option<Pooling>) {
    let proxy = proxy();
    let mut startup = Startup::new("anna").unwrap();
    if let Some(options) = options {
        startup = startup.with("options", options).unwrap();
    }
    let (near, mut far) = tokio::io::duplex(1 << 10);
    let carried = Carried { stream: Box::new(near), tls: true, server_name: None };
    let mut client = Client::new(ClientStream::Carried(Box::new(carried)));
    let said = PasswordMessage { password: Secret::new(password.as_bytes().to_vec()) }.encode();
    let peer = "127.0.0.1:1".parse().unwrap();
    let shared = proxy.shared();
    let (logged_in, ()) = if unasked {
        client.unread = BytesMut::from(said.as_slice());
        (login(shared, &mut client, startup, peer).await, ())
    } else {
        tokio::join!(login(shared, &mut client, startup, peer), async {
            far.read_u8().await.unwrap();
            far.write_all(&said).await.unwrap();
        })
    };
    match logged_in {
        Ok(Login::Role(who)) => (who.endpoint.to_string(), who.mode),
        Ok(_) => panic!("not a role"),
        Err(end) => panic!("{end:?}"),
    }
}

#[tokio::test]
async fn a_password_that_names_a_pooled_endpoint_leads_to_the_pool() {
    for unasked in [true, false] {
        // Asked at once, as those are who come with a token.
        let options = (!unasked).then_some("auth=token");
        let second = || "ep-second-one".to_owned();
        let pooled = led(options, "endpoint=ep-second-one-pooler;secret", unasked).await;
        assert_eq!(pooled, (second(), Some(Pooling::AsSet)));
        let direct = led(options, "endpoint=ep-second-one;secret", unasked).await;
        assert_eq!(direct, (second(), None));
        // A mode that is asked for by name holds, as it does beside a host name.
        let options = [options.unwrap_or_default(), "pool_mode=session"].join(" ");
        let session = led(Some(&options), "endpoint=ep-second-one-pooler;secret", unasked).await;
        assert_eq!(session, (second(), Some(Pooling::Mode(PoolMode::Session))));
    }
}
