//! Rules about what happened: event and `crash_loop`.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use serde_json::json;

use super::memory_cgroup::MemoryCgroup;
use super::program::{Running, copy, script, shell, unique};
use super::watch::Watch;

const SIGKILL: i32 = 9;

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_because_its_cgroup_has_no_memory_left() {
    // More than the cgroup has, and an end where that limits nothing.
    const DEVOUR: &str = r#"echo 0 > "$1"; x=0123456789abcdef; i=0
        while [ $i -lt 23 ]; do x="$x$x"; i=$((i + 1)); done; exit 92"#;
    let watch = Watch::start("oom").await;
    let name = unique("oom");
    watch
        .rule(&json!({
            "id": "oom", "name": "Out of memory", "kind": "event", "types": ["oom"], "process_name": name,
            "keep_firing_for": "2s"
        }))
        .await;
    let cgroup = MemoryCgroup::create(&format!("procmon-{name}"), 24 << 20);
    let members = cgroup.members();
    let arguments = [members.to_str().expect("UTF-8")];
    let mut devourer = Running::start(&shell(watch.folder(), &name), DEVOUR, &arguments);
    let status = devourer.wait();
    assert_eq!(status.signal(), Some(SIGKILL), "{status}");
    let alert = watch.until("oom", "firing").await;
    assert_eq!(alert["labels"]["type"], "oom", "{alert}");
    assert_eq!(alert["labels"]["name"], name.as_str(), "{alert}");
    assert_eq!(alert["value"], 1.0, "{alert}");
    watch.until("oom", "resolved").await;
    watch.check_lives(&[&alert]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_under_nginx() {
    // Neither is the last command of its shell, which would become it.
    const IN_A_SHELL: &str = r#"/bin/sh -c '"$1" "$2"; :' sh "$1" "$2"; :"#;
    const IN_A_SUBSHELL: &str = r#"( /bin/sh -c '"$1" "$2"; :' sh "$1" "$2"; : ); :"#;
    let watch = Watch::start("nginx").await;
    let marker = unique("mark");
    watch
        .rule(&json!({
            "id": "curl", "name": "Curl", "kind": "event", "types": ["exec"], "process_name": "curl",
            "q": format!("'nginx' in ancestors && '{marker}' in args"), "keep_firing_for": "2s"
        }))
        .await;
    let nginx = shell(watch.folder(), "nginx");
    let curl = copy("/bin/true", watch.folder(), "curl");
    let arguments = [curl.to_str().expect("UTF-8"), &marker];
    // Under a shell that is no nginx it is nobody's business.
    assert!(
        Running::start(Path::new("/bin/sh"), IN_A_SHELL, &arguments)
            .wait()
            .success()
    );
    let execs = format!("events?type=exec&cmdline={marker}&name=curl");
    watch.until_listed(&execs, "events").await;
    watch.until_evaluated().await;
    assert!(
        watch
            .alerts("curl", "pending,firing,resolved")
            .await
            .is_empty()
    );

    let mut lives = Vec::new();
    for script in [IN_A_SHELL, IN_A_SUBSHELL] {
        assert!(Running::start(&nginx, script, &arguments).wait().success());
        let alert = watch.until("curl", "firing").await;
        assert_eq!(alert["labels"]["name"], "curl", "{alert}");
        assert_eq!(alert["labels"]["type"], "exec", "{alert}");
        assert_eq!(alert["value"], 1.0, "{alert}");
        watch.until("curl", "resolved").await;
        lives.push(alert);
    }
    watch.check_lives(&[&lives[0], &lives[1]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_fails_again_and_again() {
    // For a minute at most, if the test is killed and can end nothing.
    const AGAIN: &str = r#"i=0; while [ $i -lt 300 ]; do "$1"; sleep 0.2; i=$((i + 1)); done"#;
    let watch = Watch::start("loop").await;
    let name = unique("loop");
    watch
        .rule(&json!({
            "id": "loop", "name": "Loop", "kind": "crash_loop", "process_name": name, "count": 4, "window": "5s"
        }))
        .await;
    let failing = script(watch.folder(), &name, "exit 1");
    let arguments = [failing.to_str().expect("UTF-8")];
    let supervisor = Running::start(Path::new("/bin/sh"), AGAIN, &arguments);
    let alert = watch.until("loop", "firing").await;
    assert_eq!(alert["labels"]["name"], name.as_str(), "{alert}");
    assert!(alert["value"].as_f64() >= Some(4.0), "{alert}");
    drop(supervisor);
    watch.until("loop", "resolved").await;
    watch.check_lives(&[&alert]).await;
}
