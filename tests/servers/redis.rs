//! Private Redis servers: one, or a cluster.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tempfile::TempDir;

use super::{Launch, Proxy, Server, find, free_port, or_skip, run, wait_until};

/// A Redis server that takes a password.
pub struct Redis {
    server: Server,
    is_encrypted: bool,
}

impl Redis {
    /// The password of the default user.
    pub const PASSWORD: &str = "s3cret-of-the-tests";

    /// Starts a server, or skips the test where there is none.
    ///
    /// # Panics
    ///
    /// If it is missing and `CI=true`, or if it does not start.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// Starts a server with further settings, as they would stand on its command line.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_with(settings: &'static [&'static str]) -> Option<Self> {
        Self::start_in(TempDir::new().expect("a temporary folder"), settings)
    }

    /// As [`start_with`](Self::start_with), with all that it keeps in a folder.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_in(folder: TempDir, settings: &'static [&'static str]) -> Option<Self> {
        is_there()?;
        let server = Server::start(folder, move |folder, port| launch(folder, port, settings));
        Some(Self { server, is_encrypted: false })
    }

    /// Starts a server that is reached by TLS only, with a [certificate](Self::certificate) that nobody else knows.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_encrypted() -> Option<Self> {
        is_there()?;
        or_skip(find("openssl", []), "OpenSSL")?;
        let folder = TempDir::new().expect("a temporary folder");
        certify(folder.path());
        let server = Server::start(folder, |folder, port| {
            let mut launch = launch(folder, 0, &["--tls-auth-clients", "no"]);
            launch.server.args(["--tls-port", &port.to_string(), "--tls-cert-file"]);
            launch.server.arg(folder.join("certificate")).arg("--tls-key-file").arg(folder.join("key"));
            launch.server.arg("--tls-ca-cert-file").arg(folder.join("certificate"));
            launch.probe = cli();
            launch.probe.args(["-e", "-p", &port.to_string(), "--tls", "--cacert"]);
            launch.probe.arg(folder.join("authority")).arg("ping");
            launch
        });
        Some(Self { server, is_encrypted: true })
    }

    /// The certificate, in PEM form, of the authority that certified an [encrypted](Self::start_encrypted) server.
    ///
    /// # Panics
    ///
    /// If the server has none.
    pub fn certificate(&self) -> String {
        fs::read_to_string(self.server.folder().join("authority")).expect("it has a certificate")
    }

    /// The server that the tests of this process share, while one of them holds it.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Redis>> = Mutex::new(Weak::new());
        shared(&SHARED, Self::start)
    }

    /// Has it receive what is written to another one, a moment later, and waits until it has received all that is there.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn follow(&self, primary: &Self) {
        self.ask(&["replicaof", "127.0.0.1", &primary.server.port().to_string()]);
        let is_up = || self.ask(&["info", "replication"]).contains("master_link_status:up");
        wait_until("the replica has what the primary has", is_up);
    }

    /// Has it follow nobody, and take what is written to it.
    pub fn promote(&self) {
        self.ask(&["replicaof", "no", "one"]);
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        let url = self.url_at(self.server.port());
        if self.is_encrypted { url.replacen("redis", "rediss", 1) } else { url }
    }

    /// Where it is reached through a port that leads to it.
    pub fn url_at(&self, port: u16) -> String {
        url_at(port)
    }

    /// Runs a command on it, and returns what it answers.
    pub fn ask(&self, command: &[&str]) -> String {
        ask(self.server.port(), command)
    }

    /// Begins to write down what clients send.
    ///
    /// # Panics
    ///
    /// If `redis-cli` does not run.
    pub fn monitor(&self) -> Monitor {
        let mut process = cli();
        process.args(["-p", &self.server.port().to_string(), "monitor"]).stdout(Stdio::piped());
        let mut process = process.spawn().expect("`redis-cli` runs");
        let mut lines = BufReader::new(process.stdout.take().expect("stdout is piped")).lines();
        lines.next();
        Monitor { process, lines, port: self.server.port() }
    }

    /// Its process and port.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Its process, to be ended and restarted.
    pub fn server_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

