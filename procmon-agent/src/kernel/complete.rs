//! Completes the programs before the verifier sees them: a load of a kernel field has a site number for an offset
//! (`offset_site`), which is replaced by where the field is on the running kernel.

use anyhow::{Context, Result, ensure};
use object::read::elf::{ElfFile64, FileHeader, SectionHeader};
use object::{LittleEndian, elf};
use procmon_common::kernel::{OFFSET_SITES, Offsets};

const INSTRUCTION_BYTES: usize = 8;
/// `BPF_LD | BPF_IMM | BPF_DW`: the one instruction that takes the room of two.
const LOAD_IMMEDIATE: u8 = 0x18;
const CLASS: u8 = 0x07;
/// `BPF_LDX`: a load from memory.
const LOAD: u8 = 0x01;

/// The object with every site completed.
pub(super) fn complete(object: &[u8], offsets: &Offsets) -> Result<Vec<u8>> {
    let mut completed = object.to_vec();
    let places: &[u32] = bytemuck::cast_slice(bytemuck::bytes_of(offsets));
    for (start, bytes) in program_sections(object)? {
        let end = start
            .checked_add(bytes)
            .filter(|end| *end <= completed.len());
        let end = end.context("the eBPF object ends within a section")?;
        complete_section(&mut completed[start..end], places)?;
    }
    Ok(completed)
}

/// Where the instructions are: offset and length in the file.
fn program_sections(object: &[u8]) -> Result<Vec<(usize, usize)>> {
    let file =
        ElfFile64::<LittleEndian>::parse(object).context("the eBPF object is no ELF file")?;
    let endian = LittleEndian;
    let sections = file.elf_header().sections(endian, object)?;
    sections
        .iter()
        .filter(|section| {
            section.sh_type(endian) == elf::SHT_PROGBITS
                && section.sh_flags(endian) & u64::from(elf::SHF_EXECINSTR) != 0
        })
        .map(|section| {
            let start = usize::try_from(section.sh_offset(endian))?;
            Ok((start, usize::try_from(section.sh_size(endian))?))
        })
        .collect()
}

fn complete_section(section: &mut [u8], places: &[u32]) -> Result<()> {
    let mut at = 0;
    while let Some(instruction) = section.get_mut(at..at + INSTRUCTION_BYTES) {
        let opcode = instruction[0];
        let offset = i16::from_le_bytes([instruction[2], instruction[3]]);
        if opcode & CLASS == LOAD && offset >= OFFSET_SITES {
            let completed = offset_of_site(offset, places)?;
            instruction[2..4].copy_from_slice(&completed.to_le_bytes());
        }
        at += INSTRUCTION_BYTES * if opcode == LOAD_IMMEDIATE { 2 } else { 1 };
    }
    ensure!(
        at == section.len(),
        "the eBPF object ends within an instruction"
    );
    Ok(())
}

fn offset_of_site(site: i16, places: &[u32]) -> Result<i16> {
    let number = usize::try_from(site - OFFSET_SITES)?;
    let place = *places
        .get(number)
        .with_context(|| format!("the eBPF object loads field {number}, which this agent does not know: rebuild it with `cargo xtask build-ebpf`"))?;
    i16::try_from(place).with_context(|| {
        format!(
            "field {number} is {place} bytes into its structure on this kernel: too far for a load"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{INSTRUCTION_BYTES, LOAD_IMMEDIATE, complete_section};
    use procmon_common::kernel::{Offsets, offset_site};

    const LOAD_U64: u8 = 0x79;
    const STORE_U64: u8 = 0x7b;

    fn instruction(opcode: u8, offset: i16) -> [u8; INSTRUCTION_BYTES] {
        let [low, high] = offset.to_le_bytes();
        [opcode, 0x21, low, high, 0, 0, 0, 0]
    }

    fn site_of_comm() -> i16 {
        offset_site(std::mem::offset_of!(Offsets, task_comm))
    }

    fn places(comm: u32) -> Vec<u32> {
        let offsets = Offsets {
            task_comm: comm,
            ..Offsets::default()
        };
        bytemuck::cast_slice(bytemuck::bytes_of(&offsets)).to_vec()
    }

    #[test]
    fn a_load_of_a_site_gets_the_offset_of_its_field_and_nothing_else_changes() {
        let others = [
            instruction(LOAD_U64, 24),
            instruction(LOAD_U64, -8),
            instruction(STORE_U64, site_of_comm()),
            instruction(LOAD_IMMEDIATE, 0),
            // The second half of the immediate, which only looks like a load.
            instruction(LOAD_U64, site_of_comm()),
        ];
        let mut section = [
            others.concat(),
            instruction(LOAD_U64, site_of_comm()).to_vec(),
        ]
        .concat();
        complete_section(&mut section, &places(2_992)).unwrap();
        let expected = [others.concat(), instruction(LOAD_U64, 2_992).to_vec()].concat();
        assert_eq!(section, expected);
    }

    #[test]
    fn what_cannot_be_completed_is_an_error_that_says_so() {
        let mut section = instruction(LOAD_U64, site_of_comm()).to_vec();
        let error = complete_section(&mut section, &places(40_000)).unwrap_err();
        assert!(
            error.to_string().contains("40000 bytes into its structure"),
            "{error}"
        );

        let mut section = instruction(LOAD_U64, i16::MAX).to_vec();
        let error = complete_section(&mut section, &places(0)).unwrap_err();
        assert!(error.to_string().contains("rebuild it"), "{error}");

        let mut section = instruction(LOAD_U64, 0)[..5].to_vec();
        assert!(complete_section(&mut section, &places(0)).is_err());
    }
}
