//! Text written at compile time.

const CAPACITY: usize = 1024;

/// The text of a compile error. What exceeds its capacity is cut at the start of a piece.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Message {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; CAPACITY], len: 0 }
    }

    /// The text.
    pub(super) const fn as_str(&self) -> &str {
        match str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            Err(_) => "",
        }
    }

    pub(super) const fn text(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        if bytes.len() > CAPACITY - self.len {
            return self;
        }
        let mut at = 0;
        while at < bytes.len() {
            self.bytes[self.len] = bytes[at];
            self.len += 1;
            at += 1;
        }
        self
    }

    pub(super) const fn number(self, number: u32) -> Self {
        const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        let rest = if number < 10 { self } else { self.number(number / 10) };
        rest.text(DIGITS[(number % 10) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_written_one_after_another() {
        let message = Message::new().text("line ").number(0).text(", column ").number(4_294_967_295);
        assert_eq!(message.as_str(), "line 0, column 4294967295");
    }

    #[test]
    fn a_piece_that_does_not_fit_is_left_out_whole() {
        let long = "é".repeat(CAPACITY / 2 - 1);
        let message = Message::new().text(&long).text("four").text("ab");
        assert_eq!(message.as_str(), format!("{long}ab"));
    }
}
