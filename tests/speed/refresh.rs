//! Refreshes a second, beside what the server or the file can do for one statement of the same kind.

use std::path::Path;

use session_runtime::{
    NewSession, Tokens,
    store::{Durability, PostgresStore, RedisStore, Row, SessionStore, SqliteStore},
};
use tests::servers::{Postgres, Redis};
use tokio::task::block_in_place;

use crate::{
    Effort, callers,
    ceiling::{Pgbench, RedisBenchmark, SqliteLoop},
    crowd::{self, Seat, Size},
    places::{self, Place},
    report::{Aim, Report, median, ratio},
};

/// The number of callers for which there is an aim.
const CALLERS: usize = 16;

pub(crate) async fn measure(effort: Effort, report: &mut Report) {
    println!(
        "1. Refreshes a second, each of which rotates, of {} among {} sessions; beside them",
        effort.in_use, effort.populations[0]
    );
    println!(
        "   PostgreSQL: one prepared `UPDATE … RETURNING *` by primary key, as many connections, by pgbench;"
    );
    println!(
        "   Redis: a script that reads and writes one key as long as a row, as many connections, by redis-benchmark;"
    );
    println!(
        "   SQLite: one prepared `UPDATE` by primary key a commit, one connection, with the same durability."
    );
    println!("{:<46}{:>10}{:>12}{:>9}{:>10}", "", "refresh", "statement", "ratio", "aim");
    let mut table = Table { effort, report };
    table.postgres().await;
    table.redis().await;
    table.sqlite(Durability::Full).await;
    table.sqlite(Durability::Normal).await;
    println!();
}

struct Table<'a> {
    effort: Effort,
    report: &'a mut Report,
}

impl Table<'_> {
    async fn postgres(&mut self) {
        let Some(server) = Postgres::start_with(places::POSTGRES) else { return };
        let (url, size) = (server.url(), self.size());
        let open = |schema| PostgresStore::builder(&url).schema(schema).max_connections(64).open();
        let store = open("ours").await.expect("the server is there");
        let seats = self.seats(&crowd::make_first(&store).await);
        crowd::fill_postgres(&url, "ours", size).await;
        crowd::make_first(&open("ceiling").await.expect("the server is there")).await;
        crowd::fill_postgres(&url, "ceiling", size).await;

        let place = Place::Postgres(server);
        let Place::Postgres(server) = &place else { return };
        let mut pgbench = Pgbench::new(server, "ceiling", size);
        let moment = self.effort.moment;
        let ceiling = |callers| pgbench.run(callers, moment);
        self.rows(&place, &store, seats, Aim::AtLeast(0.8), ceiling).await;
    }

    async fn redis(&mut self) {
        let Some(server) = Redis::start_with(places::REDIS) else { return };
        let (url, size) = (server.url(), self.size());
        let store = RedisStore::open(&url).await.expect("the server is there");
        let seats = self.seats(&crowd::make_first(&store).await);
        crowd::fill_redis(&url, size);

        let place = Place::Redis(server);
        let Place::Redis(server) = &place else { return };
        let mut benchmark = RedisBenchmark::new(server, size.live, crowd::row_length_in_redis(&url));
        let moment = self.effort.moment;
        let ceiling = |callers| benchmark.run(callers, moment);
        self.rows(&place, &store, seats, Aim::AtLeast(0.7), ceiling).await;
    }

    async fn sqlite(&mut self, durability: Durability) {
        let size = self.size();
        let place = Place::sqlite(durability);
        let Place::Sqlite(folder, _) = &place else { return };
        let (file, other) = (Place::file(folder), folder.path().join("ceiling.db"));
        let open = |file: &Path| SqliteStore::builder(file).durability(durability).open();
        let store = open(&file).await.expect("the folder is ours");
        let seats = self.seats(&crowd::make_first(&store).await);
        crowd::fill_sqlite(&file, size);
        crowd::make_first(&open(&other).await.expect("the folder is ours")).await;
        crowd::fill_sqlite(&other, size);

        let mut statement = SqliteLoop::new(&other, durability, size);
        let moment = self.effort.moment;
        self.rows(&place, &store, seats, Aim::AtLeast(1.0), |_| statement.run(moment)).await;
    }

    /// Prints what a store reaches, by the number of callers, and what a whole refresh on it does.
    async fn rows<S: SessionStore + Clone>(
        &mut self,
        place: &Place,
        store: &S,
        mut seats: Vec<Seat>,
        aim: Aim,
        mut ceiling: impl FnMut(usize) -> f64,
    ) {
        let Effort { rounds, moment, in_use, .. } = self.effort;
        for callers in [1, CALLERS, 64] {
            let (rounds, aim) =
                if callers == CALLERS { (rounds, aim) } else { (rounds.div_ceil(5), Aim::None) };
            let mut contest = Contest::default();
            for round in 0..=rounds {
                let ours = async || callers::rotate(store, &mut seats, callers, moment).await;
                contest.round(round, ours, || ceiling(callers)).await;
            }
            self.row(&format!("{}, {callers} at once", place.name()), &contest, aim);
        }

        let sessions = place.node().await;
        let mut tokens: Vec<Tokens> = Vec::new();
        for number in 0..in_use {
            let new = NewSession::new(crowd::user(number));
            tokens.push(sessions.create(&new).await.expect("the store answers"));
        }
        let mut contest = Contest::default();
        for round in 0..=rounds.div_ceil(5) {
            let ours = async || callers::refresh(&sessions, &mut tokens, CALLERS, moment).await;
            contest.round(round, ours, || ceiling(CALLERS)).await;
        }
        self.row(&format!("{}, {CALLERS} at once, with their tokens", place.name()), &contest, Aim::None);
    }

    fn row(&mut self, name: &str, contest: &Contest, aim: Aim) {
        let ratio = ratio(&contest.ours, &contest.ceiling);
        let (ours, ceiling) = (median(&contest.ours), median(&contest.ceiling));
        println!("{name:<46}{ours:>10.0}{ceiling:>12.0}{ratio:>9.2}{aim:>10}");
        self.report.judge(name, ratio, aim);
    }

    fn size(&self) -> Size {
        Size::live(self.effort.populations[0])
    }

    fn seats(&self, first: &Row) -> Vec<Seat> {
        crowd::seats(self.size(), self.effort.in_use, first)
    }
}

/// The rates of two sides, one of each round.
#[derive(Default)]
struct Contest {
    ours: Vec<f64>,
    ceiling: Vec<f64>,
}

impl Contest {
    /// Measures both, every round beginning with the other one. Round 0 warms them up and is not counted.
    async fn round(
        &mut self,
        number: usize,
        mut ours: impl AsyncFnMut() -> f64,
        mut ceiling: impl FnMut() -> f64,
    ) {
        let (ours, ceiling) = if number.is_multiple_of(2) {
            let ours = ours().await;
            (ours, block_in_place(&mut ceiling))
        } else {
            let ceiling = block_in_place(&mut ceiling);
            (ours().await, ceiling)
        };
        if number > 0 {
            self.ours.push(ours);
            self.ceiling.push(ceiling);
        }
    }
}
