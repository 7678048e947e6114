//! The scripts, each of which is one atomic step.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use redis::{Cmd, ToRedisArgs};

/// A script, and the name under which a server keeps it.
#[derive(Debug)]
pub(super) struct Script {
    text: &'static str,
    sha1: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        let sha1 = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { text, sha1 }
    }
}

macro_rules! scripts {
    ($($name:ident: $($file:literal),+;)+) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!($(include_str!($file)),+))
        });)+
    };
}

scripts! {
    READ: "lua/prelude.lua", "lua/read.lua";
    ROTATE: "lua/rotate.lua";
    WRITE: "lua/prelude.lua", "lua/write.lua";
    CREATE: "lua/prelude.lua", "lua/reserve.lua", "lua/insert.lua", "lua/create.lua";
    RESERVE: "lua/prelude.lua", "lua/reserve.lua", "lua/reserve_only.lua";
    INSERT: "lua/prelude.lua", "lua/insert.lua", "lua/insert_only.lua";
    MARK: "lua/prelude.lua", "lua/mark.lua";
    FEED: "lua/prelude.lua", "lua/feed.lua";
    PURGE: "lua/prelude.lua", "lua/purge.lua";
    OVERDUE: "lua/prelude.lua", "lua/overdue.lua";
}

/// A script with its keys and arguments.
#[derive(Clone, Debug)]
pub(super) struct Call {
    script: &'static Script,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

impl Call {
    pub(super) fn new(script: &'static Script) -> Self {
        Self { script, keys: Vec::new(), arguments: Vec::new() }
    }

    pub(super) fn key(mut self, key: impl Into<Option<String>>) -> Self {
        self.keys.extend(key.into());
        self
    }

    pub(super) fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.arguments.extend(argument.to_redis_args());
        self
    }

    /// The call of a script that the server should know.
    pub(super) fn by_name(&self) -> Cmd {
        self.command("EVALSHA", &self.script.sha1)
    }

    /// The call that teaches the server the script.
    pub(super) fn by_text(&self) -> Cmd {
        self.command("EVAL", self.script.text)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&self.keys);
        // One by one: a list of byte strings would be taken for one argument.
        self.arguments.iter().for_each(|argument| {
            command.arg(argument.as_slice());
        });
        command
    }
}
