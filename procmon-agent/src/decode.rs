//! Bytes of the ring to records. Reads any bytes without panicking: what does not fit is an error that names why.

use bytemuck::Pod;
use procmon_common::kernel::{
    ABI_VERSION, ARGS_MAX, EXE_MAX, ExecRecord, ExitRecord, ForkRecord, FreeRecord, Header, Kind,
    OomRecord, SlowIoRecord,
};

/// One record, its variable parts borrowed from the ring.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    Fork(ForkRecord),
    /// `exe` and `args` are as the kernel had them: the path without its NUL, argv with a NUL after each argument.
    Exec {
        record: ExecRecord,
        exe: &'a [u8],
        args: &'a [u8],
    },
    Exit(ExitRecord),
    Free(FreeRecord),
    SlowIo(SlowIoRecord),
    Oom(OomRecord),
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("{0} bytes are too short for a record")]
    Short(usize),
    #[error("ABI version {0}, this agent reads {ABI_VERSION}")]
    Abi(u16),
    #[error("unknown kind {0}")]
    Kind(u16),
    #[error("lengths disagree: {0} bytes")]
    Length(usize),
}

/// Reads one record.
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let header: Header = prefix(bytes)?;
    if header.abi != ABI_VERSION {
        return Err(DecodeError::Abi(header.abi));
    }
    // The ring pads records to 8 bytes: there may be more bytes than the record has, never fewer.
    let bytes = bytes
        .get(..header.len as usize)
        .ok_or(DecodeError::Length(bytes.len()))?;
    match Kind::try_from(header.kind).map_err(DecodeError::Kind)? {
        Kind::Fork => prefix(bytes).map(Record::Fork),
        Kind::Exec => decode_exec(bytes),
        Kind::Exit => prefix(bytes).map(Record::Exit),
        Kind::Free => prefix(bytes).map(Record::Free),
        Kind::SlowIo => prefix(bytes).map(Record::SlowIo),
        Kind::Oom => prefix(bytes).map(Record::Oom),
    }
}

fn decode_exec(bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let record: ExecRecord = prefix(bytes)?;
    let (exe_len, args_len) = (record.exe_len as usize, record.args_len as usize);
    let body = &bytes[size_of::<ExecRecord>()..];
    if exe_len > EXE_MAX || args_len > ARGS_MAX || body.len() != exe_len + args_len {
        return Err(DecodeError::Length(bytes.len()));
    }
    let (exe, args) = body.split_at(exe_len);
    Ok(Record::Exec {
        record,
        exe: exe.strip_suffix(&[0]).unwrap_or(exe),
        args,
    })
}

fn prefix<T: Pod>(bytes: &[u8]) -> Result<T, DecodeError> {
    let bytes = bytes
        .get(..size_of::<T>())
        .ok_or(DecodeError::Short(bytes.len()))?;
    Ok(bytemuck::pod_read_unaligned(bytes))
}

/// `comm` without its padding.
pub fn trim_comm(comm: &[u8]) -> &[u8] {
    comm.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytemuck::{Zeroable, bytes_of};
    use proptest::prelude::*;

    use super::*;

    fn header(kind: Kind, len: usize) -> Header {
        Header {
            abi: ABI_VERSION,
            kind: kind as u16,
            len: len as u32,
            ..Header::zeroed()
        }
    }

    fn exec(exe: &[u8], args: &[u8]) -> Vec<u8> {
        let len = size_of::<ExecRecord>() + exe.len() + args.len();
        let record = ExecRecord {
            header: header(Kind::Exec, len),
            exe_len: exe.len() as u32,
            args_len: args.len() as u32,
            ..ExecRecord::zeroed()
        };
        [bytes_of(&record), exe, args].concat()
    }

    #[test]
    fn exec_keeps_every_byte_of_argv() {
        let bytes = exec(b"/bin/sh\0", b"sh\0-c\0\0a\nb\0\xff\xfe\0");
        let Ok(Record::Exec { exe, args, .. }) = decode(&bytes) else {
            panic!("not an exec record")
        };
        assert_eq!(exe, b"/bin/sh");
        assert_eq!(args, b"sh\0-c\0\0a\nb\0\xff\xfe\0");
    }

    #[test]
    fn padding_after_the_record_is_ignored() {
        let mut bytes = exec(b"/a\0", b"a\0");
        bytes.extend([0; 3]);
        assert!(decode(&bytes).is_ok());
    }

    #[test]
    fn other_versions_and_kinds_are_refused() {
        let mut header = header(Kind::Exit, 32);
        header.abi = ABI_VERSION + 1;
        assert_eq!(
            decode(bytes_of(&header)).err(),
            Some(DecodeError::Abi(ABI_VERSION + 1))
        );
        header.abi = ABI_VERSION;
        header.kind = 99;
        assert_eq!(decode(bytes_of(&header)).err(), Some(DecodeError::Kind(99)));
        header.kind = Kind::Exit as u16;
        assert_eq!(
            decode(bytes_of(&header)).err(),
            Some(DecodeError::Short(32))
        );
    }

    #[test]
    fn a_cut_record_is_an_error() {
        let bytes = exec(b"/bin/true\0", b"true\0");
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..6000),
            kind in 0_u16..9,
        ) {
            let _ = decode(&bytes);
            if bytes.len() >= 8 {
                bytes[..2].copy_from_slice(&ABI_VERSION.to_ne_bytes());
                bytes[2..4].copy_from_slice(&kind.to_ne_bytes());
                let _ = decode(&bytes);
                let len = bytes.len() as u32;
                bytes[4..8].copy_from_slice(&len.to_ne_bytes());
                let _ = decode(&bytes);
            }
        }
    }
}
