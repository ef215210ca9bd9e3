//! Samples from segments.

use super::{HostSamples, SampleQuery};
use crate::store::segment::{self, Carried, SegmentError};
use crate::store::{SegmentHead, Store, StoreError, View};

/// Host time before the log begins in which an agent's newest segment is looked for: longer than a segment.
const LOOK_BACK_MS: i64 = 4 * 3_600_000;

impl Store {
    /// What the segments say; one that cannot be read is left out.
    pub(super) async fn segmented_samples(
        &self,
        query: &SampleQuery,
        view: &View,
    ) -> Result<HostSamples, StoreError> {
        let mut joined = HostSamples::default();
        let heads = view
            .segments(&query.agent_id, query.from_ms, query.to_ms)
            .await?;
        for head in heads {
            let wanted = query.clone();
            let decoded = self
                .with_samples(&head, move |body| segment::decode_samples(body, &wanted))
                .await?;
            if let Some(samples) = decoded {
                joined.append(samples);
            }
        }
        Ok(joined)
    }

    /// What the newest segment says of where the log goes on.
    pub(super) async fn carried(
        &self,
        query: &SampleQuery,
        view: &View,
    ) -> Result<Option<Carried>, StoreError> {
        let from_ms = query.from_ms.saturating_sub(LOOK_BACK_MS);
        let heads = view.segments(&query.agent_id, from_ms, i64::MAX).await?;
        let Some(newest) = heads.last() else {
            return Ok(None);
        };
        let (lives, columns) = (query.lives, query.columns.clone());
        let decoded = self
            .with_samples(newest, move |body| segment::carried(body, lives, &columns))
            .await?;
        Ok(decoded.flatten())
    }

    async fn with_samples<T: Send + 'static>(
        &self,
        head: &SegmentHead,
        decode: impl FnOnce(&[u8]) -> Result<T, SegmentError> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let body = self.segment_samples(head).await?;
        let decoded = tokio::task::spawn_blocking(move || decode(&body)).await;
        match decoded {
            Ok(Ok(decoded)) => Ok(Some(decoded)),
            Ok(Err(error)) => {
                let (agent_id, slice) = (&head.agent_id, head.first_slice);
                tracing::error!(%agent_id, slice, %error, "a segment cannot be read; its samples are left out");
                Ok(None)
            }
            Err(error) => Err(StoreError::Failed(error.to_string())),
        }
    }
}
