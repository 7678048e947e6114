//! What stands between a client and its server, and does to their connections what networks do.

use std::{
    future::pending,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    runtime,
    sync::watch,
    time::sleep,
};

/// A TCP proxy on a port of its own, which ends when it is dropped.
pub struct Proxy {
    port: u16,
    course: Option<watch::Sender<Course>>,
    taken: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// What a proxy does with the bytes of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Hands them on.
    Pass,
    /// Hands them on, and each piece of an answer so much later.
    Delay(Duration),
    /// Hands them on, but for one piece of an answer in so many: after half of that, the connection is reset.
    Reset {
        /// Of how many.
        one_in: u32,
    },
    /// As `Reset`, but the connection is closed in good order.
    Truncate {
        /// Of how many.
        one_in: u32,
    },
    /// Takes connections and bytes, hands nothing on, and says nothing.
    Hold,
    /// Takes no connections, and has reset those that it had.
    Refuse,
}

#[derive(Clone, Copy)]
struct Course {
    /// The server's port, once it is known.
    upstream: Option<u16>,
    way: Way,
    /// How often all connections were cut.
    cuts: u32,
}

impl Proxy {
    /// A proxy for a server that is still to be [named](Self::lead_to). Until then it [holds](Way::Hold) its connections.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    pub fn new() -> Self {
        let (course, to_follow) = watch::channel(Course { upstream: None, way: Way::Pass, cuts: 0 });
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (place, listener) = {
            let _context = runtime.enter();
            let place = Place::reserve().expect("a free port");
            let listener = place.listen().expect("nobody else has it");
            (place, listener)
        };
        let port = place.address.port();
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let serve = move || runtime.block_on(place.serve(listener, to_follow, &count));
        let thread = thread::Builder::new().name("proxy".to_owned()).spawn(serve).expect("a thread");
        Self { port, course: Some(course), taken, thread: Some(thread) }
    }

    /// A proxy before a server's port.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    pub fn before(upstream: u16) -> Self {
        let proxy = Self::new();
        proxy.lead_to(upstream);
        proxy
    }

    /// The port of 127.0.0.1 that clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What happens to all connections from now on, or a moment later, the present ones included.
    pub fn set(&self, way: Way) {
        self.change(|course| course.way = way);
    }

    /// Has new connections lead to another port, and resets the present ones.
    pub fn lead_to(&self, upstream: u16) {
        self.change(|course| {
            course.upstream = Some(upstream);
            course.cuts += 1;
        });
    }

    /// Resets all present connections.
    pub fn cut(&self) {
        self.change(|course| course.cuts += 1);
    }

    /// How many connections it has taken so far.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn change(&self, change: impl FnOnce(&mut Course)) {
        self.course.as_ref().expect("it ends with its proxy").send_modify(change);
    }
}

impl Default for Proxy {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.course = None;
        // If the thread panicked, it has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// An address that is ours, listened at or not.
struct Place {
    address: SocketAddr,
    /// Never listens, and keeps others from the address while nobody does.
    _reserved: TcpSocket,
}

impl Place {
    fn reserve() -> io::Result<Self> {
        let socket = socket_at((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self { address: socket.local_addr()?, _reserved: socket })
    }

    fn listen(&self) -> io::Result<TcpListener> {
        socket_at(self.address)?.listen(1024)
    }

    /// Takes connections until there is no course to follow any more.
    async fn serve(self, listener: TcpListener, mut course: watch::Receiver<Course>, taken: &AtomicUsize) {
        let answers = Arc::new(AtomicU32::new(0));
        let mut listener = Some(listener);
        loop {
            let refuses = course.borrow_and_update().way == Way::Refuse;
            listener = if refuses { None } else { listener.or_else(|| self.listen().ok()) };
            let accept = async {
                match &listener {
                    Some(listener) => listener.accept().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                changed = course.changed() => if changed.is_err() { return },
                accepted = accept => if let Ok((client, _)) = accepted {
                    taken.fetch_add(1, Ordering::Relaxed);
                    let line = Line { begun: *course.borrow(), course: course.clone(), answers: Arc::clone(&answers) };
                    tokio::spawn(line.connect(client));
                },
            }
        }
    }
}

fn socket_at(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// One connection through the proxy.
#[derive(Clone)]
struct Line {
    /// The course at its beginning.
    begun: Course,
    course: watch::Receiver<Course>,
    /// Counts the pieces of answers of all lines.
    answers: Arc<AtomicU32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Answer,
}

/// How a line ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Reset,
}

impl Line {
    async fn connect(self, mut client: TcpStream) {
        // As late an answer as the server gives, and not later.
        let _ = client.set_nodelay(true);
        let end = tokio::select! {
            // First, so that nothing is handed on after it.
            biased;
            end = self.clone().cut() => end,
            end = self.relay(&mut client) => end,
        };
        if end == End::Reset {
            let _ = client.set_zero_linger();
        }
    }

    async fn relay(mut self, client: &mut TcpStream) -> End {
        let Some(upstream) = self.permission().await.upstream else { return End::Reset };
        let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).await else {
            return End::Reset;
        };
        let _ = server.set_nodelay(true);
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let end = tokio::select! {
            end = self.clone().hand(from_client, to_server, Direction::Request) => end,
            end = self.hand(from_server, to_client, Direction::Answer) => end,
        };
        if end == End::Reset {
            let _ = server.set_zero_linger();
        }
        end
    }

    /// Hands on what comes, until one side ends.
    async fn hand(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, direction: Direction) -> End {
        let mut piece = vec![0; 1 << 16];
        loop {
            let length = match from.read(&mut piece).await {
                Ok(0) => return End::Close,
                Ok(length) => length,
                Err(_) => return End::Reset,
            };
            let way = self.permission().await.way;
            let fault = if direction == Direction::Answer { self.fault(way).await } else { None };
            let handed_on = if fault.is_some() { length / 2 } else { length };
            if to.write_all(&piece[..handed_on]).await.is_err() {
                return End::Reset;
            }
            if let Some(end) = fault {
                return end;
            }
        }
    }

    /// What happens to a piece of an answer: it is late, or the line ends in the middle of it.
    async fn fault(&self, way: Way) -> Option<End> {
        match way {
            Way::Delay(delay) => {
                sleep(delay).await;
                None
            }
            Way::Reset { one_in } => self.is_one_in(one_in).then_some(End::Reset),
            Way::Truncate { one_in } => self.is_one_in(one_in).then_some(End::Close),
            Way::Pass | Way::Hold | Way::Refuse => None,
        }
    }

    /// Waits until something may be handed on, and to somewhere.
    async fn permission(&mut self) -> Course {
        let is_open = |course: &Course| course.way != Way::Hold && course.upstream.is_some();
        let course = self.course.wait_for(is_open).await.map(|course| *course);
        match course {
            Ok(course) => course,
            // The proxy is gone, and with it this line.
            Err(_) => pending().await,
        }
    }

    async fn cut(mut self) -> End {
        let is_cut = |course: &Course| course.cuts != self.begun.cuts || course.way == Way::Refuse;
        // An error says that the proxy is gone, which is an end too.
        let _ = self.course.wait_for(is_cut).await;
        End::Reset
    }

    fn is_one_in(&self, so_many: u32) -> bool {
        self.answers.fetch_add(1, Ordering::Relaxed).is_multiple_of(so_many.max(1))
    }
}
