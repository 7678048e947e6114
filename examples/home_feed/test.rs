//! Starts the example as a user would: runs the `curl` lines that it prints, and several copies of it on one store.

mod copies;

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// What each printed line must show: its label, the status, and a part of the answer.
const EXPECTED: [(&str, u16, &str); 11] = [
    ("log in", 200, r#"{"user":"alice"}"#),
    ("call the feed", 200, r#""feed":["#),
    ("it expires", 401, r#"{"message":"try refresh token"}"#),
    ("refresh", 200, "set-cookie: sRefreshToken="),
    ("call again", 200, r#""feed":["#),
    ("the thief comes", 401, r#"{"message":"token theft detected"}"#),
    ("both are out", 401, "session-error: "),
    ("log in again", 200, r#"{"user":"bob"}"#),
    ("an admin's route", 204, ""),
    ("the devices", 200, r#""current":true"#),
    ("log out", 200, r#"{"status":"OK"}"#),
];

#[test]
fn the_printed_curl_lines_show_the_life_of_a_session() {
    if !curl_is_there() {
        return;
    }
    let folder = env::temp_dir().join(format!("home_feed-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let server = Server::start(home_feed().args(["--access-lifetime", "2s", "--grace", "1s"]));

    for (label, line) in &server.lines {
        let answer = run(line, &folder);
        let Some((_, status, part)) = EXPECTED.iter().find(|(expected, ..)| expected == label) else {
            assert_eq!(label, "a thief copies", "a line that no expectation is stated for");
            continue;
        };
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{label}: {line}\n{answer}");
        assert!(answer.contains(part), "{label}: {line}\n{answer}");
    }
    assert_eq!(server.lines.len(), EXPECTED.len() + 1, "every expected line was printed");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn settings_that_cannot_work_are_all_listed_and_nothing_is_served() {
    let output =
        home_feed().args(["--expired-status", "200", "--access-lifetime", "500ms"]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        error.contains("`expired_status` is 200") && error.contains("`access_lifetime` is 500ms"),
        "{error}"
    );
}

/// The example, on a free port.
fn home_feed() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_home_feed"));
    command.args(["--listen", "127.0.0.1:0"]).env_remove("SESSION_KEYS");
    command
}

/// Whether there is `curl`. Without it a test is skipped, and says so.
fn curl_is_there() -> bool {
    let is_there = Command::new("curl").arg("--version").output().is_ok();
    if !is_there {
        assert!(env::var_os("CI").is_none(), "curl is missing; install it");
        println!("skipped: curl is missing");
    }
    is_there
}

struct Server {
    process: Child,
    /// Where it listens: `http://127.0.0.1:…`.
    base: String,
    lines: Vec<(String, String)>,
}

impl Server {
    /// Starts the example and reads its greeting: where it listens, labels and `curl` lines.
    fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut greeting = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let first = greeting.next().expect("the example starts");
        let base = first.rsplit(' ').next().unwrap().to_owned();
        let lines = greeting
            .take_while(|line| line != "Ctrl-C stops")
            .filter_map(|line| {
                let (label, command) = line.split_once("  ")?;
                Some((label.to_owned(), command.trim().to_owned()))
            })
            .collect();
        Self { process, base, lines }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(line: &str, folder: &Path) -> String {
    let output = Command::new("sh").args(["-c", line]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
