//! What redaction costs each exec: `cargo bench -p procmon-agent --bench redact`. Prints microseconds per argv.

use std::hint::black_box;
use std::time::Instant;

use procmon_agent::redact::Redactor;

const ROUNDS: u32 = 200_000;

fn main() {
    let redactor = Redactor::default();
    let classpath = format!(
        "java\0-cp\0{}\0Main\0",
        "/opt/app/lib/some-library-1.2.3.jar:".repeat(100)
    );
    let cases = [
        ("short", "ls\0-la\0/var/log\0"),
        (
            "typical",
            "/usr/lib/gcc/x86_64-linux-gnu/12/cc1\0-quiet\0-I\0include\0main.c\0-o\0/tmp/ccQ1x.s\0-O2\0-g\0",
        ),
        (
            "flags",
            "/usr/bin/node\0--max-old-space-size=4096\0/srv/app/server.js\0--port=8080\0--log-level=info\0",
        ),
        (
            "shell script",
            "sh\0-c\0cd /srv && for f in *.log; do gzip -9 \"$f\"; done | tee /tmp/out; exit 0\0",
        ),
        ("4 KiB classpath", &classpath),
        (
            "curl with a URL",
            "curl\0-sS\0-o\0/dev/null\0https://example.com/path?page=2&sort=name\0",
        ),
        ("hostile, 8 KiB", &"password=$( curl -u x ".repeat(372)),
        ("hostile, 64 KiB", &"password=$( curl -u x ".repeat(2976)),
        (
            "one secret",
            "mysqldump\0--user=backup\0--password=hunter2\0--all-databases\0",
        ),
    ];
    for (name, args) in cases {
        let rounds = ROUNDS / (args.len() as u32 / 200 + 1);
        let started = Instant::now();
        for _ in 0..rounds {
            black_box(redactor.redact(black_box(args.as_bytes()), 0));
        }
        let us = started.elapsed().as_secs_f64() * 1e6 / f64::from(rounds);
        println!("{name} ({} bytes): {us:.3} us/argv", args.len());
    }
}
