//! Much data: it arrives whole, and passes through the server without staying there.

use std::io::Write;

use dormouse_base::rand;
use dormouse_tests::Server;
use dormouse_tests::programs::psql;

/// How much more memory the server may use while data passes through, in KiB. One session needs a few
/// buffers of 32 KiB; the rest is the allocator's freedom.
const GROWTH: u64 = 24 << 10;

/// The most memory the server has ever used, in KiB.
pub(crate) fn peak(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn fifty_megabytes_in_and_out() {
    let server = Server::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let (source, back) = (dir.path().join("in"), dir.path().join("out"));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&source).unwrap());
    let noise: Vec<u8> =
        (0..500).flat_map(|_| rand::bytes::<1>()).map(|b| b'!' + b % 64).filter(|b| *b != b'\\').collect();
    let noise = String::from_utf8(noise).unwrap();
    let mut written = 0;
    for number in 0.. {
        let cut = number * 7 % noise.len();
        written += format!("{number}\t").len() + noise.len() + 1;
        writeln!(file, "{number}\t{}{}", &noise[cut..], &noise[..cut]).unwrap();
        if written > 50 << 20 {
            break;
        }
    }
    file.into_inner().unwrap().sync_all().unwrap();
    let password = server.password();
    for mode in ["require", "disable"] {
        let connection = server.conninfo(&format!("sslmode={mode}"));
        psql(&connection, &password, &["-c", "create unlogged table big(n int, noise text)"]).good();
        let before = peak(&server);
        let copy_in = format!("\\copy big from '{}'", source.display());
        psql(&connection, &password, &["-c", &copy_in]).good();
        let copy_out = format!("\\copy big to '{}'", back.display());
        psql(&connection, &password, &["-c", &copy_out, "-c", "drop table big"]).good();
        let same = std::process::Command::new("cmp").arg(&source).arg(&back).status().unwrap();
        assert!(same.success(), "{mode}: the same bytes come back");
        let grown = peak(&server).saturating_sub(before);
        assert!(grown < GROWTH, "{mode}: the server needed {grown} KiB more for it");
    }
    server.assert_clean_log(&[]);
}

#[test]
fn a_result_of_a_hundred_megabytes_streams() {
    let server = Server::start(&[]);
    let (password, connection) = (server.password(), server.conninfo(""));
    psql(&connection, &password, &["-c", "select 1"]).good();
    let before = peak(&server);
    let sql = "select n, repeat(chr(97 + n % 26), 10000) from generate_series(1, 10000) n";
    let out = psql(&connection, &password, &["-c", &format!("copy ({sql}) to stdout")]).good();
    for (index, line) in out.lines().enumerate() {
        let number = index + 1;
        let letter = char::from(b'a' + u8::try_from(number % 26).unwrap());
        let (n, text) = line.split_once('\t').unwrap();
        assert_eq!(n.parse::<usize>().unwrap(), number);
        assert!(text.len() == 10_000 && text.chars().all(|c| c == letter), "row {number}");
    }
    assert!(out.len() > 100_000_000 && out.lines().count() == 10_000, "{}", out.len());
    let grown = peak(&server).saturating_sub(before);
    assert!(grown < GROWTH, "the server needed {grown} KiB more for it");
}
