//! What must not show: what is logged, and the search for pieces of secrets in it.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, Once},
};

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use tracing::{Level, subscriber::DefaultGuard};
use tracing_log::LogTracer;
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

/// As long a piece of a secret must not show.
const WINDOW: usize = 12;

/// What is logged on this thread while it lives, by libraries that log by the crate `log` too.
pub struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

impl Log {
    /// Begins to listen, at `TRACE`.
    ///
    /// # Panics
    ///
    /// If somebody else has taken the place of the logger.
    #[must_use]
    pub fn of_this_thread() -> Self {
        static BRIDGED: Once = Once::new();
        BRIDGED.call_once(|| LogTracer::init().expect("nobody else logs"));
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(lines.clone())
            .finish();
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// What was logged until now.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.lines.0.lock().expect("no writer panics")).into_owned()
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Everything that must not show.
#[derive(Default)]
pub struct Secrets {
    /// Texts that cross the network, and passwords.
    pub texts: BTreeSet<String>,
    /// The bytes of keys, salts, MACs and signatures.
    pub bytes: BTreeSet<Vec<u8>>,
}

impl Secrets {
    /// Adds the tokens of a client, and what in them is secret.
    ///
    /// # Panics
    ///
    /// If they are none.
    pub fn add_tokens(&mut self, access: &str, refresh: &str) {
        let signature = access.rsplit('.').next().unwrap_or_default();
        self.bytes.insert(BASE64_URL_SAFE_NO_PAD.decode(signature).expect("a signature"));
        // Before the MACs stand the handle and the generation, which may show.
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(refresh).expect("a refresh token");
        self.bytes.insert(bytes[29..].to_vec());
        self.texts.extend([access.to_owned(), refresh.to_owned()]);
    }

    /// The first piece of a secret that stands in `text`, in whatever encoding.
    pub fn first_in(&self, text: &str) -> Option<String> {
        let spellings = self.bytes.iter().flat_map(|secret| secret.windows(WINDOW)).flat_map(spellings_of);
        let windows = |secret: &String| {
            let secret = secret.clone();
            (0..=secret.len() - WINDOW).map(move |at| secret[at..at + WINDOW].to_owned())
        };
        self.texts.iter().flat_map(windows).chain(spellings).find(|piece| text.contains(piece.as_str()))
    }
}

/// A piece of a secret in base64, in hexadecimal, as Rust prints bytes, and as it is.
fn spellings_of(piece: &[u8]) -> Vec<String> {
    let hex: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
    let decimal: Vec<_> = piece.iter().map(u8::to_string).collect();
    let mut spellings = vec![
        BASE64_STANDARD.encode(piece),
        BASE64_URL_SAFE_NO_PAD.encode(piece),
        hex.to_uppercase(),
        hex,
        decimal.join(", "),
        decimal.join(","),
    ];
    spellings.extend(str::from_utf8(piece).ok().map(str::to_owned));
    spellings
}
