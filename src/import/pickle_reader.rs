//! The instructions of a pickle, one after the other; what they build are nodes, and nothing is called.

use std::collections::HashMap;

/// The longest name of a module or a class, in bytes.
const LONGEST_NAME: usize = 256;

/// The number of a node.
pub type Id = usize;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// `None`.
    None,
    /// `True`, `False`.
    Bool(bool),
    /// A whole number; those beyond 64 bits are the nearest that fits.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list or a set.
    List(Vec<Id>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A dict.
    Dict(Vec<(Id, Id)>),
    /// A class or a function by its module and name.
    Name(String, String),
    /// What calling something with arguments would give; and then what it was given: its state, and items as of a dict.
    Object(Object),
    /// What only whoever wrote the file knows, such as a tensor's storage.
    Persistent(Id),
}

/// See [`Node::Object`].
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// What would be called.
    pub callable: Id,
    /// With these, a tuple.
    pub arguments: Id,
    /// `__setstate__`, or the attributes.
    pub state: Option<Id>,
    /// `object[key] = value`, in their order; elements that were appended have themselves as keys.
    pub items: Vec<(Id, Id)>,
}

/// The machine that a pickle is a program of.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Where on the stack each mark is.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Reader<'a> {
    /// The nodes of the pickle that `bytes` begin with, the one that it is of, and how many bytes it takes.
    pub(super) fn read(bytes: &'a [u8]) -> Result<(Vec<Node>, Id, usize), String> {
        let mut reader =
            Reader { bytes, at: 0, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        let root = reader.run().map_err(|what| format!("{what} at byte {}", reader.at))?;
        Ok((reader.nodes, root, reader.at))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("{count} bytes are expected, and the pickle ends"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// A little-endian number of so many bytes, at most eight.
    fn unsigned(&mut self, bytes: usize) -> Result<u64, String> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// Bytes behind a length of so many bytes.
    fn counted(&mut self, length_bytes: usize) -> Result<&'a [u8], String> {
        let length = self.unsigned(length_bytes)?;
        self.take(usize::try_from(length).map_err(|_| format!("a length of {length}"))?)
    }

    /// The text up to the end of the line.
    fn line(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or("a line without an end")?;
        self.at += length + 1;
        text(&rest[..length])
    }

    fn push(&mut self, node: Node) {
        self.nodes.push(node);
        self.stack.push(self.nodes.len() - 1);
    }

    fn pop(&mut self) -> Result<Id, String> {
        // What is below a mark belongs to another value.
        if self.marks.last().is_some_and(|&mark| mark >= self.stack.len()) {
            return Err("a value is expected, and there is a mark".into());
        }
        self.stack.pop().ok_or_else(|| "a value is expected, and there is none".into())
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| "a value is expected, and there is none".into())
    }

    /// What is above the last mark.
    fn marked(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("a mark is expected, and there is none")?;
        if mark > self.stack.len() {
            return Err("a mark is expected, and there is none".into());
        }
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, place: u64) -> Result<(), String> {
        let place = u32::try_from(place).map_err(|_| format!("the memo's place {place}"))?;
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, place: u64) -> Result<(), String> {
        let found = u32::try_from(place).ok().and_then(|place| self.memo.get(&place)).copied();
        self.stack.push(found.ok_or_else(|| format!("the memo has nothing at {place}"))?);
        Ok(())
    }

    fn call(&mut self, callable: Id, arguments: Id) {
        self.push(Node::Object(Object { callable, arguments, state: None, items: Vec::new() }));
    }

    fn append(&mut self, to: Id, more: Vec<Id>) -> Result<(), String> {
        match &mut self.nodes[to] {
            Node::List(elements) => elements.extend(more),
            Node::Object(object) => object.items.extend(more.into_iter().map(|value| (value, value))),
            _ => return Err("a list to append to is expected".into()),
        }
        Ok(())
    }

    fn set_items(&mut self, to: Id, pairs: &[Id]) -> Result<(), String> {
        if pairs.len() % 2 == 1 {
            return Err("a key without a value".into());
        }
        let more = pairs.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        match &mut self.nodes[to] {
            Node::Dict(items) | Node::Object(Object { items, .. }) => items.extend(more),
            _ => return Err("a dict to set items of is expected".into()),
        }
        Ok(())
    }

    fn tuple(&mut self, count: usize) -> Result<(), String> {
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(self.pop()?);
        }
        elements.reverse();
        self.push(Node::Tuple(elements));
        Ok(())
    }

    fn run(&mut self) -> Result<Id, String> {
        loop {
            match self.byte()? {
                b'.' => return self.pop(),
                0x80 => drop(self.byte()?),  // the protocol
                0x95 => drop(self.take(8)?), // a frame
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.marked()?),
                b'2' => self.stack.push(self.top()?),
                b'N' => self.push(Node::None),
                0x88 => self.push(Node::Bool(true)),
                0x89 => self.push(Node::Bool(false)),
                b'J' => {
                    let value = self.unsigned(4)? as u32 as i32;
                    self.push(Node::Int(value.into()));
                }
                b'K' => {
                    let value = self.unsigned(1)? as i64;
                    self.push(Node::Int(value));
                }
                b'M' => {
                    let value = self.unsigned(2)? as i64;
                    self.push(Node::Int(value));
                }
                0x8a => {
                    let bytes = self.counted(1)?;
                    self.push(Node::Int(long(bytes)));
                }
                0x8b => {
                    let bytes = self.counted(4)?;
                    self.push(Node::Int(long(bytes)));
                }
                b'I' | b'L' => {
                    let line = self.line()?;
                    let node = match line.as_str() {
                        "00" => Node::Bool(false),
                        "01" => Node::Bool(true),
                        digits => Node::Int(decimal(digits)?),
                    };
                    self.push(node);
                }
                b'F' => {
                    let line = self.line()?;
                    let value = line.parse().map_err(|_| format!("a number is expected, found {line:?}"))?;
                    self.push(Node::Float(value));
                }
                b'G' => {
                    let bits = self.take(8)?.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
                    self.push(Node::Float(f64::from_bits(bits)));
                }
                b'X' => self.push_text(4)?,
                0x8c => self.push_text(1)?,
                0x8d => self.push_text(8)?,
                // Python 2's strings.
                b'U' => self.push_text(1)?,
                b'T' => self.push_text(4)?,
                b'V' => {
                    let line = self.line()?;
                    self.push(Node::Text(line));
                }
                b'S' => {
                    let line = self.line()?;
                    self.push(Node::Text(line.trim_matches(['\'', '"']).to_string()));
                }
                b'C' => self.push_bytes(1)?,
                b'B' => self.push_bytes(4)?,
                0x8e | 0x96 => self.push_bytes(8)?,
                b']' | 0x8f => self.push(Node::List(Vec::new())),
                b'a' => {
                    let (value, to) = (self.pop()?, self.top()?);
                    self.append(to, vec![value])?;
                }
                b'e' | 0x90 => {
                    let (values, to) = (self.marked()?, self.top()?);
                    self.append(to, values)?;
                }
                b'l' | 0x91 => {
                    let values = self.marked()?;
                    self.push(Node::List(values));
                }
                b')' => self.push(Node::Tuple(Vec::new())),
                b't' => {
                    let values = self.marked()?;
                    self.push(Node::Tuple(values));
                }
                0x85 => self.tuple(1)?,
                0x86 => self.tuple(2)?,
                0x87 => self.tuple(3)?,
                b'}' => self.push(Node::Dict(Vec::new())),
                b'd' => {
                    let pairs = self.marked()?;
                    self.push(Node::Dict(Vec::new()));
                    let to = self.top()?;
                    self.set_items(to, &pairs)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    let to = self.top()?;
                    self.set_items(to, &[key, value])?;
                }
                b'u' => {
                    let (pairs, to) = (self.marked()?, self.top()?);
                    self.set_items(to, &pairs)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Node::Name(module, name));
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let part = |id: Id| match &self.nodes[id] {
                        // Named again and again, a long one would take more memory than its file.
                        Node::Text(text) if text.len() <= LONGEST_NAME => Ok(text.clone()),
                        _ => Err("a name in text is expected".to_string()),
                    };
                    let node = Node::Name(part(module)?, part(name)?);
                    self.push(node);
                }
                b'R' | 0x81 => {
                    let (arguments, callable) = (self.pop()?, self.pop()?);
                    self.call(callable, arguments);
                }
                0x92 => {
                    let (_, arguments, callable) = (self.pop()?, self.pop()?, self.pop()?);
                    self.call(callable, arguments);
                }
                b'i' => {
                    let (module, name) = (self.line()?, self.line()?);
                    let arguments = self.marked()?;
                    self.push(Node::Name(module, name));
                    let callable = self.pop()?;
                    self.push(Node::Tuple(arguments));
                    let arguments = self.pop()?;
                    self.call(callable, arguments);
                }
                b'o' => {
                    let mut values = self.marked()?;
                    if values.is_empty() {
                        return Err("a class is expected, and there is none".into());
                    }
                    let callable = values.remove(0);
                    self.push(Node::Tuple(values));
                    let arguments = self.pop()?;
                    self.call(callable, arguments);
                }
                b'b' => {
                    let (state, to) = (self.pop()?, self.top()?);
                    match &mut self.nodes[to] {
                        Node::Object(object) => object.state = Some(state),
                        _ => return Err("an object to give a state to is expected".into()),
                    }
                }
                b'Q' => {
                    let what = self.pop()?;
                    self.push(Node::Persistent(what));
                }
                b'P' => {
                    let line = self.line()?;
                    self.push(Node::Text(line));
                    let what = self.pop()?;
                    self.push(Node::Persistent(what));
                }
                b'p' => {
                    let place = decimal(&self.line()?)?;
                    self.remember(place as u64)?;
                }
                b'q' => {
                    let place = self.unsigned(1)?;
                    self.remember(place)?;
                }
                b'r' => {
                    let place = self.unsigned(4)?;
                    self.remember(place)?;
                }
                0x94 => self.remember(self.memo.len() as u64)?,
                b'g' => {
                    let place = decimal(&self.line()?)?;
                    self.recall(place as u64)?;
                }
                b'h' => {
                    let place = self.unsigned(1)?;
                    self.recall(place)?;
                }
                b'j' => {
                    let place = self.unsigned(4)?;
                    self.recall(place)?;
                }
                other => return Err(format!("the instruction 0x{other:02x} is none of a pickle's")),
            }
        }
    }

    fn push_text(&mut self, length_bytes: usize) -> Result<(), String> {
        let bytes = self.counted(length_bytes)?;
        let node = text(bytes).map_or_else(|_| Node::Bytes(bytes.to_vec()), Node::Text);
        self.push(node);
        Ok(())
    }

    fn push_bytes(&mut self, length_bytes: usize) -> Result<(), String> {
        let bytes = self.counted(length_bytes)?.to_vec();
        self.push(Node::Bytes(bytes));
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "text is expected, and it is not UTF-8".to_string())
}

