//! What the steps keep to, whatever they find and whatever fails.

use session_runtime::{
    BeyondLimit, SessionHandle, SessionStore as _,
    store::{Creation, NewRow, RedisStore, Salt, SessionLimit},
};
use tests::servers::Redis;

use super::{fresh_prefix, open};

/// A handle for each number, for a session of a cluster's partition `number % 64`.
fn handle(number: u128) -> SessionHandle {
    SessionHandle::from_bytes(number.to_be_bytes())
}

fn new_row(number: u128, user: &str) -> NewRow {
    NewRow::new(handle(number), user, Salt([7; 32]))
}

async fn create(store: &RedisStore, new: NewRow) -> Creation {
    store.create(new).await.expect("the server answers")
}

#[tokio::test]
async fn a_user_may_have_any_number_of_sessions() {
    let Some(redis) = Redis::shared() else { return };
    let prefix = fresh_prefix();
    let store = open(RedisStore::builder(&redis.url()).key_prefix(&prefix)).await;
    let fill = "for number = 1, 9000 do \
                redis.call('ZADD', KEYS[1], number, string.format('%032x', number)) \
                end return redis.call('ZCARD', KEYS[1])";
    let user = format!("{{{prefix}}}:user:alice");
    assert_eq!(redis.ask(&["eval", fill, "1", &user]), "9000");
    let mut new = new_row(1 << 64, "alice");
    new.limit = Some(SessionLimit { max: 2, beyond: BeyondLimit::EvictOldest });
    let made = create(&store, new).await;
    assert!(matches!(made, Creation::Created(_)), "{made:?}");
    assert_eq!(redis.ask(&["zcard", &user]), "1");
}
