//! What begins and ends on a host.

use std::cmp::Reverse;

use procmon_common::wire;

use super::{Host, Outgoing, Running};
use crate::process::Identity;

const MINUTE_NS: f64 = 60e9;

impl Host {
    /// Starts and ends until now, in order; returns the lives that are new. `gone`: all that ended.
    pub(super) fn live_until(
        &mut self,
        now_ns: i64,
        out: &mut Outgoing,
        gone: &mut Vec<wire::Process>,
    ) -> Vec<wire::Process> {
        let mut new = Vec::new();
        loop {
            let end_ns = self.ends.peek().map_or(i64::MAX, |Reverse((at, _))| *at);
            if self.next_life_ns.min(end_ns) > now_ns {
                return new;
            }
            if self.next_life_ns < end_ns {
                let at_ns = self.next_life_ns;
                let (handle, identity) = self.start(at_ns, false);
                new.push(identity.to_wire(handle, self.boot_ns, false));
                let exec = wire::Exec {
                    image: Some(identity.image(true)),
                    credentials: None,
                };
                out.batch.events.push(event(
                    at_ns + 400_000,
                    handle,
                    wire::event::Kind::Exec(exec),
                ));
                out.execs.push(identity.pid);
                let end_ns = at_ns + self.life_time();
                self.ends.push(Reverse((end_ns, handle)));
                self.next_life_ns += self.wait_for_life();
            } else if let Some(Reverse((at_ns, handle))) = self.ends.pop()
                && let Ok(index) = self.running.binary_search_by_key(&handle, |one| one.handle)
            {
                let ended = self.running.remove(index);
                let lived_ns = at_ns - ended.identity.started_unix_ns(self.boot_ns);
                let exit = ended
                    .identity
                    .exit(lived_ns, ended.sampled.then_some(&ended.values));
                out.batch
                    .events
                    .push(event(at_ns, handle, wire::event::Kind::Exit(exit)));
                out.exits.push(ended.identity.pid);
                gone.push(ended.identity.to_wire(handle, self.boot_ns, true));
            }
        }
    }

    pub(super) fn start(&mut self, at_ns: i64, baseline: bool) -> (u32, Identity) {
        let identity = Identity {
            agent: self.plan.agent,
            pid: self.next_pid,
            baseline,
            start_ticks: Identity::ticks(self.boot_ns, at_ns),
        };
        let handle = self.next_handle;
        self.next_pid += 1;
        self.next_handle += 1;
        self.running.push(Running {
            handle,
            identity,
            pace: identity.pace(),
            values: identity.first_values(),
            sampled: false,
        });
        (handle, identity)
    }

    pub(super) fn wait_for_life(&mut self) -> i64 {
        self.random.wait_ns(MINUTE_NS / self.plan.lives_per_minute)
    }

    /// Most are over at once; some last for seconds, and a few for minutes.
    fn life_time(&mut self) -> i64 {
        let mean_ns = match self.random.below(20) {
            0..=14 => 40e6,
            15..=18 => 2e9,
            _ => 120e9,
        };
        1_000_000 + self.random.wait_ns(mean_ns)
    }
}

fn event(ts_unix_ns: i64, handle: u32, kind: wire::event::Kind) -> wire::Event {
    wire::Event {
        ts_unix_ns,
        handle,
        sampled: false,
        kind: Some(kind),
    }
}
