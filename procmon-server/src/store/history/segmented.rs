//! Samples from segments.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};

use super::{HostSamples, SampleQuery};
use crate::store::catalog::Segments;
use crate::store::segment::{self, Carried, SegmentError};
use crate::store::{Store, StoreError, View};

/// Host time before the log begins in which an agent's newest segment is looked for: longer than a segment.
const LOOK_BACK_MS: i64 = 4 * 3_600_000;
/// Segments of one question that are read and decoded at a time: what bounds its memory.
const AT_A_TIME: usize = 4;

impl Store {
    /// What the segments say; one that cannot be read is left out.
    pub(super) async fn segmented_samples(
        query: &SampleQuery,
        view: &View,
    ) -> Result<HostSamples, StoreError> {
        let files = view.files_touching((query.from_ms, query.to_ms)).await?;
        let query = Arc::new(query.clone());
        let decoding = files.into_iter().map(|file| {
            let wanted = Arc::clone(&query);
            let agent_id = Arc::clone(&query.agent_id);
            with_samples(file, agent_id, move |body| {
                segment::decode_samples(body, &wanted)
            })
        });
        let mut decoded = stream::iter(decoding).buffered(AT_A_TIME);
        let mut joined = HostSamples::default();
        while let Some(samples) = decoded.next().await {
            if let Some(samples) = samples? {
                joined.append(samples);
            }
        }
        Ok(joined)
    }

    /// What the newest segment says of where the log goes on.
    pub(super) async fn carried(
        query: &SampleQuery,
        view: &View,
    ) -> Result<Option<Carried>, StoreError> {
        let from_ms = query.from_ms.saturating_sub(LOOK_BACK_MS);
        let files = view.files_touching((from_ms, i64::MAX)).await?;
        for file in files.into_iter().rev() {
            let (lives, columns) = (query.lives, query.columns.clone());
            let agent_id = Arc::clone(&query.agent_id);
            let decode = move |body: &[u8]| segment::carried(body, lives, &columns);
            if let Some(carried) = with_samples(file, agent_id, decode).await? {
                return Ok(carried);
            }
        }
        Ok(None)
    }
}

/// None when the agent has no samples there, or none that can be read.
async fn with_samples<T: Send + 'static>(
    file: Arc<Segments>,
    agent_id: Arc<str>,
    decode: impl FnOnce(&[u8]) -> Result<T, SegmentError> + Send + 'static,
) -> Result<Option<T>, StoreError> {
    let Some(body) = file.samples_of(&agent_id).await? else {
        return Ok(None);
    };
    let decoded = tokio::task::spawn_blocking(move || decode(&body)).await;
    match decoded {
        Ok(Ok(decoded)) => Ok(Some(decoded)),
        Ok(Err(error)) => {
            let slice = file.first_slice;
            tracing::error!(%agent_id, slice, %error, "a segment cannot be read; its samples are left out");
            Ok(None)
        }
        Err(error) => Err(StoreError::Failed(error.to_string())),
    }
}