/// What clients send to a server.
pub struct Monitor {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Monitor {
    /// The commands that clients sent since the last call, but not those within scripts.
    ///
    /// # Panics
    ///
    /// If the server is gone.
    pub fn sent_so_far(&mut self) -> Vec<String> {
        const END: &str = "that is all so far";
        ask(self.port, &["echo", END]);
        let lines = self.lines.by_ref().map(|line| line.expect("the monitor goes on"));
        let sent = lines.take_while(|line| !line.contains(END));
        sent.filter(|line| !line.contains(" lua]") && !line.contains("\"AUTH\"")).collect()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // It may have ended with the server.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A cluster of three primaries, each with a replica.
pub struct RedisCluster(Vec<ClusterNode>);

/// A server of a cluster.
pub struct ClusterNode {
    server: Server,
    /// Where it tells others to reach it.
    proxy: Option<Proxy>,
}

impl RedisCluster {
    const SETTINGS: &[&str] = &[
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        "2000",
        "--cluster-replica-validity-factor",
        "0",
    ];

    /// Starts a cluster, or skips the test where there is no server.
    ///
    /// # Panics
    ///
    /// If it is missing and `CI=true`, or if it does not come together.
    pub fn start() -> Option<Self> {
        Self::start_of(|| ClusterNode::start(TempDir::new().expect("a temporary folder"), None))
    }

    /// As [`start`](Self::start), with a proxy before each server, through which all clients go, and replicas too.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_behind_proxies(folder: impl Fn() -> TempDir) -> Option<Self> {
        Self::start_of(|| ClusterNode::start(folder(), Some(Proxy::new())))
    }

    fn start_of(node: impl Fn() -> ClusterNode) -> Option<Self> {
        is_there()?;
        let nodes: Vec<_> = (0..6).map(|_| node()).collect();
        let mut create = cli();
        create.args(["--cluster", "create"]);
        create.args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())));
        run(create.args(["--cluster-replicas", "1", "--cluster-yes"]));
        let cluster = Self(nodes);
        cluster.wait_until_whole();
        Some(cluster)
    }

    /// The cluster that the tests of this process share, while one of them holds it.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<RedisCluster>> = Mutex::new(Weak::new());
        shared(&SHARED, Self::start)
    }

    /// Where it is reached, as an application is told: all of its servers in one URL.
    pub fn url(&self) -> String {
        let urls = self.urls();
        let nodes: Vec<_> = urls.iter().filter_map(|url| url.strip_prefix("redis://")).collect();
        format!("redis-cluster://{}", nodes.join(","))
    }

    /// Where its servers are reached.
    pub fn urls(&self) -> Vec<String> {
        self.0.iter().map(|node| url_at(node.port())).collect()
    }

    /// Its servers.
    pub fn nodes(&self) -> &[ClusterNode] {
        &self.0
    }

    /// Its servers, to be ended and restarted.
    pub fn nodes_mut(&mut self) -> &mut [ClusterNode] {
        &mut self.0
    }

    /// The places among its servers of each primary that has a replica, and of that.
    pub fn pairs(&self) -> Vec<(usize, usize)> {
        let nodes = self.0[0].ask(&["cluster", "nodes"]);
        let place = |line: &str| self.0.iter().position(|node| port_of(line) == Some(node.port()));
        let primary_of = |replica: &str| {
            let id = replica.split(' ').nth(3).filter(|id| *id != "-")?;
            nodes.lines().find(|line| line.starts_with(id)).and_then(place)
        };
        nodes.lines().filter_map(|line| Some((primary_of(line)?, place(line)?))).collect()
    }

    /// Runs a command on the server that it concerns, and returns what that answers.
    pub fn ask(&self, command: &[&str]) -> String {
        ask(self.0[0].port(), &[&["-c"], command].concat())
    }

    /// Waits until every server knows of three primaries with a replica each.
    ///
    /// # Panics
    ///
    /// If that does not happen.
    pub fn wait_until_whole(&self) {
        let is_whole = |node: &ClusterNode| {
            node.ask(&["cluster", "info"]).contains("cluster_state:ok")
                && node.sees("master").len() == 3
                && node.sees("slave").len() == 3
        };
        wait_until("the cluster is whole", || self.0.iter().all(is_whole));
    }

    /// Kills the primary that has a key, and waits until its replica has taken over.
    ///
    /// # Panics
    ///
    /// If none does.
    pub fn kill_primary_of(&mut self, key: &str) {
        let (slot, primary) = self.primary_of(key);
        self.0[primary].server.kill();
        self.wait_until_replaced(slot, primary);
    }

    /// Stops the primary that has a key, so that its connections stay and nobody answers, and waits until its replica has taken over.
    ///
    /// # Panics
    ///
    /// If none does.
    pub fn freeze_primary_of(&self, key: &str) {
        let (slot, primary) = self.primary_of(key);
        self.0[primary].server.freeze();
        self.wait_until_replaced(slot, primary);
    }

    /// The slot of a key, and the place of its primary, whose replica has all that was written so far.
    fn primary_of(&self, key: &str) -> (u16, usize) {
        let slot = self.0[0].ask(&["cluster", "keyslot", key]).parse().expect("a slot");
        let port = self.0[0].primary_of(slot).expect("the slot is somebody's");
        let primary = self.0.iter().position(|node| node.port() == port).expect("the node is ours");
        // What is written goes to the replica a moment later.
        self.0[primary].ask(&["wait", "1", "1000"]);
        (slot, primary)
    }

    fn wait_until_replaced(&self, slot: u16, gone: usize) {
        let witness = &self.0[(gone + 1) % self.0.len()];
        wait_until("the replica takes over", || {
            witness.primary_of(slot).is_some_and(|primary| primary != self.0[gone].port())
                && witness.ask(&["cluster", "info"]).contains("cluster_state:ok")
        });
    }
}

