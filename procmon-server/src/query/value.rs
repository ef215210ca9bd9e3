//! What fields are and what they hold.

use std::borrow::Cow;

use super::needle::Needle;

/// What a field holds when it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Int,
    Double,
    Text,
    /// Nanoseconds since 1970.
    Time,
    /// A list of numbers.
    Ints,
    /// A list of texts.
    Texts,
    /// Something with fields of its own, which are fields `name.field`: it is known or not, and nothing else.
    Object,
}

/// A field that expressions can name.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
}

/// What an expression is asked of.
pub trait Row {
    /// The fields that there are, always the same.
    fn fields() -> &'static [Field];

    /// The value of the field with this index, of the field's kind.
    fn value(&self, field: usize) -> Value<'_>;

    /// The kind of marks that settles a field: it is equal in all rows of which that mark is equal.
    fn settled_by(_field: usize) -> Option<usize> {
        None
    }

    /// The field, if there is one, of which [`Self::signature`] is.
    fn signed() -> Option<usize> {
        None
    }

    /// What one field may contain; see [`super::signature()`]. All bits where that is not known, or the field is not.
    fn signature(&self) -> u64 {
        u64::MAX
    }

    /// A mark of a kind; 0 says nothing.
    fn mark(&self, _kind: usize) -> u32 {
        0
    }
}

/// What a field holds. Unknown is not zero, and not empty.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Unknown,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Text<'a>),
    Time(i64),
    Ints(&'a [u16]),
    /// Each ended by NUL, as the kernel keeps arguments.
    Texts(&'a [u8]),
    /// Something that has fields of its own.
    Object,
}

/// Bytes, as people read them: what is not UTF-8 is shown as U+FFFD.
#[derive(Clone, Debug, PartialEq)]
pub struct Text<'a> {
    bytes: Cow<'a, [u8]>,
    /// A NUL stands for a space.
    joined: bool,
}

impl<'a> Value<'a> {
    pub fn text(text: Option<impl Into<Cow<'a, [u8]>>>) -> Self {
        text.map_or(Self::Unknown, |text| Self::Text(Text::new(text)))
    }

    pub fn int(value: Option<impl TryInto<i64>>) -> Self {
        // Beyond 2^63 there is only what a broken agent sends.
        value.map_or(Self::Unknown, |value| {
            Self::Int(value.try_into().unwrap_or(i64::MAX))
        })
    }

    pub fn double(value: Option<f64>) -> Self {
        value.map_or(Self::Unknown, Self::Double)
    }

    pub fn bool(value: Option<bool>) -> Self {
        value.map_or(Self::Unknown, Self::Bool)
    }

    pub fn time(unix_ns: Option<i64>) -> Self {
        unix_ns.map_or(Self::Unknown, Self::Time)
    }
}

impl<'a> Text<'a> {
    pub fn new(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self {
            bytes: bytes.into(),
            joined: false,
        }
    }

    /// Arguments, each ended by NUL, joined with spaces.
    pub fn joined(arguments: &'a [u8]) -> Self {
        Self {
            bytes: Cow::Borrowed(arguments.strip_suffix(b"\0").unwrap_or(arguments)),
            joined: true,
        }
    }

    /// As it is shown.
    pub fn shown(&self) -> Cow<'_, str> {
        if self.joined && self.bytes.contains(&0) {
            let spaced: Vec<u8> = self.bytes.iter().map(|byte| space(*byte)).collect();
            return Cow::Owned(match String::from_utf8(spaced) {
                Ok(text) => text,
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            });
        }
        String::from_utf8_lossy(&self.bytes)
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// As they are kept; NUL stands for a space in joined arguments.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn is_joined(&self) -> bool {
        self.joined
    }

    pub(super) fn is(&self, needle: &Needle) -> bool {
        if needle.needs_shown_text() {
            return *self.shown() == *needle.text();
        }
        needle.is(&self.bytes, self.joined)
    }

    /// The order of texts is that of their bytes, which is that of their characters.
    pub(super) fn compare(&self, other: &Self) -> std::cmp::Ordering {
        self.shown().as_bytes().cmp(other.shown().as_bytes())
    }
}

/// A byte of joined arguments as it is shown.
pub(super) fn space(byte: u8) -> u8 {
    if byte == 0 { b' ' } else { byte }
}

/// Arguments one by one, empty ones too.
pub(super) fn texts(arguments: &[u8]) -> impl Iterator<Item = &[u8]> {
    let any = !arguments.is_empty();
    let ended = arguments.strip_suffix(b"\0").unwrap_or(arguments);
    ended.split(|byte| *byte == 0).filter(move |_| any)
}
