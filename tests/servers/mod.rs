//! Private servers for tests: each in a temporary folder, on a free port of 127.0.0.1, ended with the test.

mod disk;
mod pgbouncer;
mod postgres;
mod proxy;
mod redis;

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub use self::{
    disk::SmallDisk,
    pgbouncer::PgBouncer,
    postgres::Postgres,
    proxy::{Proxy, Way},
    redis::{Monitor, Redis, RedisCluster, RedisSentinel},
};

/// How long a server may take until it answers, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a server is started anew because somebody else was faster to take its port.
const ATTEMPTS: usize = 3;

/// A program on the `PATH`, or in one of the `places` where distributions keep what they don't put there.
pub fn find(program: &str, places: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let candidates = env::split_paths(&path).chain(places).map(|place| place.join(program));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

/// What a test needs, or nothing, which the test takes as its end: it is skipped, and says so.
///
/// # Panics
///
/// If it is missing, and `CI=true`.
pub fn or_skip<T>(found: Option<T>, what: &str) -> Option<T> {
    if found.is_none() {
        assert!(env::var("CI").as_deref() != Ok("true"), "{what} is missing; tests/all.sh installs it");
        eprintln!("skipped: {what} is missing; tests/all.sh installs it");
    }
    found
}

/// What the machine and the user's rights allow, or nothing, which the test takes as its end: nobody can install it.
pub fn where_allowed<T>(allowed: Option<T>, what: &str) -> Option<T> {
    if allowed.is_none() {
        eprintln!("skipped: there is no {what} here");
    }
    allowed
}

/// A port of 127.0.0.1 that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// A server under test: its folder, its port, and its process while it runs.
pub struct Server {
    process: Option<Process>,
    port: u16,
    launch: Launcher,
    folder: TempDir,
}

type Launcher = Box<dyn Fn(&Path, u16) -> Launch + Send + Sync>;

/// How a server is started and stopped.
#[derive(Debug)]
pub struct Launch {
    /// The server itself, in the foreground: the program, its arguments, and what it has in its environment.
    pub server: Command,
    /// A command that succeeds when the server answers.
    pub probe: Command,
    /// The signal that ends the server without delay and without damage.
    pub stop: &'static str,
}

impl Server {
    /// Starts a server, and waits until it answers. `launch` tells how, for a folder of its own and a port.
    ///
    /// # Panics
    ///
    /// If it does not answer; the message holds its log.
    pub fn start(folder: TempDir, launch: impl Fn(&Path, u16) -> Launch + Send + Sync + 'static) -> Self {
        let mut server = Self { process: None, port: 0, launch: Box::new(launch), folder };
        for attempt in 1..=ATTEMPTS {
            server.port = free_port();
            match server.launch() {
                Ok(()) => break,
                Err(error) => assert!(attempt < ATTEMPTS, "{error}"),
            }
        }
        server
    }

    /// The port that it listens on, the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has said since it was first started.
    pub fn log(&self) -> String {
        fs::read(self.folder().join("log"))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// The folder that holds all that it keeps.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends it a signal, such as `STOP` and `CONT`.
    pub fn signal(&self, signal: &str) {
        self.process.as_ref().expect("the server runs").signal(signal);
    }

    /// Stops it, and the processes that it has started, until it is [thawed](Self::thaw).
    pub fn freeze(&self) {
        self.signal("STOP");
        self.process
            .as_ref()
            .into_iter()
            .flat_map(Process::children)
            .for_each(|child| signal("STOP", &child));
    }

    /// Has it go on after [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.process
            .as_ref()
            .into_iter()
            .flat_map(Process::children)
            .for_each(|child| signal("CONT", &child));
        self.signal("CONT");
    }

    /// Ends it, and the processes that it has started, as a power failure would: `kill -9`.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            // So that it starts no more of them.
            signal("STOP", &process.server);
            let children = process.children();
            signal("KILL", &process.server);
            children.iter().for_each(|child| signal("KILL", child));
        }
    }

    /// Starts it again after [`kill`](Self::kill), on the same port and folder, and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    pub fn restart(&mut self) {
        self.kill();
        let started = Instant::now();
        // What belonged to the killed process may not be free at once.
        while let Err(error) = self.launch() {
            assert!(started.elapsed() < PATIENCE, "{error}");
            sleep(Duration::from_millis(100));
        }
    }

    /// Waits until it answers, and starts it again if it has ended by itself.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    pub fn await_return(&mut self) {
        let Launch { mut probe, .. } = (self.launch)(self.folder.path(), self.port);
        let started = Instant::now();
        while !succeeds(&mut probe) {
            if self.process.as_mut().is_none_or(Process::has_ended) {
                return self.restart();
            }
            assert!(started.elapsed() < PATIENCE, "{probe:?} fails:\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    fn launch(&mut self) -> Result<(), String> {
        let Launch { server, mut probe, stop } = (self.launch)(self.folder.path(), self.port);
        let log = self.folder.path().join("log");
        let mut process =
            Process::start(&server, stop, &log).map_err(|error| format!("{server:?}: {error}"))?;
        let started = Instant::now();
        let failure = loop {
            if succeeds(&mut probe) {
                self.process = Some(process);
                return Ok(());
            }
            if process.has_ended() {
                break "ended at once";
            }
            if started.elapsed() > PATIENCE {
                break "does not answer";
            }
            sleep(Duration::from_millis(20));
        };
        let log = fs::read_to_string(log).unwrap_or_default();
        Err(format!("{server:?} {failure}:\n{log}"))
    }
}

