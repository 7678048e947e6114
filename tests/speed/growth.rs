//! What a refresh and a batch of the purge cost in stores of different sizes.

use std::time::{Duration, Instant};

use session_runtime::store::{Durability, PostgresStore, RedisStore, SessionStore, SqliteStore};
use tempfile::TempDir;
use tests::servers::{Postgres, Redis};

use crate::{
    Effort, callers,
    crowd::{self, Seat, Size},
    places,
    report::{Aim, Report, median, ratio},
};

const CALLERS: usize = 16;

/// How long ended sessions are kept; none of these has ended.
const RETENTION: Duration = Duration::from_secs(3600);

const FLAT: Aim = Aim::AtMost(1.25);

pub(crate) async fn measure(effort: Effort, report: &mut Report) {
    let [few, more, most] = effort.populations;
    println!(
        "3. Microseconds by the number of sessions in the store: of a refresh, {CALLERS} at once, of the same {} sessions,",
        effort.in_use
    );
    println!(
        "   which are spread evenly over all of them; and of a purge, for each of the {} expired rows that it deletes",
        effort.purged
    );
    println!("{:<30}{few:>12}{more:>12}{most:>12}{:>9}{:>10}", "", "ratio", "aim");
    let mut table = Table { effort, report };
    table.postgres().await;
    table.redis().await;
    for durability in [Durability::Full, Durability::Normal] {
        table.sqlite(durability).await;
    }
    println!();
}

struct Table<'a> {
    effort: Effort,
    report: &'a mut Report,
}

/// A store that is full, and the sessions that are refreshed in it.
struct Population<S> {
    store: S,
    seats: Vec<Seat>,
}

impl Table<'_> {
    async fn postgres(&mut self) {
        let Some(server) = Postgres::start_with(places::POSTGRES) else { return };
        let url = server.url();
        let mut populations = Vec::new();
        for size in self.sizes() {
            let schema = format!("of_{}", size.live);
            let store = PostgresStore::builder(&url).schema(&schema).open().await;
            let population = self.population(store.expect("the server is there"), size).await;
            crowd::fill_postgres(&url, &schema, size).await;
            populations.push(population);
        }
        self.rows("PostgreSQL", populations).await;
    }

    async fn redis(&mut self) {
        let Some(server) = Redis::start_with(places::REDIS) else { return };
        let mut populations = Vec::new();
        for (number, size) in self.sizes().into_iter().enumerate() {
            let url = format!("{}/{number}", server.url());
            let store = RedisStore::open(&url).await;
            let population = self.population(store.expect("the server is there"), size).await;
            crowd::fill_redis(&url, size);
            populations.push(population);
        }
        self.rows("Redis", populations).await;
    }

    async fn sqlite(&mut self, durability: Durability) {
        let folder = TempDir::new().expect("a temporary folder");
        let mut populations = Vec::new();
        for size in self.sizes() {
            let file = folder.path().join(format!("{}.db", size.live));
            let store = SqliteStore::builder(&file).durability(durability).open().await;
            let population = self.population(store.expect("the folder is ours"), size).await;
            crowd::fill_sqlite(&file, size);
            populations.push(population);
        }
        self.rows(&format!("SQLite, {durability:?}"), populations).await;
    }

    fn sizes(&self) -> [Size; 3] {
        let expired = (self.effort.rounds / 2 + 1) * self.effort.purged;
        self.effort.populations.map(|live| Size { live, expired })
    }

    async fn population<S: SessionStore>(&self, store: S, size: Size) -> Population<S> {
        let first = crowd::make_first(&store).await;
        Population { store, seats: crowd::seats(size, self.effort.in_use, &first) }
    }

    async fn rows<S: SessionStore + Clone>(&mut self, name: &str, mut populations: Vec<Population<S>>) {
        let Effort { rounds, moment, purged, .. } = self.effort;
        let refresh = async |population: &mut Population<S>| {
            1e6 / callers::rotate(&population.store, &mut population.seats, CALLERS, moment).await
        };
        self.row(&format!("{name}, refresh"), &mut populations, rounds, refresh).await;
        let purge = async |population: &mut Population<S>| {
            let started = Instant::now();
            let purge = population.store.purge_expired(RETENTION, purged).await.expect("the store answers");
            assert_eq!(purge.expired.len(), purged);
            started.elapsed().as_secs_f64() * 1e6 / purged as f64
        };
        self.row(&format!("{name}, purge"), &mut populations, rounds / 2, purge).await;
    }

    /// Measures each of the populations in turn, every round beginning with another one. Round 0 is not counted.
    async fn row<S>(
        &mut self,
        name: &str,
        populations: &mut [Population<S>],
        rounds: usize,
        mut cost: impl AsyncFnMut(&mut Population<S>) -> f64,
    ) {
        let mut costs = [const { Vec::new() }; 3];
        for round in 0..=rounds {
            for position in 0..populations.len() {
                let turn = (round + position) % populations.len();
                let cost = cost(&mut populations[turn]).await;
                if round > 0 {
                    costs[turn].push(cost);
                }
            }
        }
        let [few, more, most] = &costs;
        let growth = ratio(most, few);
        let [few, more, most] = [few, more, most].map(|costs| median(costs));
        println!("{name:<30}{few:>12.1}{more:>12.1}{most:>12.1}{growth:>9.2}{FLAT:>10}");
        self.report.judge(name, growth, FLAT);
    }
}
