//! A client that is told why it must go while it still speaks.
//!
//! A socket that is closed with unread bytes in it answers with a reset, and that throws away what its peer has not
//! read yet: libpq would say *server closed the connection unexpectedly* instead of the reason. So what the client
//! still sends is read away, for a moment.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Session;
use crate::stream::ClientStream;

/// Who has not read its last words after this time does not get them.
const WITHIN: Duration = Duration::from_secs(5);

/// What is read away at once.
const CHUNK: usize = 16 * 1024;

impl Session {
    /// Its last words are sent: the socket stays until the client has had time to read them.
    pub(super) fn linger(&self) {
        if self.client.is_between() {
            return;
        }
        if let Some(stream) = self.stream.again() {
            self.pool.home().spawn(read_away(stream));
        }
    }
}

async fn read_away(mut stream: ClientStream) {
    let away = async {
        stream.shutdown().await?;
        let mut scrap = vec![0; CHUNK];
        while stream.read(&mut scrap).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    let _read_or_late = tokio::time::timeout(WITHIN, away).await;
}