/// Sends a signal to a process, which may have ended by itself.
fn signal(signal: &str, process: &str) {
    succeeds(Command::new("kill").args(["-s", signal, process]));
}

/// Runs a command to its end.
///
/// # Panics
///
/// If it fails; the message holds what it said.
pub fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed with {}:\n{said}", output.status);
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "in vain it was waited until {what}");
        sleep(Duration::from_millis(50));
    }
}

fn succeeds(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A user without rights, for servers that refuse to run as root.
#[derive(Clone, Copy, Debug)]
pub struct Unprivileged {
    user: u32,
    group: u32,
}

impl Unprivileged {
    /// `nobody`, if this process is root's; nothing if it is somebody else's already.
    pub fn if_root() -> Option<Self> {
        (id(&["-u"])? == 0).then_some(())?;
        Some(Self { user: id(&["-u", "nobody"])?, group: id(&["-g", "nobody"])? })
    }

    /// Gives a file or folder to that user.
    pub fn own(self, path: &Path) {
        chown(path, Some(self.user), Some(self.group)).expect("root may give a file away");
    }

    /// The command, run as that user in the same process.
    pub fn command(self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={}", self.user)).arg(format!("--regid={}", self.group));
        command.arg("--clear-groups").arg("--").arg(program);
        command
    }
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    str::from_utf8(&output.stdout).ok()?.trim().parse().ok()
}

/// A process that ends when it is dropped, and with the test's own process, however that ends.
#[derive(Debug)]
struct Process {
    shell: Child,
    server: String,
    /// Closed when this process ends, which the shell takes as the sign to end the server.
    lifeline: Option<ChildStdin>,
}

/// Runs the server, tells its process id, and ends it when the standard input is closed.
const GUARDIAN: &str = r#"
log=$1 stop=$2; shift 2
exec 3<&0
"$@" </dev/null >>"$log" 2>&1 3<&- &
server=$!
{ cat; kill -s "$stop" "$server"; kill -s CONT "$server"; } <&3 >/dev/null 2>&1 &
guardian=$!
echo "$server"
exec 3<&- >/dev/null
wait "$server"
kill "$guardian"
"#;

impl Process {
    fn start(command: &Command, stop: &str, log: &Path) -> io::Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", GUARDIAN, "sh"]).arg(log).arg(stop);
        shell.arg(command.get_program()).args(command.get_args());
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = shell.spawn()?;
        let lifeline = shell.stdin.take();
        let mut server = String::new();
        BufReader::new(shell.stdout.take().expect("stdout is piped")).read_line(&mut server)?;
        Ok(Self { shell, server: server.trim().to_owned(), lifeline })
    }

    fn has_ended(&mut self) -> bool {
        self.shell.try_wait().is_ok_and(|status| status.is_some())
    }

    fn signal(&self, signal: &str) {
        run(Command::new("kill").args(["-s", signal, &self.server]));
    }

    fn children(&self) -> Vec<String> {
        let listed =
            Command::new("ps").args(["-A", "-o", "ppid=,pid="]).output().expect("`ps` lists processes");
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let pairs = listed.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
        pairs.filter(|(parent, _)| *parent == self.server).map(|(_, child)| child.trim().to_owned()).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.lifeline = None;
        let _ = self.shell.wait();
    }
}
