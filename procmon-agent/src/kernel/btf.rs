//! A reader of BTF, the kernel's own type information: offsets of fields, sizes, arguments of tracepoints. It reads any
//! bytes without panicking; what does not fit is an error or not found.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};

/// Where a kernel with BTF shows it.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: usize = 24;
const TYPE_BYTES: usize = 12;
const MEMBER_BYTES: usize = 12;
/// An enum's constant, or a function's parameter.
const ENUM_BYTES: usize = 8;
/// Deeper nesting of anonymous structs than any kernel has.
const MAX_DEPTH: u32 = 32;

const KIND_PTR: u8 = 2;
pub const KIND_ARRAY: u8 = 3;
const KIND_STRUCT: u8 = 4;
const KIND_UNION: u8 = 5;
const KIND_ENUM: u8 = 6;
const KIND_TYPEDEF: u8 = 8;
const KIND_FUNC_PROTO: u8 = 13;

/// Parsed just enough to answer questions by name.
pub struct Btf {
    data: Vec<u8>,
    strings: usize,
    /// Offset of each type's record; index 0 is `void`.
    types: Vec<usize>,
    structs: HashMap<Box<str>, u32>,
    enums: HashMap<Box<str>, u32>,
    tracepoints: HashMap<Box<str>, u32>,
}

#[derive(Clone, Copy)]
struct Type {
    kind: u8,
    vlen: usize,
    bitfields: bool,
    argument: u32,
    body: usize,
}

impl Btf {
    pub fn of_this_kernel() -> Result<Self> {
        let data = std::fs::read(KERNEL_BTF).with_context(|| {
            format!("cannot read {KERNEL_BTF} (a kernel built with CONFIG_DEBUG_INFO_BTF has it)")
        })?;
        Self::parse(data)
    }

    pub fn parse(data: Vec<u8>) -> Result<Self> {
        let magic = u32_at(&data, 0).context("BTF is empty")? as u16;
        ensure!(
            magic == MAGIC,
            "not BTF of this machine's byte order: magic {magic:#06x}"
        );
        let header = [4, 8, 12, 16].map(|at| u32_at(&data, at).map(|value| value as usize));
        let [Some(length), Some(types), Some(types_length), Some(strings)] = header else {
            anyhow::bail!("BTF has no complete header");
        };
        ensure!(length >= HEADER_BYTES, "BTF header of {length} bytes");
        let (start, strings) = (length.saturating_add(types), length.saturating_add(strings));
        let mut btf = Self {
            data,
            strings,
            types: vec![usize::MAX],
            structs: HashMap::new(),
            enums: HashMap::new(),
            tracepoints: HashMap::new(),
        };
        btf.index(start, start.saturating_add(types_length))?;
        Ok(btf)
    }

    fn index(&mut self, start: usize, end: usize) -> Result<()> {
        let mut at = start;
        while at < end {
            let id = self.types.len() as u32;
            self.types.push(at);
            let ty = self
                .get(id)
                .with_context(|| format!("BTF type {id} is cut"))?;
            let name = u32_at(&self.data, at).map_or("", |offset| self.string(offset));
            if ty.kind == KIND_STRUCT {
                self.structs.entry(name.into()).or_insert(id);
            } else if ty.kind == KIND_ENUM && !name.is_empty() {
                self.enums.entry(name.into()).or_insert(id);
            } else if let (KIND_TYPEDEF, Some(tracepoint)) =
                (ty.kind, name.strip_prefix("btf_trace_"))
            {
                self.tracepoints.entry(tracepoint.into()).or_insert(id);
            }
            at = ty.body
                + body_bytes(ty.kind, ty.vlen)
                    .with_context(|| format!("BTF kind {} is unknown", ty.kind))?;
        }
        Ok(())
    }

    /// Byte offset of `path` (`a.b.c`, anonymous members are looked through) in `struct name`.
    pub fn offset(&self, name: &str, path: &str) -> Option<u32> {
        let mut id = *self.structs.get(name)?;
        let mut offset = 0;
        for field in path.split('.') {
            let (bits, member) = self.member(id, field, 0)?;
            offset += bits / 8;
            id = member;
        }
        Some(offset)
    }

    /// Kind of the type of a member, typedefs and qualifiers removed.
    pub fn member_kind(&self, name: &str, field: &str) -> Option<u8> {
        let (_, id) = self.member(*self.structs.get(name)?, field, 0)?;
        Some(self.resolve(id)?.1.kind)
    }

