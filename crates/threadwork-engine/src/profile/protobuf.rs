//! The few rules that Perfetto's format is written by: numbers in as many groups of seven bits
//! as they need, words of eight bytes, and messages with their length in front.

/// A message, as it is written field by field.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

/// How a field's value is written.
enum Wire {
    Number = 0,
    Word = 1,
    Bytes = 2,
}

impl Message {
    pub(super) fn number(&mut self, field: u32, value: u64) -> &mut Self {
        self.key(field, Wire::Number).groups(value)
    }

    pub(super) fn word(&mut self, field: u32, value: u64) -> &mut Self {
        self.key(field, Wire::Word).0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) -> &mut Self {
        self.key(field, Wire::Bytes)
            .groups(value.len() as u64)
            .0
            .extend(value);
        self
    }

    pub(super) fn text(&mut self, field: u32, value: &str) -> &mut Self {
        self.bytes(field, value.as_bytes())
    }

    /// A field that is a message itself.
    pub(super) fn message(&mut self, field: u32, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(field, &inner.0)
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, field: u32, wire: Wire) -> &mut Self {
        self.groups(u64::from(field) << 3 | wire as u64)
    }

    fn groups(&mut self, mut value: u64) -> &mut Self {
        while value > 0x7F {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the format's own description.
    #[test]
    fn numbers_texts_and_messages_are_written_as_described() {
        let mut message = Message::default();
        message.number(1, 150);
        assert_eq!(message.into_bytes(), [0x08, 0x96, 0x01]);
        let mut message = Message::default();
        message.text(2, "testing");
        assert_eq!(message.into_bytes(), b"\x12\x07testing");
        let mut message = Message::default();
        message.message(3, |inner| {
            inner.number(1, 150);
        });
        assert_eq!(message.into_bytes(), [0x1A, 0x03, 0x08, 0x96, 0x01]);
        let mut message = Message::default();
        message.word(47, 1);
        assert_eq!(message.into_bytes(), [0xF9, 0x02, 1, 0, 0, 0, 0, 0, 0, 0]);
    }
}
