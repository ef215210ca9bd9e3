use std::net::TcpListener;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::{Flags, Host};

fn config(folder: &Path, flags: Flags) -> AgentConfig {
    let flags = Flags {
        spool_dir: Some(folder.to_path_buf()),
        ..flags
    };
    let host = Host {
        name: "web-1".to_owned(),
        is_root: true,
    };
    AgentConfig::resolve(&flags, Vec::new(), &host).expect("valid")
}

fn probe(level: &'static str, ok: bool) -> ProbeFinding {
    ProbeFinding {
        level,
        ok,
        reason: format!("{level} reason"),
        fix: format!("{level} fix"),
    }
}

async fn report_text(config: &AgentConfig, probes: &[ProbeFinding]) -> (bool, String) {
    let mut out = Vec::new();
    let passed = report(config, probes, &mut out).await.expect("writes");
    (passed, String::from_utf8(out).expect("UTF-8"))
}

/// Answers one request with these bytes.
async fn answering(answer: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("binds");
    let address = listener.local_addr().expect("has an address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        let mut request = [0; 1024];
        let length = stream.read(&mut request).await.expect("a request");
        assert!(length > 0);
        stream.write_all(answer.as_bytes()).await.expect("answers");
    });
    format!("http://{address}")
}

fn flags_for(server_url: String) -> Flags {
    Flags {
        server_url: Some(server_url),
        ..Flags::default()
    }
}

