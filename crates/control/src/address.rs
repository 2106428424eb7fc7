//! How clients reach an endpoint: host names and connection strings.

use dormouse_base::{EndpointId, Secret};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What `-pooler` host names end their first label with.
pub const POOLER: &str = "-pooler";

/// The port that is meant when none is named.
const USUAL_PORT: u16 = 5432;

/// Everything but RFC 3986's unreserved characters.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Where the proxy listens, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The domain below which every endpoint has a name (`ep-x.DOMAIN`); it must resolve to the
    /// proxy. Without one, all endpoints share [`Address::host`] and say who they are in `options`.
    pub domain: Option<String>,
    /// The proxy's own name or address, such as `127.0.0.1`.
    pub host: String,
    /// The proxy's PostgreSQL port.
    pub port: u16,
    /// Parameters of every connection string, such as `sslmode=require`.
    pub parameters: Vec<(String, String)>,
}

impl Address {
    /// The domain that host names end with, or the one host.
    #[must_use]
    pub fn proxy_host(&self) -> &str {
        self.domain.as_deref().unwrap_or(&self.host)
    }

    /// The host name of an endpoint.
    #[must_use]
    pub fn host_of(&self, endpoint: &EndpointId, pooled: bool) -> String {
        match &self.domain {
            Some(domain) => format!("{}.{domain}", label(endpoint, pooled)),
            None => self.host.clone(),
        }
    }

    /// What stands behind `postgresql://`, when role, password, database and further parameters are put in by a URL
    /// parser: host, port unless it is the usual one, and the endpoint where the host does not name it.
    #[must_use]
    pub fn authority_and_more(&self, endpoint: &EndpointId) -> String {
        let host = bracketed(self.host_of(endpoint, false));
        let port = if self.port == USUAL_PORT { String::new() } else { format!(":{}", self.port) };
        let named =
            if self.domain.is_none() { format!("?options=endpoint%3D{endpoint}") } else { String::new() };
        format!("{host}{port}{named}")
    }

    /// A whole connection string.
    #[must_use]
    pub fn uri(
        &self,
        endpoint: &EndpointId,
        pooled: bool,
        role: &str,
        password: Option<&str>,
        database: &str,
    ) -> Secret<String> {
        let quote = |text: &str| utf8_percent_encode(text, QUOTED).to_string();
        let password = password.map(|p| format!(":{}", quote(p))).unwrap_or_default();
        let mut parameters = self.parameters.clone();
        if self.domain.is_none() {
            parameters.push(("options".to_owned(), format!("endpoint={}", label(endpoint, pooled))));
        }
        let parameters: Vec<String> =
            parameters.iter().map(|(k, v)| format!("{}={}", quote(k), quote(v))).collect();
        let query = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
        let (host, port) = (self.host_of(endpoint, pooled), self.port);
        let host = bracketed(host);
        Secret::new(format!(
            "postgresql://{}{password}@{host}:{port}/{}{query}",
            quote(role),
            quote(database)
        ))
    }
}

/// An IPv6 address is written in brackets.
fn bracketed(host: String) -> String {
    if host.contains(':') { format!("[{host}]") } else { host }
}

fn label(endpoint: &EndpointId, pooled: bool) -> String {
    format!("{endpoint}{}", if pooled { POOLER } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_and_without_a_domain() {
        let endpoint: EndpointId = "ep-a-b-c".parse().unwrap();
        let mut address = Address {
            domain: Some("db.example".to_owned()),
            host: "127.0.0.1".to_owned(),
            port: 5455,
            parameters: vec![("sslmode".to_owned(), "require".to_owned())],
        };
        let uri = address.uri(&endpoint, true, "o wner", Some("p@/w"), "app");
        assert_eq!(
            uri.expose(),
            "postgresql://o%20wner:p%40%2Fw@ep-a-b-c-pooler.db.example:5455/app?sslmode=require"
        );
        address.domain = None;
        let uri = address.uri(&endpoint, false, "o", None, "app");
        assert_eq!(
            uri.expose(),
            "postgresql://o@127.0.0.1:5455/app?sslmode=require&options=endpoint%3Dep-a-b-c"
        );
    }

    #[test]
    fn what_a_url_parser_is_given() {
        let endpoint: EndpointId = "ep-a-b-c".parse().unwrap();
        let more = |domain: Option<&str>, host: &str, port| {
            let domain = domain.map(str::to_owned);
            Address { domain, host: host.to_owned(), port, parameters: Vec::new() }
                .authority_and_more(&endpoint)
        };
        assert_eq!(more(Some("db.example"), "x", 5432), "ep-a-b-c.db.example");
        assert_eq!(more(Some("db.example"), "x", 6000), "ep-a-b-c.db.example:6000");
        assert_eq!(more(None, "127.0.0.1", 5455), "127.0.0.1:5455?options=endpoint%3Dep-a-b-c");
        assert_eq!(more(None, "::1", 5432), "[::1]?options=endpoint%3Dep-a-b-c");
    }
}
