//! What a server tells of itself, and whether sessions can be kept in it.

use redis::{FromRedisValue as _, Value};

use super::connection::Link;
use crate::error::StoreError;

/// The first version that knows all the commands of the scripts.
const OLDEST: (u32, u32) = (6, 2);

/// Refuses servers that are too old, and warns of those that throw keys away. Where the user may not ask, the servers are believed.
pub(super) async fn check(link: &Link) -> Result<(), StoreError> {
    let Ok(answer) = link.command(&redis::cmd("INFO")).await else { return Ok(()) };
    for info in infos(answer) {
        if let Some(version) = too_old(&info) {
            let (major, minor) = OLDEST;
            return Err(StoreError::new(format!(
                "Redis at {} is of version {version}; sessions need {major}.{minor} or later",
                link.servers()
            )));
        }
        if let Some(policy) = evicts(&info) {
            tracing::warn!(
                servers = link.servers(),
                policy,
                "Redis throws sessions away when it is short of memory, which logs users out: set `maxmemory-policy noeviction`"
            );
        }
    }
    Ok(())
}

/// A server answers one text, a cluster one for each node.
fn infos(answer: Value) -> Vec<String> {
    let answers = match answer {
        Value::Map(nodes) => nodes.into_iter().map(|(_, answer)| answer).collect(),
        answer => vec![answer],
    };
    answers.into_iter().filter_map(|answer| String::from_redis_value(answer).ok()).collect()
}

fn too_old(info: &str) -> Option<&str> {
    let version = field(info, "redis_version")?;
    let mut parts = version.split('.').map(|part| part.parse().ok());
    let known = (parts.next()??, parts.next()??);
    (known < OLDEST).then_some(version)
}

/// The policy by which keys are thrown away, if there is a limit of memory at which that begins.
fn evicts(info: &str) -> Option<&str> {
    let policy = field(info, "maxmemory_policy").filter(|policy| *policy != "noeviction")?;
    field(info, "maxmemory").filter(|limit| *limit != "0").map(|_| policy)
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_lacks_commands_is_too_old() {
        for (version, is_too_old) in [
            ("5.0.14", true),
            ("6.0.16", true),
            ("6.2.0", false),
            ("7.0.15", false),
            ("10.1", false),
            ("?", false),
        ] {
            let info = format!("# Server\r\nredis_version:{version}\r\nredis_mode:standalone\r\n");
            assert_eq!(too_old(&info), is_too_old.then_some(version));
        }
        assert_eq!(too_old(""), None);
    }

    #[test]
    fn only_a_server_with_a_limit_of_memory_evicts() {
        let info = |limit, policy| format!("maxmemory:{limit}\r\nmaxmemory_policy:{policy}\r\n");
        assert_eq!(evicts(&info("1000", "allkeys-lru")), Some("allkeys-lru"));
        assert_eq!(evicts(&info("1000", "noeviction")), None);
        assert_eq!(evicts(&info("0", "allkeys-lru")), None);
        assert_eq!(evicts(""), None);
    }
}