#[tokio::test]
async fn a_host_with_everything_passes() {
    let folder = tempfile::tempdir().expect("folder");
    let url = answering("HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}").await;
    let flags = Flags {
        token: Some("hunter2".to_owned()),
        ..flags_for(url.clone())
    };
    let config = config(folder.path(), flags);
    let (passed, text) = report_text(&config, &[probe("ebpf", true), probe("sample", true)]).await;
    assert!(passed, "{text}");
    assert!(text.contains("ok    probe: ebpf: ebpf reason\n"), "{text}");
    assert!(
        text.contains(&format!("ok    server: {url}/healthz answers\n")),
        "{text}"
    );
    assert!(text.contains("agent_id = web-1  (default)\n"), "{text}");
    assert!(
        text.contains("token = (set, not shown)  (--token)\n"),
        "{text}"
    );
    assert!(
        text.contains("warn  token: it is on the command line"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("lists").count(),
        0,
        "it leaves nothing"
    );
}

#[tokio::test]
async fn a_server_that_is_away_is_a_warning() {
    let folder = tempfile::tempdir().expect("folder");
    let free = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = free.local_addr().expect("has an address");
    drop(free);
    let config = config(folder.path(), flags_for(format!("http://{address}")));
    let (passed, text) = report_text(&config, &[probe("ebpf", true)]).await;
    assert!(passed, "{text}");
    let expected = format!(
        "warn  server: http://{address}/healthz: connection refused, nothing listens there\n      fix: start the server"
    );
    assert!(text.contains(&expected), "{text}");
}

#[tokio::test]
async fn a_server_that_is_another_is_a_failure() {
    let folder = tempfile::tempdir().expect("folder");
    let url = answering("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    let (passed, text) = report_text(
        &config(folder.path(), flags_for(url)),
        &[probe("ebpf", true)],
    )
    .await;
    assert!(!passed, "{text}");
    assert!(
        text.contains("but it is not a procmon server\n      fix: set server_url"),
        "{text}"
    );
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_said_to() {
    let folder = tempfile::tempdir().expect("folder");
    let config = config(
        folder.path(),
        flags_for("http://no-such-host.invalid".to_owned()),
    );
    let (_, text) = report_text(&config, &[probe("ebpf", true)]).await;
    assert!(text.contains("the name of the host is not known"), "{text}");
}

#[tokio::test]
async fn plain_http_behind_https_is_a_failure_of_tls() {
    let folder = tempfile::tempdir().expect("folder");
    let url = answering("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let config = config(folder.path(), flags_for(url.replace("http:", "https:")));
    let (passed, text) = report_text(&config, &[probe("ebpf", true)]).await;
    assert!(!passed, "{text}");
    assert!(text.contains("TLS failed"), "{text}");
}

#[test]
fn the_level_that_would_be_used_and_why_not_a_better_one() {
    let probes = [probe("ebpf", false), probe("sample", true)];
    let grades = |wanted: Probe, probes: &[ProbeFinding]| {
        let findings = probe_findings(wanted, probes);
        findings.iter().map(|f| f.grade).collect::<Vec<_>>()
    };
    assert_eq!(grades(Probe::Auto, &probes), [Grade::Warn, Grade::Ok]);
    assert_eq!(grades(Probe::Sample, &probes), [Grade::Ok]);
    assert_eq!(grades(Probe::Ebpf, &probes), [Grade::Fail]);
    assert_eq!(
        grades(Probe::Auto, &probes[..1]),
        [Grade::Warn, Grade::Fail]
    );
}

#[tokio::test]
async fn each_level_that_does_not_work_is_told_with_its_fix() {
    let folder = tempfile::tempdir().expect("folder");
    let config = config(folder.path(), flags_for("http://127.0.0.1:1".to_owned()));
    let probes = [
        probe("ebpf", false),
        probe("tracepoint", false),
        probe("procnet", true),
        probe("sample", true),
    ];
    let (passed, text) = report_text(&config, &probes).await;
    assert!(passed, "{text}");
    let expected = "warn  probe: ebpf does not work: ebpf reason\n      fix: ebpf fix\n\
        warn  probe: tracepoint does not work: tracepoint reason\n      fix: tracepoint fix\n\
        ok    probe: procnet: procnet reason\n";
    assert!(text.contains(expected), "{text}");
    assert!(!text.contains("sample reason"), "{text}");
}

#[test]
fn a_spool_that_cannot_be_written_is_a_failure() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("writes");
    for path in [file.clone(), file.join("below")] {
        let findings = spool::findings(&config(&path, Flags::default()));
        assert_eq!(findings[0].grade, Grade::Fail, "{findings:?}");
        assert!(findings[0].text.contains("is not a folder"), "{findings:?}");
    }
    let missing = folder.path().join("a/b");
    let findings = spool::findings(&config(&missing, Flags::default()));
    assert!(findings[0].grade < Grade::Fail, "{findings:?}");
    assert!(!missing.exists(), "it is the daemon that creates it");
    for relative in ["no-such-spool", "no-such-folder/spool", "./no-such-spool"] {
        let findings = spool::findings(&config(Path::new(relative), Flags::default()));
        assert!(findings[0].grade < Grade::Fail, "{relative}: {findings:?}");
        assert!(!Path::new(relative).exists());
    }
}

#[test]
fn a_spool_in_use_names_the_daemon() {
    let folder = tempfile::tempdir().expect("folder");
    let options = crate::spool::SpoolOptions::new(1 << 20);
    let open = crate::spool::open(folder.path(), options).expect("opens");
    let findings = spool::findings(&config(folder.path(), Flags::default()));
    let pid = std::process::id();
    assert!(
        findings[1].text.ends_with(&format!("with pid {pid}")),
        "{findings:?}"
    );
    drop(open);
}

#[test]
fn what_would_keep_the_daemon_from_starting_is_a_failure() {
    let folder = tempfile::tempdir().expect("folder");
    let rules = folder.path().join("rules.yaml");
    let with_rules = || {
        let flags = Flags {
            redact_rules: Some(rules.clone()),
            ..Flags::default()
        };
        start::redaction(&config(folder.path(), flags))
    };
    assert_eq!(with_rules().grade, Grade::Fail, "there is no file");
    std::fs::write(&rules, "namez: [x]").expect("writes");
    let finding = with_rules();
    assert!(finding.grade == Grade::Fail && finding.text.contains("namez"));
    std::fs::write(&rules, "names: [license-code]").expect("writes");
    assert_eq!(with_rules().grade, Grade::Ok);

    let listening = |address: String| {
        let flags = Flags {
            listen: Some(address),
            ..Flags::default()
        };
        start::listening(&config(folder.path(), flags)).map(|finding| finding.grade)
    };
    assert_eq!(listening("off".to_owned()), None);
    assert_eq!(listening("127.0.0.1:0".to_owned()), Some(Grade::Ok));
    // Of no host: a block for documentation.
    assert_eq!(listening("192.0.2.1:9101".to_owned()), Some(Grade::Fail));
    let taken = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = taken.local_addr().expect("bound").to_string();
    assert_eq!(listening(address), Some(Grade::Warn));
}
