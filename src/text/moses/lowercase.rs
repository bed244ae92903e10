//! `lowercase.perl`: Unicode lower case, one character at a time.

/// Lower-cases a line as Perl's `lc` does: the full Unicode mapping of every character by itself (`İ` becomes two
/// characters), without the special case of a Greek sigma at the end of a word.
pub fn lowercase(line: &str) -> String {
    if line.is_ascii() {
        return line.to_ascii_lowercase();
    }
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        if c.is_ascii() {
            out.push(c.to_ascii_lowercase());
        } else {
            out.extend(c.to_lowercase());
        }
    }
    out
}
