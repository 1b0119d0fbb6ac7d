use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::*;

/// As quick as a test wants it: who serves dies long after it is settled, as all others do.
const QUICK: Pace = Pace {
    settled_after: Duration::from_millis(20),
    pause_first: Duration::from_millis(40),
    pause_max: Duration::from_millis(320),
};
const SERVING: &[&str] = &["serving"];
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster of scripts.
struct Fake {
    dir: tempfile::TempDir,
    supervisor: Supervisor,
}

impl Fake {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path()).unwrap();
        layout.prepare().unwrap();
        let file = ClusterFile {
            base_url: String::new(),
            admin_url: String::new(),
            api_key: String::new(),
            api_secret: String::new(),
            admin_token: String::new(),
            supervisor: std::process::id(),
            processes: Vec::new(),
        };
        let mut supervisor = Supervisor::new(layout, file);
        supervisor.pace = QUICK;
        Self { dir, supervisor }
    }

    /// Starts a script that notes when it began and then does what is said.
    fn start(&mut self, role: &'static str, serving: &'static [&'static str], does: &str) {
        let program = self.dir.path().join(format!("{role}.sh"));
        let text =
            format!("#!/bin/sh\ndate +%s%N >>{}\n{does}\n", self.starts_file(role).display());
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        let layout = Layout::new(self.dir.path()).unwrap();
        let mut spec = ProcessSpec::new(role, None, "none", &layout).serving(serving);
        spec.program = program;
        self.supervisor.start(spec).unwrap();
    }

    fn starts_file(&self, role: &str) -> PathBuf {
        self.dir.path().join(format!("{role}.starts"))
    }

    /// Runs until a process has started so often; when it did, in ns.
    async fn run_until(&mut self, role: &str, starts: usize) -> Vec<u64> {
        let file = self.starts_file(role);
        let enough = async {
            while times(&file).len() < starts {
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            ended = self.supervisor.run() => panic!("{ended:?}"),
            () = enough => {}
            () = sleep(PATIENCE) => panic!("{role} was not started {starts} times"),
        }
        times(&file)
    }

    fn managed(&self, role: &str) -> &Managed {
        self.supervisor.managed.iter().find(|m| m.spec.role == role).unwrap()
    }

    fn failed_starts(&self, role: &str) -> u32 {
        self.managed(role).failed_starts
    }
}

fn times(file: &Path) -> Vec<u64> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[tokio::test]
async fn who_never_serves_is_started_less_and_less_often_whatever_it_lives() {
    let mut fake = Fake::new();
    fake.start("engine", SERVING, "echo the log is replayed; sleep 0.05");
    let starts = fake.run_until("engine", 5).await;
    let lived = QUICK.settled_after.as_nanos() as u64;
    let pauses = [0, 1, 2, 4].map(|times| QUICK.pause_first.as_nanos() as u64 * times);
    for (pair, pause) in starts.windows(2).zip(pauses) {
        let gap = pair[1] - pair[0];
        assert!(gap >= lived + pause, "{gap} ns between two starts, with a pause of {pause} ns");
    }
    fake.supervisor.stop().await;
}

#[tokio::test]
async fn who_has_served_is_started_at_once_however_often() {
    let mut fake = Fake::new();
    fake.start("engine", SERVING, "echo now serving; sleep 0.05");
    fake.run_until("engine", 8).await;
    assert_eq!(fake.failed_starts("engine"), 0);
    fake.supervisor.stop().await;
}

/// What an earlier life has said is not said by this one.
#[tokio::test]
async fn each_life_has_to_serve_for_itself() {
    let mut fake = Fake::new();
    let once = "[ -e $0.once ] || { touch $0.once; echo serving; }; sleep 0.05";
    fake.start("engine", SERVING, once);
    fake.run_until("engine", 4).await;
    assert!(fake.failed_starts("engine") >= 2);
    fake.supervisor.stop().await;
}

#[tokio::test]
async fn who_serves_and_dies_before_it_has_settled_waits_too() {
    let mut fake = Fake::new();
    fake.supervisor.pace.settled_after = PATIENCE;
    fake.start("gateway", SERVING, "echo serving");
    fake.run_until("gateway", 3).await;
    assert!(fake.failed_starts("gateway") >= 2);
    fake.supervisor.stop().await;
}

/// A driver says nothing of itself: it serves when a client of it does.
#[tokio::test]
async fn a_driver_under_which_nobody_serves_is_started_less_and_less_often() {
    let mut fake = Fake::new();
    fake.start("driver", &[], "sleep 0.05");
    fake.start("engine", SERVING, "exec sleep 60");
    fake.run_until("driver", 4).await;
    assert!(fake.failed_starts("driver") >= 3);
    let restarts = |role| fake.managed(role).restarts;
    let (driver, engine) = (restarts("driver"), restarts("engine"));
    assert!(
        (driver - 1..=driver).contains(&engine),
        "{engine} of an engine, {driver} of its driver"
    );
    fake.supervisor.stop().await;
}

#[tokio::test]
async fn everything_is_started_again_with_its_driver_at_once_after_it_has_served() {
    let mut fake = Fake::new();
    let until_served = "rm -f $0.seen; until [ -e $0.seen ]; do sleep 0.02; done";
    fake.start("driver", &[], until_served);
    let serves = "echo serving; while touch ${0%/*}/driver.sh.seen; do sleep 0.02; done";
    fake.start("engine", SERVING, serves);
    fake.run_until("engine", 4).await;
    assert_eq!(fake.failed_starts("driver"), 0);
    assert_eq!(fake.failed_starts("engine"), 0);
    fake.supervisor.stop().await;
}

/// Its words are looked for in the logs of programs that do not know of it.
#[test]
fn who_serves_says_so_in_these_words() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let said = [
        ("engine/node/src/cli.rs", "\"serving\""),
        ("gateway/src/run.rs", "\"serving\""),
        ("gateway/src/feed/mod.rs", "\"a simulated index price\""),
        ("gateway/src/feed/source.rs", "\"there is an index\""),
        ("scripts/src/bots.rs", "\"making a market\""),
    ];
    for (file, words) in said {
        let text = fs::read_to_string(sources.join(file)).unwrap();
        assert!(text.contains(words), "{file} does not log {words}");
    }
}

#[test]
fn pauses_double_up_to_a_bound() {
    assert_eq!(PACE.pause_before(0), Duration::ZERO);
    assert_eq!(PACE.pause_before(1), PACE.pause_first);
    assert_eq!(PACE.pause_before(3), PACE.pause_first * 4);
    assert_eq!(PACE.pause_before(u32::MAX), PACE.pause_max);
    let mut failed = 7;
    assert_eq!(PACE.pause_after(true, &mut failed), Duration::ZERO);
    assert_eq!(PACE.pause_after(false, &mut failed), Duration::ZERO, "and begins anew");
    assert_eq!(PACE.pause_after(false, &mut failed), PACE.pause_first);
}
