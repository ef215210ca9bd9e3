//! What runs on the made-up hosts.

/// A program as it is started: `{n}` in its command line is a number, `{h}` a hexadecimal name, both of the process' own.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Path and arguments, with a space between any two.
    pub command: &'static str,
    pub user: (u32, &'static str),
    pub place: Place,
    pub rss_mib: u32,
    pub threads: u32,
    pub open_fds: u32,
    /// Listens on this port, and others of its kind on those above.
    pub port: Option<u16>,
}

/// Where in the hierarchy of cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A thread of the kernel: it has no executable, no arguments and no memory.
    Kernel,
    Service(&'static str),
    /// A container of its own, or one that a few processes share.
    Container,
    Session,
}

impl Program {
    pub fn path(&self) -> &'static str {
        self.command.split(' ').next().unwrap_or_default()
    }

    /// As the kernel names it: the last part of the path, cut to 15 bytes.
    pub fn name(&self) -> &'static str {
        let path = self.path();
        let name = match self.place {
            Place::Kernel => path,
            _ => path.rsplit('/').next().unwrap_or_default(),
        };
        &name[..name.len().min(15)]
    }
}

const ROOT: (u32, &str) = (0, "root");
const APP: (u32, &str) = (1001, "app");
const POSTGRES: (u32, &str) = (114, "postgres");
const WWW: (u32, &str) = (33, "www-data");
const ALICE: (u32, &str) = (1000, "alice");
const NOBODY: (u32, &str) = (65534, "nobody");

const fn program(
    command: &'static str,
    user: (u32, &'static str),
    place: Place,
    rss_mib: u32,
    threads: u32,
    open_fds: u32,
    port: Option<u16>,
) -> Program {
    Program {
        command,
        user,
        place,
        rss_mib,
        threads,
        open_fds,
        port,
    }
}

const fn kernel(name: &'static str) -> Program {
    program(name, ROOT, Place::Kernel, 0, 1, 0, None)
}

/// What stays: process n of a host is number n of this list, again and again. The first is the ancestor of all.
#[rustfmt::skip]
pub const SERVICES: [Program; 24] = [
    program("/usr/lib/systemd/systemd --system --deserialize={n}", ROOT, Place::Service("init.scope"), 12, 1, 180, None),
    kernel("kworker/{n}:1-events"),
    program("/usr/sbin/nginx -g daemon\u{a0}off; worker_processes={n}", WWW, Place::Service("nginx.service"), 18, 1, 64, Some(8000)),
    program("/usr/lib/jvm/java-21/bin/java -Xmx2g -Dinstance={h} -XX:+UseG1GC -cp /opt/app/lib/* com.example.orders.Main --port {n}", APP, Place::Container, 900, 84, 310, Some(9000)),
    program("/usr/lib/postgresql/16/bin/postgres -D /var/lib/postgresql/16/main --client={n}", POSTGRES, Place::Service("postgresql@16-main.service"), 40, 1, 30, None),
    kernel("ksoftirqd/{n}"),
    program("/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id {h} -address /run/containerd/containerd.sock", ROOT, Place::Service("containerd.service"), 14, 12, 20, None),
    program("/usr/local/bin/node /srv/frontend/server.js --shard={n}", APP, Place::Container, 160, 11, 48, Some(3000)),
    program("/usr/bin/python3 -m celery -A tasks worker --hostname=worker{n}@{h}", APP, Place::Container, 120, 4, 25, None),
    kernel("migration/{n}"),
    program("/usr/sbin/sshd -D -o ListenPort={n}", ROOT, Place::Service("ssh.service"), 8, 1, 9, Some(2200)),
    program("/usr/bin/redis-server *:{n}", NOBODY, Place::Container, 60, 5, 40, Some(6379)),
    program("/usr/local/bin/envoy -c /etc/envoy/envoy.yaml --service-node sidecar~{h} --concurrency 2", NOBODY, Place::Container, 70, 18, 120, Some(15000)),
    kernel("kworker/u{n}:2-flush-8:0"),
    program("/opt/prometheus/bin/node_exporter --web.listen-address=:{n}", NOBODY, Place::Service("node-exporter.service"), 22, 7, 14, Some(9100)),
    program("/usr/bin/dockerd -H fd:// --label shard={n}", ROOT, Place::Service("docker.service"), 95, 24, 90, None),
    program("/usr/sbin/apache2 -k start -D worker{n}", WWW, Place::Service("apache2.service"), 25, 3, 20, Some(8080)),
    kernel("rcu_par_gp_{n}"),
    program("/usr/bin/bash --login --rcfile /home/alice/.bashrc.{n}", ALICE, Place::Session, 6, 1, 4, None),
    program("/usr/bin/tail -F /var/log/app/{h}.log", ALICE, Place::Session, 2, 1, 5, None),
    program("/usr/bin/coredns -conf /etc/coredns/Corefile -pidfile /run/{h}.pid", NOBODY, Place::Container, 45, 9, 22, Some(5300)),
    program("/usr/lib/systemd/systemd-journald --namespace={n}", ROOT, Place::Service("systemd-journald.service"), 30, 1, 70, None),
    kernel("jbd2/vda{n}-8"),
    program("/opt/app/bin/consumer --topic=orders-{n} --group={h} --brokers=10.0.0.1:9092,10.0.0.2:9092,10.0.0.3:9092", APP, Place::Container, 55, 14, 33, None),
];

/// What comes and goes.
#[rustfmt::skip]
pub const COMMANDS: [Program; 12] = [
    program("/bin/sh -c /usr/local/bin/healthcheck", APP, Place::Container, 2, 1, 4, None),
    program("/usr/local/bin/healthcheck --target 10.3.{n}.17:8080 --timeout 2s", APP, Place::Container, 9, 5, 8, None),
    program("/usr/bin/curl -fsS http://127.0.0.1:{n}/healthz", APP, Place::Container, 11, 1, 6, None),
    program("/usr/bin/runc --root /run/containerd/runc/k8s.io --log-format json exec --process /tmp/runc-process{n} --detach {h}", ROOT, Place::Service("containerd.service"), 16, 7, 10, None),
    program("/usr/bin/date +%s", ROOT, Place::Service("cron.service"), 2, 1, 3, None),
    program("/usr/bin/grep -q ready /var/run/state", ROOT, Place::Service("cron.service"), 2, 1, 4, None),
    program("/usr/bin/python3 /opt/jobs/report.py --tenant {n} --out /var/spool/reports/{h}.csv", APP, Place::Service("cron.service"), 48, 2, 9, None),
    program("/usr/sbin/logrotate /etc/logrotate.conf --state /var/lib/logrotate/status.{n}", ROOT, Place::Service("logrotate.service"), 4, 1, 6, None),
    program("/usr/bin/git -C /srv/checkout/{h} rev-parse HEAD", ALICE, Place::Session, 5, 1, 5, None),
    program("/usr/lib/postgresql/16/bin/postgres: autovacuum worker {n}", POSTGRES, Place::Service("postgresql@16-main.service"), 24, 1, 20, None),
    program("/usr/bin/cat /proc/{n}/status", ALICE, Place::Session, 2, 1, 4, None),
    program("/usr/bin/sleep 5", APP, Place::Container, 2, 1, 3, None),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_kernel() {
        assert_eq!(SERVICES[0].name(), "systemd");
        assert_eq!(SERVICES[6].name(), "containerd-shim");
        assert_eq!(SERVICES[1].name(), "kworker/{n}:1-e");
    }
}
