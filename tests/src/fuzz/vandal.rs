//! Clients that do not speak the protocol, one after the other. The players must not notice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::{Pooler, Tally};
use crate::pooled::PASSWORD;
use crate::say::Say;
use crate::seed::Seed;
use crate::wire::Wire;

/// Vandals at the same time.
const GANG: u64 = 3;

/// One that was not thrown out leaves after this.
const PATIENCE: Duration = Duration::from_millis(150);

/// Until it is over.
pub(super) async fn rage(pooler: &Pooler, seed: Seed, over: &AtomicBool, tally: &Tally) {
    let gang = (0..GANG).map(|number| {
        let mut seed = seed.of(&format!("{number}"));
        async move {
            while !over.load(Ordering::Relaxed) {
                let Ok(mut wire) = Wire::login(
                    pooler.port(),
                    PASSWORD,
                    &[("user", "postgres"), ("database", "postgres"), ("pool_mode", "transaction")],
                )
                .await
                else {
                    // In bad weather there may be no backend for a first greeting.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                one(&mut wire, &mut seed).await;
                tally.vandals.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    futures_util::future::join_all(gang).await;
}

async fn one(wire: &mut Wire, seed: &mut Seed) {
    for _ in 0..seed.between(1, 4) {
        let bytes = nonsense(seed);
        let cut = usize::try_from(seed.below(bytes.len() as u64 + 1)).unwrap();
        let _closed = wire.write.write_all(&bytes[..cut]).await;
        if seed.percent(50) {
            tokio::time::sleep(Duration::from_millis(seed.below(4))).await;
        }
        if seed.percent(90) {
            let _closed = wire.write.write_all(&bytes[cut..]).await;
        }
    }
    // Whatever it is told, or nothing.
    let _told = tokio::time::timeout(PATIENCE, async { while wire.read.next().await.is_some() {} }).await;
}

fn noise(seed: &mut Seed, most: u64) -> Vec<u8> {
    (0..seed.below(most)).map(|_| seed.next().to_be_bytes()[0]).collect()
}

fn nonsense(seed: &mut Seed) -> Vec<u8> {
    let good = Say::new()
        .parse("s1", "select 'vandal' || $1::text")
        .describe_statement("s1")
        .bind("p1", "s1", &["x"])
        .execute("p1", 0)
        .close_portal("p1")
        .query("begin; select 'vandal'")
        .query("copy (select 'vandal') to stdout")
        .sync();
    match seed.below(13) {
        0 => noise(seed, 200),
        // A message with any tag, whatever its length says.
        1 => {
            let body = noise(seed, 100);
            let mut bytes = vec![*seed.one_of(b"QPBDCEHSFdcfXpRZAN\0\xff")];
            let len =
                seed.weighted(&[(3, body.len() as u64 + 4), (1, 0), (1, 3), (1, 1 << 31), (1, 0x7fff_ffff)]);
            bytes.extend_from_slice(&u32::try_from(len).unwrap().to_be_bytes());
            bytes.extend_from_slice(&body);
            bytes
        }
        // One bit of a good exchange is wrong.
        2 | 3 => {
            let mut bytes = good.0;
            for _ in 0..seed.between(1, 3) {
                let place = usize::try_from(seed.below(bytes.len() as u64)).unwrap();
                bytes[place] ^= 1 << seed.below(8);
            }
            bytes
        }
        // Something is missing in the middle of it.
        4 => {
            let mut bytes = good.0;
            let from = usize::try_from(seed.below(bytes.len() as u64)).unwrap();
            let to = (from + usize::try_from(seed.below(30)).unwrap()).min(bytes.len());
            bytes.drain(from..to);
            bytes
        }
        5 => (0..seed.between(1, 3000)).fold(Say::new(), |say, _| say.sync()).0,
        6 => (0..seed.between(1, 3000)).fold(Say::new(), |say, _| say.flush()).0,
        7 => {
            let name = "n".repeat(usize::try_from(seed.between(60_000, 70_000)).unwrap());
            Say::new().parse(&name, "select 1").bind(&name, &name, &[]).execute(&name, 0).sync().0
        }
        8 => Say::new().query("begin").terminate().query("select 'after goodbye'").0,
        9 => {
            let many = vec!["v"; 65_535];
            Say::new().parse("", "select 1").bind("", "", &many).execute("", 0).sync().0
        }
        10 => Say::new().copy_data("x").copy_done().copy_fail("y").copy_done().sync().0,
        11 => Say::new().message(b'F', &noise(seed, 60)).0,
        // The beginning of something huge.
        _ => {
            let mut bytes = vec![*seed.one_of(b"QPBdF")];
            bytes
                .extend_from_slice(&u32::try_from(seed.between(1 << 20, 0x7fff_ffff)).unwrap().to_be_bytes());
            bytes.extend_from_slice(&noise(seed, 2000));
            bytes
        }
    }
}
