//! Frames in, bytes out, and the other way round, over a pipe in memory.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write_header(&mut bytes, Opcode::Binary, payload.len());
    bytes[0] = first;
    bytes[1] |= 0x80;
    bytes.extend_from_slice(&[7, 0, 9, 250]);
    bytes.extend(payload.iter().zip([7, 0, 9, 250].iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn pair() -> (DuplexStream, Stream<DuplexStream>) {
    let (client, server) = tokio::io::duplex(1 << 20);
    (client, Stream::new(server))
}

#[tokio::test]
async fn payloads_are_one_stream_however_they_are_cut() {
    let mut bytes = masked(0x02, b"start");
    bytes.extend(masked(0x80, b"up"));
    bytes.extend(masked(0x89, b"are you there"));
    bytes.extend(masked(0x82, b""));
    bytes.extend(masked(0x82, &[b'x'; 70_000]));
    bytes.extend(masked(0x88, &[3, 232]));
    for step in [1, 3, 1000, 200_000] {
        let (mut client, mut stream) = pair();
        let (bytes, reading) = (bytes.clone(), async {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            all
        });
        let writing = async {
            for piece in bytes.chunks(step) {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (all, ()) = tokio::join!(reading, writing);
        assert_eq!(&all[..7], b"startup");
        assert_eq!(all.len(), 70_007);
        let mut answers = [0; 19];
        client.read_exact(&mut answers).await.unwrap();
        assert_eq!(&answers, b"\x8a\x0dare you there\x88\x02\x03\xe8", "a pong and a close");
    }
}

#[tokio::test]
async fn text_and_nonsense_end_it() {
    for (bytes, status) in [(masked(0x81, b"select 1"), 1003_u16), (b"\x82\x05hello".to_vec(), 1002)] {
        let (mut client, mut stream) = pair();
        client.write_all(&bytes).await.unwrap();
        assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0);
        let mut close = [0; 4];
        client.read_exact(&mut close).await.unwrap();
        assert_eq!(close[2..], status.to_be_bytes());
        assert!(stream.write(b"x").await.is_err(), "nothing follows a close");
    }
}

#[tokio::test]
async fn what_is_written_comes_in_binary_frames() {
    let (mut client, mut stream) = pair();
    stream.write_all(b"Z\0\0\0\x05I").await.unwrap();
    stream.write_all(&[b'd'; 100_000]).await.unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert!(all.starts_with(b"\x82\x06Z\0\0\0\x05I\x82\x7f"));
    assert!(all.ends_with(b"\x88\x02\x03\xe8"));
    assert_eq!(all.len(), 8 + 10 + MAX_PAYLOAD + 4 + (100_000 - MAX_PAYLOAD) + 4);
}

#[tokio::test]
async fn a_slow_reader_stops_the_writer() {
    let (client, server) = tokio::io::duplex(1000);
    let mut stream = Stream::new(server);
    let write = async {
        for _ in 0..100 {
            stream.write_all(&[0; 1000]).await.unwrap();
        }
    };
    let much = tokio::time::timeout(std::time::Duration::from_millis(20), write).await;
    assert!(much.is_err(), "nobody reads");
    assert!(stream.out.len() < 2 * MAX_PAYLOAD);
    drop(client);
}
