//! Bytes to batch.

mod event;
mod interval;
mod life;
mod sample;

use std::borrow::Cow;

use procmon_common::columns::Column;

use super::container::Sections;
use super::strings::Strings;
use super::{FormatError, section};
use crate::batch::{Batch, Event};
use event::read_events;
use interval::{read_block_latency, read_short_lived};
use life::{has_pid, read_lives};
use sample::{frame_has_values, read_frame, read_ports, read_span, read_totals, span_has_lives};

/// All of a stored batch.
pub fn decode(bytes: &[u8]) -> Result<Batch, FormatError> {
    let sections = Sections::open(bytes)?;
    let dictionary = sections.read(section::STRINGS)?;
    let strings = Strings::read(&dictionary)?;
    let lives = read_lives(&sections.read(section::LIVES)?, &strings)?;
    let mut batch = Batch {
        events: read_events(&sections, &strings, &lives)?,
        ..Batch::default()
    };
    read_span(&sections.read(section::SPAN)?, &lives, &mut batch)?;
    batch.frame = read_frame(&sections.read(section::FRAME)?, |_| true)?;
    if let Some(frame) = &mut batch.frame {
        frame.ports = read_ports(&sections.read(section::PORTS)?)?;
        frame.short_lived = read_short_lived(&sections.read(section::SHORT_LIVED)?, &strings)?;
        frame.block_latency =
            read_block_latency(&sections.read(section::BLOCK_LATENCY)?, &strings)?;
    }
    batch.totals = read_totals(&sections.read(section::TOTALS)?)?;
    Ok(batch)
}

/// The events of a stored batch, without its sample.
pub fn decode_events(bytes: &[u8]) -> Result<Vec<Event>, FormatError> {
    let sections = Sections::open(bytes)?;
    let dictionary = sections.read(section::STRINGS)?;
    let strings = Strings::read(&dictionary)?;
    let lives = read_lives(&sections.read(section::LIVES)?, &strings)?;
    read_events(&sections, &strings, &lives)
}

/// Whether one of the lives in a stored batch has a pid.
pub fn names_pid(bytes: &[u8], pid: u32) -> Result<bool, FormatError> {
    let lives = Sections::open(bytes)?.read(section::LIVES)?;
    has_pid(&lives, pid)
}

/// What to read of the sample in a stored batch.
#[derive(Clone, Copy, Debug)]
pub struct SampleParts<'a> {
    pub columns: &'a [Column],
    pub ports: bool,
    pub short_lived: bool,
}

/// The sample in a stored batch and whose handle is whose, without its events; of the sample nothing but what is wanted. A
/// frame that only names who is gone is no sample.
pub fn decode_sample(bytes: &[u8], wanted: SampleParts<'_>) -> Result<Batch, FormatError> {
    let sections = Sections::open(bytes)?;
    let span = sections.read(section::SPAN)?;
    let has_lives = span_has_lives(&span)?;
    let short_lived = if wanted.short_lived {
        sections.read(section::SHORT_LIVED)?
    } else {
        Cow::default()
    };
    let dictionary = if has_lives || !short_lived.is_empty() {
        sections.read(section::STRINGS)?
    } else {
        Cow::default()
    };
    let strings = Strings::read(&dictionary)?;
    let lives = if has_lives {
        read_lives(&sections.read(section::LIVES)?, &strings)?
    } else {
        Vec::new()
    };
    let mut batch = Batch::default();
    read_span(&span, &lives, &mut batch)?;
    batch.totals = read_totals(&sections.read(section::TOTALS)?)?;
    let frame = sections.read(section::FRAME)?;
    if batch.totals.is_some() || batch.key || frame_has_values(&frame)? {
        batch.frame = read_frame(&frame, |column| wanted.columns.contains(&column))?;
    }
    if let Some(frame) = &mut batch.frame {
        if wanted.ports {
            frame.ports = read_ports(&sections.read(section::PORTS)?)?;
        }
        frame.short_lived = read_short_lived(&short_lived, &strings)?;
    }
    Ok(batch)
}
