//! Bytes to batch.

mod event;
mod interval;
mod life;
mod sample;

use super::container::Sections;
use super::strings::Strings;
use super::{FormatError, section};
use crate::batch::{Batch, Event};
use event::read_events;
use interval::{read_block_latency, read_short_lived};
use life::read_lives;
use sample::{read_frame, read_span, read_totals};

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
    batch.frame = read_frame(
        &sections.read(section::FRAME)?,
        &sections.read(section::PORTS)?,
    )?;
    if let Some(frame) = &mut batch.frame {
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
