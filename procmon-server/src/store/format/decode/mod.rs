//! Bytes to batch.

mod event;
mod life;
mod sample;

use super::container::Sections;
use super::strings::Strings;
use super::{FormatError, section};
use crate::batch::{Batch, Event};
use event::read_events;
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
