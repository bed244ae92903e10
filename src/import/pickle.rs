//! Python's pickles, read without executing anything: calls and classes stay what they are, names with arguments.
//!
//! Every value is a node of one list, referred to by its number, so that shared and even circular values are no trouble, and
//! whatever a file nests costs no stack. What is allocated is a multiple of the file's length, some hundred bytes for an instruction.

use super::pickle_reader::Reader;
pub use super::pickle_reader::{Id, Node, Object};

/// A pickle that was read.
#[derive(Debug)]
pub struct Pickle {
    nodes: Vec<Node>,
    root: Id,
}

impl Pickle {
    /// Read the pickle that `bytes` begin with; also how many bytes it takes.
    ///
    /// # Errors
    /// What was expected, in words, and where.
    pub fn read(bytes: &[u8]) -> Result<(Pickle, usize), String> {
        let (nodes, root, length) = Reader::read(bytes)?;
        Ok((Pickle { nodes, root }, length))
    }

    /// The value that the pickle is of.
    pub fn root(&self) -> Id {
        self.root
    }

    /// How many nodes there are.
    #[allow(clippy::len_without_is_empty)] // There is always the root.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// A node. One that there is not is `None`.
    pub fn node(&self, id: Id) -> &Node {
        self.nodes.get(id).unwrap_or(&Node::None)
    }

    /// The items of a dict, or of an object that was given some, as an `OrderedDict`.
    pub fn items(&self, id: Id) -> &[(Id, Id)] {
        match self.node(id) {
            Node::Dict(items) => items,
            Node::Object(object) => &object.items,
            _ => &[],
        }
    }

    /// The value of a key of a dict, or of an attribute of an object.
    pub fn get(&self, id: Id, key: &str) -> Option<Id> {
        let found = self.items(id).iter().find(|(its, _)| self.text(*its) == Some(key)).map(|(_, value)| *value);
        match (found, self.node(id)) {
            (Some(value), _) => Some(value),
            // One level: the state of an object is a dict, and no object again.
            (None, Node::Object(Object { state: Some(state), .. })) => {
                let Node::Dict(attributes) = self.node(*state) else { return None };
                attributes.iter().find(|(its, _)| self.text(*its) == Some(key)).map(|(_, value)| *value)
            }
            _ => None,
        }
    }

    /// Text.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number.
    pub fn int(&self, id: Id) -> Option<i64> {
        match self.node(id) {
            Node::Int(value) => Some(*value),
            Node::Bool(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// A number.
    pub fn number(&self, id: Id) -> Option<f64> {
        match self.node(id) {
            Node::Float(value) => Some(*value),
            _ => self.int(id).map(|value| value as f64),
        }
    }

    /// The elements of a list or tuple.
    pub fn elements(&self, id: Id) -> &[Id] {
        match self.node(id) {
            Node::List(elements) | Node::Tuple(elements) => elements,
            _ => &[],
        }
    }

    /// An object's callable as `module.name`, and its arguments.
    pub fn call(&self, id: Id) -> Option<(String, &[Id])> {
        let Node::Object(object) = self.node(id) else { return None };
        let Node::Name(module, name) = self.node(object.callable) else { return None };
        Some((format!("{module}.{name}"), self.elements(object.arguments)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: what `pickle.dumps` of Python 3.11 gives, protocol 2, of
    /// `{"a": [1, -2, 3.5, None, True], "b": ("x", 2**70, b"yz"), "c": argparse.Namespace(n=7)}`.
    const PYTHON: &[u8] =
        b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffG@\x0c\x00\x00\x00\x00\x00\x00\
        N\x88eX\x01\x00\x00\x00bq\x03X\x01\x00\x00\x00xq\x04\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00@\
        c_codecs\nencode\nq\x05X\x02\x00\x00\x00yzq\x06X\x06\x00\x00\x00latin1q\x07\x86q\x08Rq\t\x87q\n\
        X\x01\x00\x00\x00cq\x0bcargparse\nNamespace\nq\x0c)\x81q\r}q\x0eX\x01\x00\x00\x00nq\x0fK\x07sbu.";

    #[test]
    fn what_python_writes_is_read() {
        let (pickle, length) = Pickle::read(&[PYTHON, b"more"].concat()).unwrap();
        assert_eq!(length, PYTHON.len());
        let root = pickle.root();
        let list = pickle.elements(pickle.get(root, "a").unwrap()).to_vec();
        let nodes: Vec<&Node> = list.iter().map(|&id| pickle.node(id)).collect();
        assert_eq!(nodes, [&Node::Int(1), &Node::Int(-2), &Node::Float(3.5), &Node::None, &Node::Bool(true)]);
        let tuple = pickle.elements(pickle.get(root, "b").unwrap()).to_vec();
        assert_eq!((pickle.text(tuple[0]), pickle.int(tuple[1])), (Some("x"), Some(i64::MAX)));
        assert_eq!(pickle.call(tuple[2]).unwrap().0, "_codecs.encode");
        let namespace = pickle.get(root, "c").unwrap();
        assert_eq!(pickle.call(namespace).unwrap().0, "argparse.Namespace");
        assert_eq!(pickle.get(namespace, "n").and_then(|n| pickle.int(n)), Some(7));
    }

    #[test]
    fn what_is_no_pickle_is_told_and_takes_no_memory() {
        for (bytes, expected) in [
            (&b""[..], "ends"),
            (b"\x80\x02}", "ends"),
            (b"X\xff\xff\xff\xffab", "4294967295 bytes"),
            (b".", "none"),
            (b"(.", "mark"),
            (b"K\x01u.", "mark"),
            (b"h\x07.", "nothing at 7"),
            (b"K\x01K\x02s.", "none"),
            (b"\xfe", "0xfe"),
            (b"}(K\x01u.", "key without"),
        ] {
            let error = Pickle::read(bytes).unwrap_err();
            assert!(error.contains(expected), "{bytes:?}: {error}");
        }
        // Nested as deeply as the file is long, and a list that holds itself.
        let deep = [vec![b')'; 1], vec![0x85; 1_000_000], vec![b'.']].concat();
        assert_eq!(Pickle::read(&deep).unwrap().1, deep.len());
        assert!(Pickle::read(b"]q\x00h\x00a.").is_ok());
    }
}
