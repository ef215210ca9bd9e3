//! Identities: a process is never named by its pid alone.

use core::fmt;
use core::str::FromStr;

/// Clock ticks of `start_ticks`: `USER_HZ`, 100 per second on every Linux port that procmon runs on.
pub const TICKS_PER_SECOND: u64 = 100;
const NANOS_PER_TICK: u64 = 1_000_000_000 / TICKS_PER_SECOND;

/// Start time as `/proc/PID/stat` shows it (field 22), from the kernel's `start_boottime`.
pub fn start_ticks(start_boottime_ns: u64) -> u64 {
    start_boottime_ns / NANOS_PER_TICK
}

/// One boot of one kernel: the 16 bytes of `/proc/sys/kernel/random/boot_id`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct BootId(pub [u8; 16]);

impl BootId {
    /// The 16 bytes as they travel on the wire; `None` for any other length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The first 8 hexadecimal digits, as they stand in a process id.
    pub fn short(self) -> u32 {
        u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BootId {
    type Err = InvalidId;

    /// Reads a UUID with or without its dashes (so `/etc/machine-id` too).
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut bytes = [0; 16];
        let mut digits = text.trim().bytes().filter(|byte| *byte != b'-');
        for byte in &mut bytes {
            let (Some(high), Some(low)) = (digits.next(), digits.next()) else {
                return Err(InvalidId);
            };
            *byte = hex(high).ok_or(InvalidId)? << 4 | hex(low).ok_or(InvalidId)?;
        }
        if digits.next().is_some() {
            return Err(InvalidId);
        }
        Ok(Self(bytes))
    }
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

/// A process life within one agent: `{pid}-{start_ticks}-{boot}` where the agent saw the kernel, or
/// `{pid}-{first seen, Unix ms}-upload` where a script uploaded a list without start times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessId {
    pub pid: u32,
    pub start: Start,
}

/// What tells two lives with the same pid apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Start {
    Booted { ticks: u64, boot: u32 },
    Upload { first_seen_ms: i64 },
}

impl ProcessId {
    pub fn booted(pid: u32, ticks: u64, boot: BootId) -> Self {
        Self {
            pid,
            start: Start::Booted {
                ticks,
                boot: boot.short(),
            },
        }
    }

    pub fn upload(pid: u32, first_seen_ms: i64) -> Self {
        Self {
            pid,
            start: Start::Upload { first_seen_ms },
        }
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.start {
            Start::Booted { ticks, boot } => write!(f, "{}-{ticks}-{boot:08x}", self.pid),
            Start::Upload { first_seen_ms } => write!(f, "{}-{first_seen_ms}-upload", self.pid),
        }
    }
}

impl FromStr for ProcessId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut parts = text.splitn(3, '-');
        let (Some(pid), Some(start), Some(origin)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidId);
        };
        let pid = pid.parse().map_err(|_| InvalidId)?;
        if origin == "upload" {
            return Ok(Self::upload(pid, start.parse().map_err(|_| InvalidId)?));
        }
        if origin.len() != 8 || origin.bytes().any(|digit| hex(digit).is_none()) {
            return Err(InvalidId);
        }
        let boot = u32::from_str_radix(origin, 16).map_err(|_| InvalidId)?;
        let ticks = start.parse().map_err(|_| InvalidId)?;
        Ok(Self {
            pid,
            start: Start::Booted { ticks, boot },
        })
    }
}

/// The text is not an identity of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidId;

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a valid id")
    }
}

impl core::error::Error for InvalidId {}

/// The name of an agent: 1 to 128 characters out of letters, digits, `.`, `_`, `-` and `:`.
pub fn valid_agent_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte))
        && text != "."
        && text != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_id_round_trips() {
        let boot: BootId = "0f2c9f1e-8f5a-4b8e-9a62-5d1b1f0c77aa"
            .parse()
            .expect("a UUID");
        let id = ProcessId::booted(4321, 987_654, boot);
        assert_eq!(id.to_string(), "4321-987654-0f2c9f1e");
        assert_eq!(id.to_string().parse(), Ok(id));
        let upload = ProcessId::upload(7, 1_700_000_000_123);
        assert_eq!(upload.to_string(), "7-1700000000123-upload");
        assert_eq!(upload.to_string().parse(), Ok(upload));
        assert_eq!(boot.to_string(), "0f2c9f1e-8f5a-4b8e-9a62-5d1b1f0c77aa");
    }

    #[test]
    fn malformed_ids_are_refused() {
        for text in [
            "",
            "1",
            "1-2",
            "x-2-0f2c9f1e",
            "1-2-0f2c9f1",
            "1-2-+f2c9f1e",
            "1--upload",
            "1-2-3-4",
        ] {
            assert_eq!(text.parse::<ProcessId>(), Err(InvalidId), "{text}");
        }
    }

    #[test]
    fn agent_ids() {
        assert!(valid_agent_id("web-1.example_x:2"));
        for bad in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(129)] {
            assert!(!valid_agent_id(bad), "{bad}");
        }
    }

    #[test]
    fn ticks_are_those_of_proc() {
        assert_eq!(start_ticks(1_239_999_999), 123);
    }
}
