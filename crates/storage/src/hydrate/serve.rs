//! The front's requests: one connection per process of PostgreSQL, one request at a time on each.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dormouse_base::clock::Mono;
use dormouse_hydrate::layout::{
    FILL, REQUEST_LEN, Request, SOCKET_NAME, TRUNCATE, TRUNCATED, UNLINKED, reply,
};
use dormouse_runtime::failpoint::hit;
use futures_util::{StreamExt, TryStreamExt, stream};
use rustix::fs::{AtFlags, CWD, Uid};
use rustix::io::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::fill::{FillResult, Unfilled};
use super::filler::{Canary, Filler};
use super::truncate::{Cut, Went};

/// Processes of PostgreSQL that are connected at once; more than a compute may have.
const MAX_CONNECTIONS: usize = 4096;
/// Chunks of one request that are filled at once.
const MAX_AT_ONCE: usize = 32;

/// Makes the socket. One that an earlier server left is replaced.
pub(super) fn bind(filler: &Filler) -> io::Result<UnixListener> {
    let path = filler.place.runtime.join(SOCKET_NAME);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    if std::fs::symlink_metadata(&path)?.uid() != filler.place.uid {
        rustix::fs::chownat(
            CWD,
            &path,
            Some(Uid::from_raw(filler.place.uid)),
            None,
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
    }
    Ok(listener)
}

/// Accepts until the scope ends.
pub(super) async fn accept(filler: Arc<Filler>, listener: UnixListener) {
    let stopping = filler.scope.token();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "no connection of the front can be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let right_user = stream.peer_cred().is_ok_and(|peer| peer.uid() == filler.place.uid);
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        if !right_user {
            tracing::warn!(data = %filler.place.data.display(), "a stranger talked to the hydration socket");
            continue;
        }
        let served = Arc::clone(&filler);
        filler.scope.spawn("front", async move {
            let _place = place;
            let stopping = served.scope.token();
            let mut cut = None;
            tokio::select! {
                _ended = serve(&served, stream, &mut cut) => {}
                () = stopping.cancelled() => {}
            }
            if let Some(cut) = cut {
                served.end_cut(cut, Went::Unknown).await;
            }
        });
    }
}

async fn serve(filler: &Arc<Filler>, mut stream: UnixStream, cut: &mut Option<Cut>) -> io::Result<()> {
    let mut bytes = [0; REQUEST_LEN];
    loop {
        stream.read_exact(&mut bytes).await?;
        let request = Request::decode(&bytes);
        let result = answer(filler, request, cut).await;
        hit("hydrate.serve.before_reply").await?;
        stream.write_all(&reply(request.sequence, errno_of(result))).await?;
    }
}

fn errno_of(result: FillResult) -> u32 {
    let errno = match result {
        Ok(()) => return 0,
        Err(Unfilled::Full) => Errno::NOSPC,
        Err(Unfilled::Stopping) => Errno::AGAIN,
        Err(Unfilled::Gone | Unfilled::Failed) => Errno::IO,
    };
    errno.raw_os_error().cast_unsigned()
}

async fn answer(filler: &Arc<Filler>, request: Request, cut: &mut Option<Cut>) -> FillResult {
    if request.file == Canary::index(filler) {
        return match request.op {
            FILL => Canary::fill(filler).map_err(|error| {
                tracing::error!(%error, "the canary cannot be written");
                Unfilled::Failed
            }),
            _ => Err(Unfilled::Failed),
        };
    }
    let Some(sparse) = filler.files.get(request.file as usize) else { return Err(Unfilled::Failed) };
    match request.op {
        FILL => {
            let (first, last) = (u32::try_from(request.a), u32::try_from(request.b));
            match (first, last) {
                (Ok(first), Ok(last)) if first <= last && last < sparse.chunks => {
                    fault(filler, request.file, first, last).await
                }
                _ => Err(Unfilled::Failed),
            }
        }
        TRUNCATE => {
            // A front that forgot to report the last one.
            if let Some(left) = cut.take() {
                filler.end_cut(left, Went::Unknown).await;
            }
            *cut = filler.begin_cut(request.file, request.a).await?;
            Ok(())
        }
        TRUNCATED => {
            if let Some(made) = cut.take() {
                filler.end_cut(made, if request.a == 0 { Went::Well } else { Went::Wrong }).await;
            }
            Ok(())
        }
        UNLINKED => filler.check_gone(request.file).await,
        _ => Err(Unfilled::Failed),
    }
}

/// Counts a fault while it is served; the background steps aside.
struct Serving<'a>(&'a Filler);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if self.0.faults.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.quiet.notify_waiters();
        }
    }
}

async fn fault(filler: &Arc<Filler>, file: u32, first: u32, last: u32) -> FillResult {
    let began = Mono::now();
    filler.faults.fetch_add(1, Ordering::AcqRel);
    let serving = Serving(filler);
    filler.metrics.faults.inc();
    for chunk in (first..=last).filter(|chunk| !filler.files[file as usize].present(*chunk)) {
        filler.touch(file, chunk);
    }
    filler.read_ahead(file, first, last);
    let result = if first == last {
        filler.fill(file, first).await
    } else {
        let fills = stream::iter(first..=last).map(|chunk| Ok((filler, chunk)));
        fills.try_for_each_concurrent(MAX_AT_ONCE, |(filler, chunk)| filler.fill(file, chunk)).await
    };
    drop(serving);
    filler.metrics.wait.observe(began.elapsed().as_secs_f64());
    if result.is_err() {
        filler.metrics.fault_errors.inc();
    }
    result
}
