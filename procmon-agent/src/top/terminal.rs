//! The terminal: its size, single keys without Enter, and everything as it was at the end.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::Sort;
use super::screen::Size;

/// Another screen, cleared, without a cursor; and back.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[2J";
const LEAVE: &[u8] = b"\x1b[?25h\x1b[?1049l";

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Sort(Sort),
}

pub(super) struct Terminal {
    /// As it was found, when keys are read.
    before: Option<Termios>,
    is_screen: bool,
}

impl Terminal {
    /// `interactive`: a table that is refreshed, as far as both ends are a terminal.
    pub(super) fn open(interactive: bool) -> Self {
        let is_screen = interactive && std::io::stdout().is_terminal();
        let before = if is_screen && std::io::stdin().is_terminal() {
            single_keys()
        } else {
            None
        };
        if is_screen {
            show(ENTER);
        }
        Self { before, is_screen }
    }

    pub(super) fn has_keys(&self) -> bool {
        self.before.is_some()
    }

    /// Waits for a key that means something, at most for `timeout`.
    pub(super) fn key(&self, timeout: Duration) -> Option<Key> {
        if self.before.is_none() {
            std::thread::sleep(timeout);
            return None;
        }
        let stdin = std::io::stdin();
        let timeout = Timespec::try_from(timeout).ok()?;
        let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
        if poll(&mut polled, Some(&timeout)).unwrap_or(0) == 0 {
            return None;
        }
        let mut byte = [0];
        match rustix::io::read(&stdin, &mut byte) {
            // Nobody is there any more.
            Ok(0) => Some(Key::Quit),
            Ok(_) => meaning(byte[0]),
            Err(_) => None,
        }
    }
}

/// Of the terminal that is written to; `None` where that is none.
pub(super) fn size() -> Option<Size> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0)
        .then(|| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.is_screen {
            show(LEAVE);
        }
        if let Some(before) = &self.before {
            // A terminal that is gone needs nothing.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, before);
        }
    }
}

/// Keys come one by one and are not shown; Ctrl-C stays a signal. What was before.
fn single_keys() -> Option<Termios> {
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).ok()?;
    let mut modes = before.clone();
    modes
        .local_modes
        .remove(LocalModes::ICANON | LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Now, &modes).ok()?;
    Some(before)
}

fn show(sequence: &[u8]) {
    let mut out = std::io::stdout();
    // What cannot be shown to a terminal that is gone is not missed.
    let _ = out.write_all(sequence).and_then(|()| out.flush());
}

fn meaning(byte: u8) -> Option<Key> {
    Some(match byte {
        b'q' | b'Q' => Key::Quit,
        b'c' | b'P' => Key::Sort(Sort::Cpu),
        b'm' | b'M' => Key::Sort(Sort::Mem),
        b't' | b'T' => Key::Sort(Sort::Time),
        b'h' => Key::Sort(Sort::Threads),
        b'f' => Key::Sort(Sort::Fds),
        b'p' | b'N' => Key::Sort(Sort::Pid),
        _ => return None,
    })
}
