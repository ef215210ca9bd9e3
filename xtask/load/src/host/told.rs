//! What a host and its agent say of themselves.

use procmon_common::wire;

use super::Host;

impl Host {
    pub(super) fn totals(&mut self) -> wire::HostTotals {
        wire::HostTotals {
            cpus: 8,
            memory_total_bytes: 32 << 30,
            memory_available_bytes: (12 << 30) + (u64::from(self.random.below(4096)) << 12),
            swap_total_bytes: 0,
            swap_used_bytes: 0,
            load1_centi: 80 + self.random.below(90),
            load5_centi: 100 + self.random.below(20),
            load15_centi: 110,
            cpu_centipercent: Some(2000 + self.random.below(9000)),
            boot_unix_ns: self.boot_ns,
        }
    }

    pub(super) fn health(&self) -> wire::AgentHealth {
        wire::AgentHealth {
            version: env!("CARGO_PKG_VERSION").into(),
            hostname: format!("{}.example", self.plan.agent_id),
            kernel: "6.12.43".into(),
            probe: "ebpf".into(),
            events: [(
                "exec".to_owned(),
                u64::from(self.next_pid - self.first_life()),
            )]
            .into(),
            spool_max_bytes: 256 << 20,
            rss_bytes: 17 << 20,
            cpu_time_ns: self.seq * 900_000,
            sample_ns: 700_000,
            covered_since_unix_ns: self.plan.first_sample_ns,
            ..wire::AgentHealth::default()
        }
    }
}
