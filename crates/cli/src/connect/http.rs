//! Sending calls to the server and reading its replies, with limits on time and size.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use dormouse_api::client::{Call, Failure, MAX_REPLY_BODY};
use dormouse_api::routes::Method;
use serde::de::DeserializeOwned;
use url::{Host, Url};

use super::{Origin, Target};
use crate::error::Error;

/// Time to open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for one whole call. Long, because a reply may wait for a database to start or to stop.
const CALL_TIMEOUT: Duration = Duration::from_secs(180);

/// Time for a call that reads or tidies a whole store.
const LONG_CALL_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// Tries of a call while another operation holds the project (HTTP 423).
const LOCKED_TRIES: u32 = 20;

/// The pause between these tries.
const LOCKED_PAUSE: Duration = Duration::from_millis(500);

/// A server and the connections to it.
#[derive(Debug)]
pub(crate) struct Session {
    target: Target,
    http: reqwest::Client,
}

impl Session {
    /// Makes a session; nothing is sent yet.
    pub(crate) fn new(target: Target) -> Result<Self, Error> {
        // A second installation fails and changes nothing, which is what tests need.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("dormouse/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&target.api) {
            builder = builder.no_proxy();
        }
        if target.api.scheme() == "http" {
            // Otherwise a machine without CA certificates, such as a small container, could not even
            // talk to itself: they are loaded when the client is made.
            builder = builder.tls_certs_only([]);
        }
        let http = builder
            .build()
            .map_err(|error| Error::failed("cannot set up the HTTP client").because(root(&error)))?;
        Ok(Self { target, http })
    }

    /// The address of the server's console, with a code that signs in.
    pub(crate) fn console(&self, code: &str) -> String {
        let mut page = self.target.api.clone();
        page.set_path("/console/");
        page.set_query(None);
        page.set_fragment(Some(&format!("code={code}")));
        page.to_string()
    }

    /// Whether the server is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.target.origin, Origin::File { .. }) || is_loopback(&self.target.api)
    }

    /// The same for a call that looks at a whole store, which takes as long as it takes.
    pub(crate) async fn call_patiently<T: DeserializeOwned>(&self, call: Call<T>) -> Result<T, Error> {
        Ok(self.once(&call, LONG_CALL_TIMEOUT).await??)
    }

    /// Sends a call and waits for its reply. While the project is locked by another operation the
    /// call is tried again.
    pub(crate) async fn call<T: DeserializeOwned>(&self, call: Call<T>) -> Result<T, Error> {
        let mut tries = 1;
        loop {
            match self.once(&call, CALL_TIMEOUT).await? {
                Err(Failure::Refused { status: 423, .. }) if tries < LOCKED_TRIES => {
                    tries += 1;
                    tokio::time::sleep(LOCKED_PAUSE).await;
                }
                reply => return Ok(reply?),
            }
        }
    }

    async fn once<T: DeserializeOwned>(
        &self,
        call: &Call<T>,
        within: Duration,
    ) -> Result<Result<T, Failure>, Error> {
        let request = call.request();
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Patch => reqwest::Method::PATCH,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        let url = format!("{}{}", self.target.api, request.relative());
        let mut send = self.http.request(method, url).bearer_auth(self.target.key.expose()).timeout(within);
        if let Some(body) = &request.body {
            send = send.json(body);
        }
        let mut reply = send.send().await.map_err(|error| self.unsent(error, within))?;
        let status = reply.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = reply.chunk().await.map_err(|error| self.unsent(error, within))? {
            if body.len() + chunk.len() > MAX_REPLY_BODY {
                return Err(Error::failed(format!("the reply is larger than {MAX_REPLY_BODY} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(call.decode(status, &body))
    }

    /// What it means that a call got no reply, depending on how the server was found.
    fn unsent(&self, error: reqwest::Error, within: Duration) -> Error {
        let error = error.without_url();
        let api = &self.target.api;
        if error.is_timeout() && !error.is_connect() {
            return Error::unreachable(format!(
                "the server at {api} gave no reply within {} seconds",
                within.as_secs()
            ))
            .hint("The work may still go on: look at `dormouse operation list`.");
        }
        match &self.target.origin {
            Origin::File { data, pid } if !is_alive(*pid) => {
                Error::unreachable(format!("the server of {} (process {pid}) has ended", data.display()))
                    .hint(format!("Start it again with `dormouse up --data {}`.", data.display()))
            }
            Origin::File { pid, .. } => {
                Error::unreachable(format!("the server at {api} (process {pid}) does not answer"))
                    .hint("It may be starting or stopping: try again, then look at its log.")
                    .because(root(&error))
            }
            Origin::Environment => Error::unreachable(format!("no server answers at {api}"))
                .hint(format!("Check {} and that the server runs.", super::HOST_VARIABLE))
                .because(root(&error)),
        }
    }
}

/// The innermost cause: what is around it tells about the HTTP library, not about the network.
fn root(error: &reqwest::Error) -> io::Error {
    let mut inner: &dyn std::error::Error = error;
    while let Some(cause) = inner.source() {
        inner = cause;
    }
    io::Error::other(inner.to_string())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

/// A process that belongs to somebody else counts as alive: it may not be signalled, but it is there.
fn is_alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else {
        return false;
    };
    !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}
