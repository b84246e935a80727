//! Gives out dense numbers and takes them back.

/// The lowest numbers that are free, each with a version of its own.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    free: Vec<u32>,
    bound: u32,
    versions: u64,
}

impl Numbers {
    /// A number that nobody has, and a version that nobody had.
    pub(super) fn take(&mut self) -> (u32, u64) {
        self.versions += 1;
        let number = self.free.pop().unwrap_or_else(|| {
            self.bound += 1;
            self.bound - 1
        });
        (number, self.versions)
    }

    /// Takes a number back.
    pub(super) fn give_back(&mut self, number: u32) {
        self.free.push(number);
    }
}
