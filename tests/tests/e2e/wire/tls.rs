//! Encryption: the certificate, channel binding, TLS without asking first.

use std::io::Write;
use std::process::{Command, Stdio};

use dormouse_tests::Server;
use dormouse_tests::programs::{psql, python};
use dormouse_tests::raw::{PROTOCOL_3_0, startup};

#[test]
fn encryption() {
    let server = Server::start(&[]);
    the_certificate_names_this_server(&server);
    channel_binding_can_be_required(&server);
    tls_without_asking_first(&server);
}

fn the_certificate_names_this_server(server: &Server) {
    let (password, certificate) = (server.password(), server.certificate());
    let root = format!("sslmode=verify-full sslrootcert={}", certificate.display());
    let endpoint = server.default_project().endpoint;
    let select = ["-c", "select 'in'"];
    for host in ["localhost".to_owned(), "127.0.0.1".to_owned(), format!("{endpoint}.localhost")] {
        let said = psql(&server.conninfo(&format!("host={host} {root}")), &password, &select);
        assert_eq!(said.good(), "in", "{host}");
    }
    let error = psql(&server.conninfo(&format!("host=elsewhere.example {root}")), &password, &select).bad();
    assert!(error.contains("does not match host name"), "{error}");
    let key = certificate.with_extension("key");
    let mode = std::os::unix::fs::MetadataExt::mode(&key.metadata().unwrap());
    assert_eq!(mode & 0o077, 0, "only the server reads its key");
}

fn channel_binding_can_be_required(server: &Server) {
    let password = server.password();
    // libpq succeeds only when SCRAM-SHA-256-PLUS was offered, chosen and bound to this certificate.
    let said = psql(&server.conninfo("channel_binding=require"), &password, &["-c", "select 'bound'"]);
    assert_eq!(said.good(), "bound");
    let said = psql(&server.conninfo("channel_binding=disable"), &password, &["-c", "select 'free'"]);
    assert_eq!(said.good(), "free");
    let error = psql(&server.conninfo("channel_binding=require"), "wrong", &[]).bad();
    assert!(error.contains("password authentication failed") || error.contains("channel binding"), "{error}");
    let tls12 = "channel_binding=require ssl_max_protocol_version=TLSv1.2";
    assert_eq!(psql(&server.conninfo(tls12), &password, &["-c", "select 'old'"]).good(), "old");
    let old = "ssl_min_protocol_version=TLSv1 ssl_max_protocol_version=TLSv1.1";
    psql(&server.conninfo(old), &password, &["-c", "select 1"]).bad();
    server.assert_clean_log(&[]);
}

const DIRECT: &str = "import os, psycopg
dsn = os.environ['DSN']
assert psycopg.pq.version() >= 170000, psycopg.pq.version()
for more in ('', ' channel_binding=require'):
    with psycopg.connect(dsn + ' sslnegotiation=direct' + more) as c:
        assert c.pgconn.ssl_in_use
        print(c.execute('select 42').fetchone()[0])
";

fn tls_without_asking_first(server: &Server) {
    let dsn = format!("{} password={}", server.conninfo("host=localhost"), server.password());
    assert_eq!(python(DIRECT, &[("DSN", &dsn)]).good(), "42\n42");

    // With the protocol's name the server answers; without it, or with another one, it says nothing.
    assert!(direct(server, &["-alpn", "postgresql"]).starts_with(b"R"));
    assert_eq!(direct(server, &[]), b"");
    assert_eq!(direct(server, &["-alpn", "http/1.1"]), b"");

    let port = server.pg_port().to_string();
    assert_eq!(python(IN_PIECES, &[("PORT", &port)]).good(), "postgresql\n'15' True");
    server.assert_clean_log(&[]);
}

/// A handshake whose first message comes in pieces, and one that begins as a server's: told so at once, by an alert.
const IN_PIECES: &str = r"import os, socket, ssl, time
def connected():
    s = socket.create_connection(('127.0.0.1', int(os.environ['PORT'])), timeout=20)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.set_alpn_protocols(['postgresql'])
received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
tls, s = context.wrap_bio(received, sent), connected()
while True:
    try:
        tls.do_handshake()
        break
    except ssl.SSLWantReadError:
        message = sent.read()
        for piece in (message[:1], message[1:7], message[7:-1], message[-1:]):
            s.sendall(piece)
            time.sleep(0.02)
        received.write(s.recv(65536))
print(tls.selected_alpn_protocol())
s, start, answer = connected(), time.monotonic(), b''
s.sendall(b'\x16\x03\x01\x00\x04\x02\x00\x00\x00')
while more := s.recv(100):
    answer += more
print(repr(answer[:1].hex()), time.monotonic() - start < 5)
";

/// The first bytes that the server sends to a startup packet over TLS that was not asked for.
fn direct(server: &Server, options: &[&str]) -> Vec<u8> {
    let mut child = Command::new("timeout")
        .args(["20", "openssl", "s_client", "-quiet", "-verify_quiet"])
        .args(["-connect", &format!("127.0.0.1:{}", server.pg_port())])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let packet = startup(PROTOCOL_3_0, &[("user", "nobody_here"), ("database", "app")]);
    let mut stdin = child.stdin.take().unwrap();
    // Refused at once, there may be nobody left to read it.
    let _gone = stdin.write_all(&packet);
    let mut first = [0; 1];
    let count = std::io::Read::read(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    drop(stdin);
    let _ended = child.kill();
    child.wait().unwrap();
    first[..count].to_vec()
}
