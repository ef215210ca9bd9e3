//! Whole maps by `BPF_MAP_LOOKUP_BATCH`: one system call for hundreds of entries, where aya makes two for each.
#![expect(
    unsafe_code,
    reason = "one raw bpf(2) call that aya has no wrapper for"
)]

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use aya::maps::{Map, MapData};
use bytemuck::Pod;

const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;
/// Entries per call. A bucket of a hash that has more could not be read; its chains are a few entries long.
const ENTRIES: usize = 256;

#[repr(C)]
struct BatchAttributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// A map that is read as a whole.
pub(super) struct WholeMap {
    fd: OwnedFd,
}

impl WholeMap {
    pub(super) fn of(map: &Map) -> Result<Self> {
        let data: &MapData = match map {
            Map::HashMap(data) | Map::PerCpuArray(data) => data,
            _ => anyhow::bail!("a map of another type than was compiled"),
        };
        let fd = data.fd().as_fd().try_clone_to_owned();
        Ok(Self {
            fd: fd.context("cannot duplicate the descriptor of a map")?,
        })
    }

    /// Hands over each key with its values: one, or as many as the map has per key (one for each possible CPU).
    pub(super) fn read<K: Pod, V: Pod>(
        &self,
        values_per_key: usize,
        mut take: impl FnMut(&K, &[V]),
    ) -> std::io::Result<()> {
        let mut keys = vec![K::zeroed(); ENTRIES];
        let mut values = vec![V::zeroed(); ENTRIES * values_per_key];
        // Opaque: where the next call goes on.
        let mut position: Option<[u32; 8]> = None;
        loop {
            let mut next = [0_u32; 8];
            let mut attributes = BatchAttributes {
                in_batch: position
                    .as_ref()
                    .map_or(0, |position| position.as_ptr() as u64),
                out_batch: next.as_mut_ptr() as u64,
                keys: keys.as_mut_ptr() as u64,
                values: values.as_mut_ptr() as u64,
                count: ENTRIES as u32,
                map_fd: self.fd.as_raw_fd() as u32,
                elem_flags: 0,
                flags: 0,
            };
            // SAFETY: the buffers have room for `count` keys and values of the map's sizes, and outlive the call.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_bpf,
                    BPF_MAP_LOOKUP_BATCH,
                    &raw mut attributes,
                    size_of::<BatchAttributes>(),
                )
            };
            let error = std::io::Error::last_os_error();
            let is_last = result < 0 && error.raw_os_error() == Some(libc::ENOENT);
            if result < 0 && !is_last {
                return Err(error);
            }
            let count = attributes.count as usize;
            let entries = keys.iter().zip(values.chunks_exact(values_per_key));
            for (key, values) in entries.take(count) {
                take(key, values);
            }
            if is_last {
                return Ok(());
            }
            position = Some(next);
        }
    }
}
