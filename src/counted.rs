//! How many there are of something, and what the first of them are called.

/// Names that are kept.
const NAMED: usize = 5;

/// A count with the names of the first five.
///
/// ```
/// let mut counted = nmt::counted::Counted::default();
/// for line in 1..=7 {
///     counted.add(|| line.to_string());
/// }
/// assert_eq!((counted.count(), counted.names().as_str()), (7, "1, 2, 3, 4, 5, …"));
/// ```
#[derive(Debug, Default)]
pub struct Counted {
    count: usize,
    named: Vec<String>,
}

impl Counted {
    /// One more; its name, where it is kept.
    pub fn add(&mut self, name: impl FnOnce() -> String) -> Option<&str> {
        self.count += 1;
        if self.count > NAMED {
            return None;
        }
        self.named.push(name());
        self.named.last().map(String::as_str)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether the newest one is the first whose name is not kept.
    pub fn is_first_unnamed(&self) -> bool {
        self.count == NAMED + 1
    }

    /// The first names, and an ellipsis where there are more.
    pub fn names(&self) -> String {
        let more = if self.count > self.named.len() { ", …" } else { "" };
        format!("{}{more}", self.named.join(", "))
    }
}