fn decimal(digits: &str) -> Result<i64, String> {
    let number = digits.strip_suffix('L').unwrap_or(digits);
    let valid = number.strip_prefix('-').unwrap_or(number);
    if valid.is_empty() || !valid.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("a whole number is expected, found {digits:?}"));
    }
    Ok(number.parse().unwrap_or(if number.starts_with('-') { i64::MIN } else { i64::MAX }))
}

/// A whole number in two's complement, little-endian; beyond 64 bits the nearest that fits.
fn long(bytes: &[u8]) -> i64 {
    let negative = bytes.last().is_some_and(|&byte| byte & 0x80 != 0);
    let fill = if negative { 0xff } else { 0 };
    let beyond = bytes.iter().skip(8).any(|&byte| byte != fill);
    let mut all = [fill; 8];
    all.iter_mut().zip(bytes).for_each(|(to, &from)| *to = from);
    let value = i64::from_le_bytes(all);
    match (beyond || (value < 0) != negative, negative) {
        (true, true) => i64::MIN,
        (true, false) => i64::MAX,
        (false, _) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_of_any_length() {
        for (bytes, expected) in [
            (&[][..], 0),
            (&[0xff], -1),
            (&[0xff, 0], 255),
            (&[0, 0x80], -32768),
            (&[0, 0, 0, 0, 0, 0, 0, 0x80, 0], i64::MAX),
            (&[0, 0, 0, 0, 0, 0, 0, 0x80], i64::MIN),
            (&[0; 200], 0),
            (&[0x80; 9], i64::MIN),
        ] {
            assert_eq!(long(bytes), expected, "{bytes:?}");
        }
        assert_eq!((decimal("12L").unwrap(), decimal("-99999999999999999999").unwrap()), (12, i64::MIN));
        assert!(decimal("1e5").is_err() && decimal("").is_err());
    }
}