    pub fn size(&self, name: &str) -> Option<u32> {
        Some(self.get(*self.structs.get(name)?)?.argument)
    }

    /// Value of `constant` of `enum name`.
    pub fn enum_value(&self, name: &str, constant: &str) -> Option<u32> {
        let ty = self.get(*self.enums.get(name)?)?;
        (0..ty.vlen).find_map(|index| {
            let at = ty.body + index * ENUM_BYTES;
            (self.string(u32_at(&self.data, at)?) == constant)
                .then(|| u32_at(&self.data, at + 4))?
        })
    }

    /// How many arguments a tracepoint hands to a `tp_btf` program.
    pub fn tracepoint_arguments(&self, name: &str) -> Option<usize> {
        let (_, pointer) = self.resolve(*self.tracepoints.get(name)?)?;
        let (_, function) =
            self.resolve((pointer.kind == KIND_PTR).then_some(pointer.argument)?)?;
        // The first parameter is the tracepoint's own `void *__data`.
        (function.kind == KIND_FUNC_PROTO).then(|| function.vlen.saturating_sub(1))
    }

    fn member(&self, id: u32, field: &str, depth: u32) -> Option<(u32, u32)> {
        let (_, ty) = self.resolve(id)?;
        if !matches!(ty.kind, KIND_STRUCT | KIND_UNION) || depth > MAX_DEPTH {
            return None;
        }
        for index in 0..ty.vlen {
            let at = ty.body + index * MEMBER_BYTES;
            let name = self.string(u32_at(&self.data, at)?);
            let member = u32_at(&self.data, at + 4)?;
            let bits =
                u32_at(&self.data, at + 8)? & if ty.bitfields { 0x00ff_ffff } else { u32::MAX };
            if name == field {
                return Some((bits, member));
            }
            if name.is_empty()
                && let Some((inner, found)) = self.member(member, field, depth + 1)
            {
                return Some((bits.checked_add(inner)?, found));
            }
        }
        None
    }

    /// Looks through typedefs, const, volatile, restrict and type tags.
    fn resolve(&self, mut id: u32) -> Option<(u32, Type)> {
        for _ in 0..MAX_DEPTH {
            let ty = self.get(id)?;
            if !matches!(ty.kind, 8..=11 | 18) {
                return Some((id, ty));
            }
            id = ty.argument;
        }
        None
    }

    fn get(&self, id: u32) -> Option<Type> {
        let at = *self.types.get(id as usize)?;
        let info = u32_at(&self.data, at.checked_add(4)?)?;
        Some(Type {
            kind: (info >> 24) as u8 & 0x1f,
            vlen: (info & 0xffff) as usize,
            bitfields: info >> 31 == 1,
            argument: u32_at(&self.data, at + 8)?,
            body: at + TYPE_BYTES,
        })
    }

    fn string(&self, offset: u32) -> &str {
        let bytes = self
            .data
            .get(self.strings.saturating_add(offset as usize)..)
            .unwrap_or_default();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
        std::str::from_utf8(&bytes[..end]).unwrap_or_default()
    }
}

/// Bytes that follow a type's record, by its kind (Documentation/bpf/btf.rst of the kernel).
fn body_bytes(kind: u8, vlen: usize) -> Option<usize> {
    Some(match kind {
        1 | 14 | 17 => 4,
        KIND_ARRAY => 12,
        KIND_STRUCT | KIND_UNION | 15 | 19 => vlen * 12,
        KIND_ENUM | KIND_FUNC_PROTO => vlen * ENUM_BYTES,
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(mut data in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Btf::parse(data.clone());
            // With a plausible header, so that types are reached.
            if data.len() > HEADER_BYTES {
                data[..2].copy_from_slice(&MAGIC.to_ne_bytes());
                for (at, value) in [(4, 24_u32), (8, 0), (12, 200), (16, 200)] {
                    data[at..at + 4].copy_from_slice(&value.to_ne_bytes());
                }
                if let Ok(btf) = Btf::parse(data) {
                    for name in btf.structs.keys() {
                        let _ = (btf.offset(name, "a"), btf.size(name), btf.member_kind(name, ""));
                    }
                    for name in btf.enums.keys() {
                        let _ = btf.enum_value(name, "a");
                    }
                    for name in btf.tracepoints.keys() {
                        let _ = btf.tracepoint_arguments(name);
                    }
                }
            }
        }
    }
}
