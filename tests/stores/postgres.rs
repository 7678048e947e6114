//! The PostgreSQL store.

use std::net::TcpStream;

use tests::servers::Postgres;

#[test]
fn a_private_server_comes_back_where_it_was() {
    let Some(mut postgres) = Postgres::start() else { return };
    let port = postgres.server().port();
    postgres.server_mut().kill();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    postgres.server_mut().restart();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
}
