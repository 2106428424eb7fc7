//! Where the bytes come from.

use async_trait::async_trait;
use bytes::Bytes;

/// Why a chunk could not be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    /// It needs disk space that is not there.
    #[error("no disk space for a chunk")]
    DiskFull(#[source] std::sync::Arc<dyn std::error::Error + Send + Sync>),
    /// Asking again does not help soon: missing, or its hash is wrong.
    #[error("a chunk cannot be used")]
    Permanent(#[source] std::sync::Arc<dyn std::error::Error + Send + Sync>),
    /// Asking again may help.
    #[error("a chunk cannot be fetched now")]
    Temporary(#[source] std::sync::Arc<dyn std::error::Error + Send + Sync>),
}

/// Gives the plain, verified bytes of chunks.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Chunk `chunk` of file `file` of the plan: [`crate::chunk::CHUNK`] bytes, the last of a file fewer.
    /// May be asked for many at once, and for the same one again.
    ///
    /// # Errors
    /// When the bytes cannot be had; wrong bytes are an error, never an answer.
    async fn chunk(&self, file: u32, chunk: u32) -> Result<Bytes, SourceError>;
}