impl ClusterNode {
    fn start(folder: TempDir, proxy: Option<Proxy>) -> Self {
        let bus = free_port().to_string();
        let announced = proxy.as_ref().map(|proxy| proxy.port().to_string());
        let server = Server::start(folder, move |folder, port| {
            let mut launch = launch(folder, port, RedisCluster::SETTINGS);
            // While one that is replaced copies what the other has, it does not end for `TERM`.
            launch.stop = "KILL";
            launch.server.args(["--cluster-port", &bus]);
            if let Some(announced) = &announced {
                launch.server.args(["--cluster-announce-port", announced]);
            }
            launch
        });
        if let Some(proxy) = &proxy {
            proxy.lead_to(server.port());
        }
        Self { server, proxy }
    }

    /// The port that clients reach it at.
    pub fn port(&self) -> u16 {
        self.proxy.as_ref().map_or(self.server.port(), Proxy::port)
    }

    /// What stands before it.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// Its process.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Its process, to be ended and restarted.
    pub fn server_mut(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Runs a command on it, past its proxy, and returns what it answers.
    pub fn ask(&self, command: &[&str]) -> String {
        ask(self.server.port(), command)
    }

    /// Has a replica receive nothing any more.
    ///
    /// # Panics
    ///
    /// If it goes on.
    pub fn cut_off(&self) {
        self.ask(&["config", "set", "masterauth", "none"]);
        self.ask(&["client", "kill", "type", "master"]);
        let is_down = || self.ask(&["info", "replication"]).contains("master_link_status:down");
        wait_until("the replica is cut off", is_down);
    }

    /// Makes a replica the primary, whether or not the others agree, and follows others again when it is told to.
    pub fn take_over(&self) {
        self.ask(&["cluster", "failover", "takeover"]);
        self.ask(&["config", "set", "masterauth", Redis::PASSWORD]);
    }

    /// The ports of the others of a role that it can reach, and its own.
    fn sees(&self, role: &str) -> Vec<u16> {
        let nodes = self.ask(&["cluster", "nodes"]);
        let is_up = |line: &&str| {
            let flags = line.split(' ').nth(2).unwrap_or_default();
            flags.split(',').any(|flag| flag == role)
                && !flags.contains("fail")
                && line.contains(" connected")
        };
        nodes.lines().filter(is_up).filter_map(port_of).collect()
    }

    fn primary_of(&self, slot: u16) -> Option<u16> {
        let nodes = self.ask(&["cluster", "nodes"]);
        let owns = |line: &&str| {
            line.split(' ').skip(8).any(|range| {
                let (from, to) = range.split_once('-').unwrap_or((range, range));
                matches!((from.parse(), to.parse()), (Ok(from), Ok(to)) if (from..=to).contains(&slot))
            })
        };
        nodes.lines().find(owns).and_then(port_of)
    }
}

/// A primary, its replica, and a Sentinel that replaces the one by the other.
pub struct RedisSentinel {
    primary: Server,
    _replica: Server,
    sentinel: Server,
}

impl RedisSentinel {
    /// What the Sentinel calls the server.
    pub const SERVICE: &str = "sessions";

    /// Starts them, or skips the test where there is no server.
    ///
    /// # Panics
    ///
    /// If it is missing and `CI=true`, or if they don't find each other.
    pub fn start() -> Option<Self> {
        is_there()?;
        let folder = || TempDir::new().expect("a temporary folder");
        let primary = Server::start(folder(), |folder, port| launch(folder, port, &[]));
        let of = primary.port();
        let replica = Server::start(folder(), move |folder, port| {
            launch(folder, port, &["--replicaof", &format!("127.0.0.1 {of}")])
        });
        let sentinel = Server::start(folder(), move |folder, port| watch(folder, port, of));
        let servers = Self { primary, _replica: replica, sentinel };
        let is_known =
            || servers.ask_sentinel(&["sentinel", "master", Self::SERVICE]).contains("num-slaves\n1");
        wait_until("the Sentinel knows the replica", is_known);
        Some(servers)
    }

