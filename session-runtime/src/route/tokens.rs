//! A path as axum's router sees it.

/// A byte, a capture or a catch-all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Token(u16);

impl Token {
    pub(super) const SLASH: Self = Self(b'/' as u16);
    pub(super) const CAPTURE: Self = Self(256);
    pub(super) const CATCH_ALL: Self = Self(257);
    const END: Self = Self(258);

    pub(super) const fn is(self, other: Self) -> bool {
        self.0 == other.0
    }

    pub(super) const fn code(self) -> u64 {
        self.0 as u64
    }

    pub(super) const fn is_wild(self) -> bool {
        self.is(Self::CAPTURE) || self.is(Self::CATCH_ALL)
    }

    const fn other_wild(self) -> Self {
        if self.is(Self::CAPTURE) { Self::CATCH_ALL } else { Self::CAPTURE }
    }
}

/// Reads the tokens of a valid path, its group's prefix first.
#[derive(Clone, Copy)]
pub(super) struct Tokens<'a> {
    current: &'a [u8],
    following: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) const fn new(prefix: &'a str, path: &'a str) -> Self {
        Self { current: prefix.as_bytes(), following: path.as_bytes(), at: 0 }
    }

    pub(super) const fn next(&mut self) -> Option<Token> {
        let token = self.read();
        if token.is(Token::END) { None } else { Some(token) }
    }

    const fn read(&mut self) -> Token {
        if self.at == self.current.len() {
            self.current = self.following;
            self.following = &[];
            self.at = 0;
        }
        if self.at == self.current.len() {
            return Token::END;
        }
        let byte = self.current[self.at];
        self.at += 1;
        match byte {
            b'{' | b'}' if self.peek() == byte => self.at += 1,
            b'{' => return self.read_wild(),
            _ => {}
        }
        Token(byte as u16)
    }

    const fn read_wild(&mut self) -> Token {
        let token = if self.peek() == b'*' { Token::CATCH_ALL } else { Token::CAPTURE };
        while self.peek() != b'}' && self.at < self.current.len() {
            self.at += 1;
        }
        if self.at < self.current.len() {
            self.at += 1;
        }
        token
    }

    /// The byte to come; a zero, which no path holds, at the end.
    const fn peek(&self) -> u8 {
        if self.at < self.current.len() { self.current[self.at] } else { 0 }
    }
}

/// How two paths relate in axum's router.
#[derive(Clone, Copy)]
pub(super) enum Relation {
    /// The same tokens; the names of captures may differ.
    Same,
    /// They first differ at a capture against a catch-all, which the router can't hold both.
    Clash,
    Different,
}

pub(super) const fn relation(mut a: Tokens<'_>, mut b: Tokens<'_>) -> Relation {
    loop {
        let (from_a, from_b) = (a.read(), b.read());
        if !from_a.is(from_b) {
            let clash = from_a.is_wild() && from_b.is(from_a.other_wild());
            return if clash { Relation::Clash } else { Relation::Different };
        }
        if from_a.is(Token::END) {
            return Relation::Same;
        }
    }
}
