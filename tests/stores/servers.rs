//! What the tests strike stores with strikes.

use std::{
    fs,
    io::{self, ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use tests::servers::{Proxy, SmallDisk, Way, where_allowed};

/// A server that answers each byte with a name.
fn serve(name: &'static [u8]) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = move |mut client: TcpStream| {
        while client.read_exact(&mut [0]).is_ok() && client.write_all(name).is_ok() {}
    };
    thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            thread::spawn(move || answer(client));
        }
    });
    port
}

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(20);

fn connect(proxy: &Proxy) -> io::Result<TcpStream> {
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port()))?;
    client.set_read_timeout(Some(PATIENCE))?;
    Ok(client)
}

/// What is answered before the connection ends, and how it does.
fn ask(mut client: &TcpStream) -> (Vec<u8>, io::Result<()>) {
    let mut answer = Vec::new();
    let asked = client.write_all(b"?").and_then(|()| {
        while answer.len() < 4 {
            let mut byte = [0];
            client.read_exact(&mut byte)?;
            answer.extend(byte);
        }
        Ok(())
    });
    (answer, asked)
}

fn answers(client: &TcpStream, expected: &[u8]) -> bool {
    let (answer, outcome) = ask(client);
    outcome.is_ok() && answer == expected
}

fn ends(client: &TcpStream, how: ErrorKind) -> bool {
    ask(client).1.is_err_and(|error| error.kind() == how)
}

#[test]
fn a_proxy_hands_on_what_it_may() {
    let proxy = Proxy::before(serve(b"here"));
    let client = connect(&proxy).unwrap();
    assert!(answers(&client, b"here"));
    proxy.lead_to(serve(b"away"));
    assert!(ends(&client, ErrorKind::ConnectionReset));
    assert!(answers(&connect(&proxy).unwrap(), b"away"));
    let (late, begun) = (Duration::from_millis(30), Instant::now());
    proxy.set(Way::Delay(late));
    assert!(answers(&connect(&proxy).unwrap(), b"away"));
    assert!(begun.elapsed() >= late);
}

#[test]
fn a_proxy_ends_an_answer_in_its_middle() {
    let proxy = Proxy::before(serve(b"here"));
    for (way, how) in [
        (Way::Reset { one_in: 1 }, ErrorKind::ConnectionReset),
        (Way::Truncate { one_in: 1 }, ErrorKind::UnexpectedEof),
    ] {
        proxy.set(way);
        let (answer, end) = ask(&connect(&proxy).unwrap());
        assert_eq!((&answer[..], end.unwrap_err().kind()), (&b"he"[..], how));
    }
    proxy.set(Way::Reset { one_in: 3 });
    let client = connect(&proxy).unwrap();
    let answered = (0..3).filter(|_| answers(&client, b"here")).count();
    assert!(answered < 3, "one in three is not answered");
    assert!(answers(&connect(&proxy).unwrap(), b"here"));
}

#[test]
fn a_proxy_that_holds_says_nothing_until_it_goes_on() {
    let proxy = Proxy::before(serve(b"here"));
    let before = connect(&proxy).unwrap();
    assert!(answers(&before, b"here"));
    proxy.set(Way::Hold);
    let during = connect(&proxy).unwrap();
    for client in [&before, &during] {
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(ends(client, ErrorKind::WouldBlock));
        client.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    proxy.set(Way::Pass);
    for client in [&before, &during] {
        // The answer to the question before this one comes first.
        assert!(answers(client, b"here"));
    }
}

#[test]
fn a_proxy_that_refuses_has_no_connections() {
    let proxy = Proxy::before(serve(b"here"));
    let client = connect(&proxy).unwrap();
    assert!(answers(&client, b"here"));
    proxy.set(Way::Refuse);
    assert!(ends(&client, ErrorKind::ConnectionReset));
    let refuses = || connect(&proxy).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
    let is_soon = |holds: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < PATIENCE);
        }
    };
    is_soon(&refuses);
    proxy.set(Way::Pass);
    is_soon(&|| connect(&proxy).is_ok_and(|client| answers(&client, b"here")));
}

#[test]
fn a_small_disk_is_full_until_it_is_emptied() {
    let Some(disk) = where_allowed(SmallDisk::new(1), "right to mount a file system") else { return };
    let file = disk.path().join("file");
    fs::write(&file, "short").unwrap();
    disk.fill();
    let full = fs::write(disk.path().join("other"), [0; 1 << 13]).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    assert_eq!(fs::read(&file).unwrap(), b"short");
    disk.empty();
    fs::write(&file, [0; 1 << 13]).unwrap();
    let place = disk.path().to_owned();
    drop(disk);
    assert!(!place.exists());
}
