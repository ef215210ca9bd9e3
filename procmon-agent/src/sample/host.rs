use procmon_common::wire;
use sysinfo::{MemoryRefreshKind, System};

use crate::enrich::clock::{boot_ns, unix_ns};

/// Totals of the host, by sysinfo.
pub(super) struct HostMeter {
    system: System,
    cpus: u32,
}

impl HostMeter {
    pub(super) fn new() -> anyhow::Result<Self> {
        let mut system = System::new()?;
        system.refresh_cpu_usage();
        let cpus = system.cpus().len() as u32;
        Ok(Self { system, cpus })
    }

    pub(super) fn measure(&mut self) -> wire::HostTotals {
        let memory = MemoryRefreshKind::nothing().with_ram().with_swap();
        self.system.refresh_memory_specifics(memory);
        self.system.refresh_cpu_usage();
        let load = System::load_average().ok();
        let centi = |value: f64| (value * 100.0).round() as u32;
        wire::HostTotals {
            cpus: self.cpus,
            memory_total_bytes: self.system.total_memory(),
            memory_available_bytes: self.system.available_memory(),
            swap_total_bytes: self.system.total_swap(),
            swap_used_bytes: self.system.used_swap(),
            load1_centi: load.as_ref().map_or(0, |load| centi(load.one)),
            load5_centi: load.as_ref().map_or(0, |load| centi(load.five)),
            load15_centi: load.as_ref().map_or(0, |load| centi(load.fifteen)),
            cpu_centipercent: Some(centi(
                f64::from(self.system.global_cpu_usage()) * f64::from(self.cpus),
            )),
            boot_unix_ns: unix_ns() - boot_ns() as i64,
        }
    }
}