    /// Where the Sentinel is reached.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.sentinel.port())
    }

    /// Kills the primary, and waits until the Sentinel names the replica in its place.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn kill_primary(&mut self) {
        // What is written goes to the replica a moment later.
        ask(self.primary.port(), &["wait", "1", "1000"]);
        self.primary.kill();
        let port = self.primary.port().to_string();
        wait_until("the replica takes over", || {
            !self.ask_sentinel(&["sentinel", "get-master-addr-by-name", Self::SERVICE]).contains(&port)
        });
    }

    /// Runs a command on the first primary, and returns what it answers.
    pub fn ask(&self, command: &[&str]) -> String {
        ask(self.primary.port(), command)
    }

    /// Runs a command on the Sentinel, and returns what it answers.
    pub fn ask_sentinel(&self, command: &[&str]) -> String {
        ask(self.sentinel.port(), command)
    }
}

/// How a Sentinel is started.
fn watch(folder: &Path, port: u16, primary: u16) -> Launch {
    let (service, password) = (RedisSentinel::SERVICE, Redis::PASSWORD);
    let settings = [
        format!("port {port}"),
        "bind 127.0.0.1".to_owned(),
        format!("sentinel monitor {service} 127.0.0.1 {primary} 1"),
        format!("sentinel auth-pass {service} {password}"),
        format!("sentinel down-after-milliseconds {service} 500"),
        format!("sentinel failover-timeout {service} 3000"),
    ];
    // The Sentinel writes to it.
    let file = folder.join("sentinel.conf");
    fs::write(&file, settings.join("\n")).expect("the folder is ours");
    let mut server = Command::new(find("redis-server", []).expect("Redis was found before"));
    server.arg(file).arg("--sentinel").current_dir(folder);
    let mut probe = Command::new("redis-cli");
    probe.args(["-e", "-h", "127.0.0.1", "-p", &port.to_string(), "ping"]);
    Launch { server, probe, stop: "TERM" }
}

/// Makes a key for a server, and an authority that certifies it.
fn certify(folder: &Path) {
    let openssl = |arguments: &[&str]| run(Command::new("openssl").args(arguments).current_dir(folder));
    let of_authority = ["-keyout", "authority-key", "-out", "authority", "-subj", "/CN=authority"];
    openssl(&[&["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"], &of_authority[..]].concat());
    openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "key",
        "-out",
        "request",
        "-subj",
        "/CN=server",
    ]);
    fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1").expect("the folder is ours");
    let by_authority =
        ["-CA", "authority", "-CAkey", "authority-key", "-CAcreateserial", "-extfile", "names"];
    let certificate = ["x509", "-req", "-in", "request", "-days", "2", "-out", "certificate"];
    openssl(&[&certificate[..], &by_authority].concat());
}

/// The port in a line of `CLUSTER NODES`: `<id> <host>:<port>@<bus> …`.
fn port_of(line: &str) -> Option<u16> {
    line.split(' ').nth(1)?.split('@').next()?.rsplit(':').next()?.parse().ok()
}

fn launch(folder: &Path, port: u16, settings: &[&str]) -> Launch {
    let mut server = Command::new(find("redis-server", []).expect("Redis was found before"));
    server.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(folder);
    server.args(["--requirepass", Redis::PASSWORD, "--masterauth", Redis::PASSWORD]);
    server.args(["--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction"]);
    server.args(["--repl-diskless-sync-delay", "0"]).args(settings);
    let mut probe = cli();
    probe.args(["-e", "-p", &port.to_string(), "ping"]);
    Launch { server, probe, stop: "TERM" }
}

fn cli() -> Command {
    let mut cli = Command::new("redis-cli");
    cli.args(["-h", "127.0.0.1"]).env("REDISCLI_AUTH", Redis::PASSWORD);
    cli
}

fn ask(port: u16, command: &[&str]) -> String {
    let output = cli().args(["-p", &port.to_string()]).args(command).output().expect("`redis-cli` runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn url_at(port: u16) -> String {
    format!("redis://:{}@127.0.0.1:{port}", Redis::PASSWORD)
}

fn is_there() -> Option<()> {
    or_skip(find("redis-server", []).and(find("redis-cli", [])), "Redis").map(drop)
}

fn shared<T>(shared: &Mutex<Weak<T>>, start: impl FnOnce() -> Option<T>) -> Option<Arc<T>> {
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = shared.upgrade() {
        return Some(running);
    }
    let started = Arc::new(start()?);
    *shared = Arc::downgrade(&started);
    Some(started)
}
