//! The wrapped operations. One that the product does not use passes through unharmed.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dormouse_base::clock;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::{Dice, Fault, FaultHandle, FaultPlan, FaultStore, Request};

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with faults", self.inner)
    }
}

fn injected(what: &str) -> Error {
    Error::Generic { store: "fault", source: format!("injected: {what}").into() }
}

impl FaultHandle {
    /// The latency, and perhaps an error.
    async fn enter(&self, request: Request) -> Result<(Dice, FaultPlan)> {
        let (mut dice, plan) = self.begin(request);
        if !plan.latency.is_zero() {
            tokio::time::sleep(plan.latency).await;
        }
        if self.strikes(&mut dice, Fault::Error, plan.error) {
            return Err(injected("error"));
        }
        Ok((dice, plan))
    }

    fn leave(&self, dice: &mut Dice, plan: &FaultPlan) -> Result<()> {
        if self.strikes(dice, Fault::AfterSuccess, plan.timeout_after_success) {
            return Err(injected("the answer to a request that was carried out is lost"));
        }
        Ok(())
    }

    /// A listing as the plan wants it.
    fn listed(&self, dice: &mut Dice, plan: &FaultPlan, all: Vec<ObjectMeta>) -> Vec<ObjectMeta> {
        if !self.strikes(dice, Fault::StaleList, plan.stale_list) {
            return all;
        }
        let limit = (clock::now() - plan.stale_for).as_microsecond();
        all.into_iter().filter(|meta| meta.last_modified.timestamp_micros() <= limit).collect()
    }

    /// A body as the plan wants it.
    fn body(&self, dice: &mut Dice, plan: &FaultPlan, body: Bytes) -> Bytes {
        if body.is_empty() {
            return body;
        }
        if self.strikes(dice, Fault::Truncated, plan.truncate) {
            let keep = dice.below(body.len() as u64) as usize;
            return body.slice(..keep);
        }
        if self.strikes(dice, Fault::Corrupt, plan.corrupt) {
            let at = dice.below(body.len() as u64) as usize;
            let mut flipped = body.to_vec();
            flipped[at] ^= 1 << dice.below(8);
            return Bytes::from(flipped);
        }
        body
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let (mut dice, plan) = self.handle.enter(Request::Put).await?;
        let done = self.inner.put_opts(location, payload, opts).await?;
        self.handle.leave(&mut dice, &plan)?;
        Ok(done)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let (mut dice, plan) = self.handle.enter(Request::Get).await?;
        let answer = self.inner.get_opts(location, options).await?;
        if head {
            return Ok(answer);
        }
        let (meta, range) = (answer.meta.clone(), answer.range.clone());
        let (attributes, extensions) = (answer.attributes.clone(), answer.extensions.clone());
        let body = self.handle.body(&mut dice, &plan, answer.bytes().await?);
        let payload = GetResultPayload::Stream(stream::once(async { Ok(body) }).boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            parts.push(self.get_range(location, range.clone()).await?);
        }
        Ok(parts)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, handle) = (Arc::clone(&self.inner), self.handle.clone());
        locations
            .then(move |location| {
                let (inner, handle) = (Arc::clone(&inner), handle.clone());
                async move {
                    let location = location?;
                    let (mut dice, plan) = handle.enter(Request::Delete).await?;
                    inner.delete(&location).await?;
                    handle.leave(&mut dice, &plan)?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        listing(self.handle.clone(), self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        listing(self.handle.clone(), self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let (mut dice, plan) = self.handle.enter(Request::List).await?;
        let mut found = self.inner.list_with_delimiter(prefix).await?;
        found.objects = self.handle.listed(&mut dice, &plan, found.objects);
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// The whole listing is taken first: a stale one is stale as a whole.
fn listing(
    handle: FaultHandle,
    inner: BoxStream<'static, Result<ObjectMeta>>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let whole = async move {
        let (mut dice, plan) = handle.enter(Request::List).await?;
        let all: Vec<ObjectMeta> = inner.try_collect().await?;
        Ok::<_, Error>(stream::iter(handle.listed(&mut dice, &plan, all).into_iter().map(Ok)))
    };
    stream::once(whole).try_flatten().boxed()
}
