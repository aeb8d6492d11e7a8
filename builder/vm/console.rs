//! The serial console: bytes go in, lines without control sequences come out.

/// Splits the console's output into lines of plain text.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Escape,
    Sequence,
}

impl Lines {
    /// Takes `bytes`; returns the lines that are complete now.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            match (self.state, byte) {
                (State::Text, 0x1b) => self.state = State::Escape,
                (State::Text, b'\n') => lines.push(self.take()),
                (State::Text, byte) if byte >= b' ' || byte == b'\t' => self.line.push(byte),
                (State::Text, _) => {}
                (State::Escape, b'[') => self.state = State::Sequence,
                (State::Escape, _) => self.state = State::Text,
                // ECMA-48, 5.4: a control sequence ends with a byte from @ to ~.
                (State::Sequence, b'@'..=b'~') => self.state = State::Text,
                (State::Sequence, _) => {}
            }
        }
        lines
    }

    fn take(&mut self) -> String {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_are_left_out_even_when_they_come_in_pieces() {
        let mut lines = Lines::default();
        assert!(lines.feed(b"\x1b[2J\x1b[01;0").is_empty());
        assert_eq!(lines.feed(b"1Hone\r\n\x1b[0;32mtwo\x1b[0m\r\nthr"), ["one", "two"]);
        assert_eq!(lines.feed(b"ee\n"), ["three"]);
    }
}
