//! Programs that show session-runtime at work; each lives in its own folder.
