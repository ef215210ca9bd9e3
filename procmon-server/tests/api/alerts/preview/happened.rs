//! Rules about what happened, and about hosts that are sampled more often than rules are evaluated.

use procmon_common::columns::Column;

use super::*;
use crate::support::sampled::SampledHost;
use crate::support::{exited, killed};

const STEPS: u32 = 40;

struct Fleet {
    web: SampledHost,
    db: SampledHost,
    java: u32,
    nginx: u32,
    cron: u32,
}

impl Fleet {
    fn new() -> Self {
        let (mut web, mut db) = (SampledHost::new("web"), SampledHost::new("db"));
        let nginx = web.start(50);
        web.exec(nginx, b"nginx\0");
        let cron = web.start(60);
        web.exec(cron, b"cron\0");
        let java = db.start(70);
        db.exec(java, b"java\0-jar\0a.jar\0");
        Self {
            web,
            db,
            java,
            nginx,
            cron,
        }
    }

    /// What happens before an evaluation.
    fn happen(&mut self, step: u32) {
        let web = &mut self.web;
        if step % 5 == 1 {
            // A shell under nginx, or under cron.
            let parent = if step % 10 == 1 {
                self.nginx
            } else {
                self.cron
            };
            let parent = web.processes[&parent].pid;
            let shell = web.start_below(1000 + step, parent);
            web.exec(shell, b"/bin/sh\0-c\0id\0");
            web.exit(shell, exited(0));
        }
        if step % 7 == 3 {
            // A program that fails under perl, which is under nginx and gone by then.
            let perl = web.start_below(2000 + step, 50);
            web.exec(perl, b"/usr/bin/perl\0");
            let child = web.start_below(3000 + step, 2000 + step);
            web.exec(child, b"/bin/bash\0");
            web.exit(perl, exited(0));
            web.exit(child, exited(1 + step % 2));
        }
        if (10..16).contains(&step) || step == 25 {
            let batch_job = self.db.start(4000 + step);
            self.db.exec(batch_job, b"/usr/bin/job\0");
            self.db.exit(
                batch_job,
                if step.is_multiple_of(2) {
                    killed(9)
                } else {
                    exited(3)
                },
            );
        }
        let cpu = [0, 60, 95, 97, 40, 99, 98][step as usize % 7];
        self.db.set(self.java, Column::CpuCentipercent, cpu * 100);
        self.db.set(
            self.java,
            Column::ReadBytes,
            u64::from(step * step) * 100_000,
        );
        web.set(
            self.nginx,
            Column::CpuCentipercent,
            u64::from(step % 4) * 2500,
        );
        if step == 20 {
            web.exec(self.cron, b"crond\0-n\0");
        }
    }
}

/// Ten minutes, in which one host is silent for a while and then tells what it could not.
async fn ten_minutes(server: &Server) {
    let mut fleet = Fleet::new();
    for step in 0..STEPS {
        fleet.happen(step);
        // Three samples, the last a moment before the evaluation.
        for wait_ms in [4_900, 5_000, 5_000] {
            server.clock.advance_ms(wait_ms);
            for host in [&mut fleet.web, &mut fleet.db] {
                host.agent.now_ns += wait_ms * 1_000_000;
            }
            fleet.web.sample(server).await;
            if !(28..32).contains(&step) {
                fleet.db.sample(server).await;
            }
        }
        server.clock.advance_ms(100);
        for host in [&mut fleet.web, &mut fleet.db] {
            host.agent.now_ns += 100_000_000;
        }
        until_evaluated(server).await;
    }
}

fn case(id: &str, times: usize, body: &Value) -> (Value, usize) {
    let mut rule = json!({ "id": id, "name": id });
    let fields = body.as_object().expect("an object").clone();
    rule.as_object_mut().expect("an object").extend(fields);
    (rule, times)
}

#[tokio::test]
async fn what_would_have_happened_is_what_happened() {
    let keep = "20s";
    let cases = [
        case(
            "shell",
            10,
            &json!({
                "kind": "event", "types": ["exec"], "process_name": "*sh", "q": "'nginx' in ancestors", "keep_firing_for": keep
            }),
        ),
        case(
            "shell_anywhere",
            14,
            &json!({
                "kind": "event", "types": ["exec"], "process_name": "/sh$/", "keep_firing_for": keep,
                "aggregate": { "function": "count", "by": ["name"] }
            }),
        ),
        case(
            "failed",
            8,
            &json!({
                "kind": "event", "types": ["exit"], "q": "exit_code != 0 || signal == 9", "keep_firing_for": "45s"
            }),
        ),
        case(
            "killed",
            1,
            &json!({ "kind": "event", "types": ["exit"], "q": "signal == 9" }),
        ),
        case(
            "loop",
            1,
            &json!({ "kind": "crash_loop", "count": 3, "window": "1m" }),
        ),
        case(
            "loop_anywhere",
            3,
            &json!({
                "kind": "crash_loop", "count": 2, "window": "2m", "aggregate": { "function": "count" }
            }),
        ),
        case(
            "program",
            1,
            &json!({ "kind": "change", "field": "exe", "keep_firing_for": "15s" }),
        ),
        case(
            "busy",
            10,
            &json!({ "metric": "cpu_percent", "operator": ">", "threshold": 94, "for": "15s" }),
        ),
        case(
            "by_name",
            20,
            &json!({
                "metric": "cpu_percent", "operator": ">", "threshold": 50, "aggregate": { "function": "max", "by": ["name", "agent_id"] }
            }),
        ),
        case(
            "by_container",
            1,
            &json!({
                "operator": ">=", "threshold": 1, "aggregate": { "function": "count", "by": ["container_id"] }, "for": "30s"
            }),
        ),
        case(
            "by_cgroup",
            11,
            &json!({
                "metric": "cpu_percent", "operator": ">", "threshold": 120, "aggregate": { "function": "sum", "by": ["cgroup"] }
            }),
        ),
        case(
            "no_cron",
            1,
            &json!({ "kind": "absence", "process_name": "cron", "agent_id": "web" }),
        ),
        case(
            "reading",
            1,
            &json!({
                "kind": "rate", "metric": "read_bytes", "operator": ">", "threshold": 200_000, "window": "45s"
            }),
        ),
        case("down", 1, &json!({ "kind": "host_down", "after": "20s" })),
    ];
    let server = server().await;
    for (body, _) in &cases {
        rule(&server, body).await;
    }
    ten_minutes(&server).await;
    require_the_same(&server, &cases).await;
    server.stop().await;
}
