//! SQLite: a folder with a file per slice of the log, files of segments beside it, and a small database of agents. No
//! transaction spans two files; what the folder holds is the truth.

mod agents;
mod file;
mod lock;
mod segments;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use sqlx::SqlitePool;

pub(super) use file::File;
pub(super) use segments::SegmentWriter;
pub(super) use write::SliceWriter;

use super::StoreError;
use super::catalog::Catalog;
use super::part::Part;

pub(super) mod queries {
    super::super::queries::queries!(
        sqlx::SqlitePool,
        sqlx::sqlite::SqliteRow,
        "indexed by batch_event"
    );
}

pub(super) mod segment_queries {
    super::super::segment_queries::segment_queries!(
        sqlx::SqlitePool,
        sqlx::sqlite::SqliteConnection,
        sqlx::sqlite::SqliteRow
    );
}

pub(super) mod alert_queries {
    super::super::alerts::alert_queries!(
        sqlx::SqlitePool,
        sqlx::sqlite::SqliteConnection,
        sqlx::sqlite::SqliteRow
    );
}

pub(super) mod delivery_queries {
    super::super::delivery::delivery_queries!(
        sqlx::SqlitePool,
        sqlx::sqlite::SqliteConnection,
        sqlx::sqlite::SqliteRow
    );
    super::super::delivery::channel_queries!(
        sqlx::SqlitePool,
        sqlx::sqlite::SqliteConnection,
        sqlx::sqlite::SqliteRow
    );
}

pub(super) mod agent_queries {
    super::super::agents::agent_queries!(
        sqlx::SqlitePool,
        sqlx::sqlite::SqliteConnection,
        sqlx::sqlite::SqliteRow
    );
}

#[derive(Debug)]
pub(super) struct Sqlite {
    root: PathBuf,
    durable: bool,
    pub(super) agents: SqlitePool,
}

impl Sqlite {
    /// Opens or creates the folder; what a crash left half done is finished or undone. The folder is free for another server
    /// when the file is closed.
    pub(super) async fn open(
        root: &Path,
        durable: bool,
    ) -> anyhow::Result<(Self, Catalog, std::fs::File)> {
        for folder in ["slices", "segments"] {
            std::fs::create_dir_all(root.join(folder)).with_context(|| {
                format!(
                    "cannot create {}: choose another folder with --data-dir",
                    root.display()
                )
            })?;
        }
        let lock = lock::lock(root)?;
        let engine = Self {
            agents: agents::open(&root.join("meta.db"), durable).await?,
            root: root.to_owned(),
            durable,
        };
        let mut catalog = Catalog {
            slices: BTreeMap::new(),
            segments: segments::open(&engine.folder_of_segments()).await?,
        };
        engine.open_slices(&mut catalog).await?;
        Ok((engine, catalog, lock))
    }

    async fn open_slices(&self, catalog: &mut Catalog) -> anyhow::Result<()> {
        let folder = self.root.join("slices");
        let listing = std::fs::read_dir(&folder)
            .with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in listing {
            let name = entry?.file_name();
            let Some(number) = name.to_str().and_then(slice_number) else {
                continue;
            };
            if catalog.segments_of(number).is_some() {
                // The server ended between publishing its segments and unlinking it.
                file::unlink(&folder.join(&name))
                    .with_context(|| format!("cannot remove the compacted slice {number}"))?;
                continue;
            }
            let part = self.create_slice(number).await?;
            catalog.slices.insert(number, Arc::new(part));
        }
        Ok(())
    }

    fn folder_of_segments(&self) -> PathBuf {
        self.root.join("segments")
    }

    /// Opens or creates a slice of the log.
    pub(super) async fn create_slice(&self, number: u32) -> anyhow::Result<Part> {
        let path = self.root.join("slices").join(slice_name(number));
        Ok(Part::Sqlite(File::slice(path, self.durable).await?))
    }

    /// The connection that writes a slice.
    pub(super) async fn connect(&self, number: u32) -> Result<SliceWriter, StoreError> {
        let path = self.root.join("slices").join(slice_name(number));
        SliceWriter::open(file::connect(&path, self.durable).await?).await
    }

    pub(super) async fn save_epochs(
        &self,
        epochs: &[super::agents::AgentEpoch],
    ) -> Result<(), StoreError> {
        let mut transaction = self.agents.begin().await?;
        for epoch in epochs {
            agent_queries::save_epoch(&mut transaction, epoch).await?;
        }
        Ok(transaction.commit().await?)
    }

    pub(super) async fn begin_segments(
        &self,
        name: super::segment_file::SegmentName,
    ) -> Result<SegmentWriter, StoreError> {
        SegmentWriter::begin(&self.folder_of_segments(), name, self.durable).await
    }
}

fn slice_name(number: u32) -> String {
    format!("{number:010}.db")
}

fn slice_number(file_name: &str) -> Option<u32> {
    file_name.strip_suffix(".db")?.parse().ok()
}
