//! Output that is a copy of the input until something in it has to change.

/// Collects what to send.
pub(super) struct Write<'a> {
    input: &'a [u8],
    out: &'a mut Vec<u8>,
    /// Where in the input the part begins that goes out as it is.
    clean: usize,
    changed: bool,
}

impl<'a> Write<'a> {
    pub(super) fn new(input: &'a [u8], out: &'a mut Vec<u8>) -> Self {
        let changed = !out.is_empty();
        Self { input, out, clean: 0, changed }
    }

    /// What is written now comes after the input up to `at`.
    pub(super) fn put_at(&mut self, at: usize) -> &mut Vec<u8> {
        self.changed = true;
        self.out.extend_from_slice(&self.input[self.clean..at]);
        self.clean = at;
        self.out
    }

    /// Leaves `from..to` of the input out.
    pub(super) fn leave_out(&mut self, from: usize, to: usize) {
        self.put_at(from);
        self.clean = to;
    }

    /// The end: whether the input can be sent as it is.
    pub(super) fn finish(mut self) -> bool {
        if self.changed {
            let end = self.input.len();
            self.put_at(end);
        }
        !self.changed
    }
}
