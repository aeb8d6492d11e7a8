//! YAML with the place of everything: text in, a tree of nodes out, anchors and merge keys resolved.
//!
//! Tags that change how files are put together (`!reset`) are refused, as are keys that stand twice: what Compose would make
//! of them is not what a reader sees. A file that would grow out of all proportion is refused before it does.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

/// The most levels of lists and maps.
const DEEPEST: usize = 64;
/// The most nodes, counting what an alias repeats each time.
const MOST: usize = 50_000;
/// The most bytes of text, counted in the same way.
const MOST_TEXT: usize = 1 << 20;
/// What is said of an alias or an anchor that leads beyond them.
const TOO_LARGE: &str = "repeating this would make the file far too large";

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A text; `plain` where it has no quotes, so that it may stand for a number, true, false or nothing.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a map and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

/// Why a text is not such YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) span: Range<usize>,
    pub(super) message: String,
}

impl Node {
    /// Nothing: an empty value, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if ["", "~", "null"].contains(&text.as_str()))
    }

    /// The value of `key`, if this is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(one, _)| one.text == key).map(|(_, value)| value)
    }

    /// The entries of a map; none of anything else.
    pub(super) fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text as it stands there, if it is one.
    pub(super) fn raw(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// How many nodes this is, and how many bytes of text.
    fn size(&self) -> (usize, usize) {
        let add = |(nodes, text), (more, longer)| (nodes + more, text + longer);
        match &self.value {
            Value::Scalar { text, .. } => (1, text.len()),
            Value::List(items) => items.iter().map(Node::size).fold((1, 0), add),
            Value::Map(entries) => {
                let sizes = entries.iter().map(|(key, value)| add((0, key.text.len()), value.size()));
                sizes.fold((1, 0), add)
            }
        }
    }
}

/// A list or map whose end has not come yet.
struct Open {
    anchor: usize,
    start: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, merged: Vec<Node>, key: Option<Key> },
}

/// What is being read.
struct Reading {
    /// The byte at which each character begins, and the end.
    bytes: Vec<usize>,
    /// Where a bracket or brace stands.
    brackets: BTreeSet<usize>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    text: usize,
    root: Option<Node>,
}

/// The only document of `text`.
pub(super) fn parse(text: &str) -> Result<Node, Wrong> {
    let bytes = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let brackets = text.match_indices(['[', '{']).map(|(at, _)| at).collect();
    let (open, anchors) = (Vec::new(), BTreeMap::new());
    let mut reading = Reading { bytes, brackets, open, anchors, nodes: 0, text: 0, root: None };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = reading.byte(error.marker().index());
            Wrong { span: at..at, message: error.info().to_owned() }
        })?;
        reading.event(event, span)?;
    }
    reading.root.ok_or_else(|| Wrong { span: 0..0, message: "the file is empty".to_owned() })
}

impl Reading {
    fn byte(&self, index: usize) -> usize {
        self.bytes.get(index).or(self.bytes.last()).copied().unwrap_or_default()
    }

    fn span(&self, span: Span) -> Range<usize> {
        let start = self.byte(span.start.index());
        start..self.byte(span.end.index()).max(start)
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Wrong> {
        let place = self.span(span);
        let wrong = |message: &str| Wrong { span: place.clone(), message: message.to_owned() };
        match event {
            Event::DocumentStart(_) if self.root.is_some() => Err(wrong("a second document begins here")),
            Event::Alias(anchor) => {
                let Some(size) = self.anchors.get(&anchor).map(Node::size) else {
                    return Err(wrong("this refers to what it stands in"));
                };
                let fits = self.spend(size);
                match self.anchors.get(&anchor).filter(|_| fits) {
                    Some(node) => self.place(Node { span: place, ..node.clone() }),
                    None => Err(wrong(TOO_LARGE)),
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let string = tagged(tag.as_deref()).map_err(|message| wrong(&message))?;
                let plain = style == ScalarStyle::Plain && !string;
                let value = Value::Scalar { text: text.into_owned(), plain };
                self.put(Node { span: place, value }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                tagged(tag.as_deref()).map_err(|message| wrong(&message))?;
                self.begin(anchor, place, Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                tagged(tag.as_deref()).map_err(|message| wrong(&message))?;
                let content = Content::Map { entries: Vec::new(), merged: Vec::new(), key: None };
                self.begin(anchor, place, content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(place.end),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, anchor: usize, place: Range<usize>, content: Content) -> Result<(), Wrong> {
        if self.open.len() >= DEEPEST {
            return Err(Wrong { span: place, message: format!("more than {DEEPEST} levels") });
        }
        self.open.push(Open { anchor, start: place.start, content });
        Ok(())
    }

    fn end(&mut self, end: usize) -> Result<(), Wrong> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let last = match &open.content {
            Content::List(items) => items.last(),
            Content::Map { entries, .. } => entries.last().map(|(_, value)| value),
        };
        // A block ends where the next thing begins: its last value is what one sees of its end.
        let flow = self.brackets.contains(&open.start);
        let end = last.filter(|_| !flow).map_or(end, |last| last.span.end);
        let value = match open.content {
            Content::List(items) => Value::List(items),
            Content::Map { mut entries, merged, .. } => {
                for node in merged {
                    self.merge(&mut entries, node)?;
                }
                Value::Map(entries)
            }
        };
        self.put(Node { span: open.start..end.max(open.start), value }, open.anchor)
    }

    /// What `<<` brings: keys that the map itself has stay.
    fn merge(&mut self, entries: &mut Vec<(Key, Node)>, node: Node) -> Result<(), Wrong> {
        let maps = match node.value {
            Value::List(items) => items,
            _ => vec![node],
        };
        for map in maps {
            let Value::Map(more) = map.value else {
                return Err(Wrong { span: map.span, message: "`<<` takes a map".to_owned() });
            };
            for (key, value) in more {
                if !entries.iter().any(|(one, _)| one.text == key.text) {
                    entries.push((key, value));
                }
            }
        }
        Ok(())
    }

    /// Counts so many nodes and bytes of text; whether that is still in proportion.
    fn spend(&mut self, (nodes, text): (usize, usize)) -> bool {
        self.nodes = self.nodes.saturating_add(nodes);
        self.text = self.text.saturating_add(text);
        self.nodes <= MOST && self.text <= MOST_TEXT
    }

    /// A node that has just ended.
    fn put(&mut self, node: Node, anchor: usize) -> Result<(), Wrong> {
        let own = node.raw().map_or(0, str::len);
        if !self.spend((1, own)) {
            let message = format!("more than {MOST} values, or than 1 MiB of text, with what is repeated");
            return Err(Wrong { span: node.span, message });
        }
        if anchor != 0 && !self.spend(node.size()) {
            return Err(Wrong { span: node.span, message: TOO_LARGE.to_owned() });
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.place(node)
    }

    /// Puts a node that has been counted where it belongs.
    fn place(&mut self, node: Node) -> Result<(), Wrong> {
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, merged, key }) => match key.take() {
                None => {
                    let Value::Scalar { text, .. } = node.value else {
                        let message = "a key is a text".to_owned();
                        return Err(Wrong { span: node.span, message });
                    };
                    if entries.iter().any(|(one, _)| one.text == text) {
                        let message = format!("the key `{text}` stands here twice");
                        return Err(Wrong { span: node.span, message });
                    }
                    *key = Some(Key { text, span: node.span });
                }
                Some(key) if key.text == "<<" => merged.push(node),
                Some(key) => entries.push((key, node)),
            },
        }
        Ok(())
    }
}

/// Whether a tag makes a text of whatever it stands at; an error for tags that Compose gives a meaning of its own.
fn tagged(tag: Option<&Tag>) -> Result<bool, String> {
    match tag {
        None => Ok(false),
        Some(tag) if tag.is_yaml_core_schema() => Ok(tag.suffix == "str"),
        Some(tag) => Err(format!("the tag `{tag}` is for putting several files together")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &Node) -> String {
        match &node.value {
            Value::Scalar { text, plain } => format!("{}{text}", if *plain { "" } else { "'" }),
            Value::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
            Value::Map(entries) => {
                let shown = entries.iter().map(|(key, value)| format!("{}:{}", key.text, shown(value)));
                format!("{{{}}}", shown.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn places_anchors_and_merge_keys() {
        let text =
            "é: &e [1, '2']\nbase: &b {x: 1, y: 2}\nmore: &c {z: 3}\nall: {<<: [*b, *c], y: 9}\nagain: *e\n";
        let node = parse(text).unwrap();
        assert_eq!(shown(&node), "{é:[1 '2] base:{x:1 y:2} more:{z:3} all:{y:9 x:1 z:3} again:[1 '2]}");
        let again = node.get("again").unwrap();
        assert_eq!(&text[again.span.clone()], "*e");
        assert_eq!(&text[node.get("base").unwrap().get("y").unwrap().span.clone()], "2");
        assert_eq!(&text[node.entries()[3].0.span.clone()], "all");
    }

    #[test]
    fn what_is_ambiguous_or_boundless_is_refused() {
        let bomb = (0..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
            format!("{text}a{}: &a{} [*a{n}, *a{n}]\n", n + 1, n + 1)
        });
        let long = "x".repeat(2000);
        let repeated = (0..600).fold(format!("a: &a {long}\n"), |text, n| format!("{text}b{n}: *a\n"));
        let nested = (0..60).fold(long, |text, n| format!("&n{n} [{text}]"));
        let anchored = format!("- {nested}\n").repeat(12);
        let table = [
            (repeated.as_str(), "far too large"),
            (anchored.as_str(), "far too large"),
            ("a: 1\na: 2\n", "twice"),
            ("a: !reset null\n", "several files"),
            ("a: 1\n---\nb: 2\n", "second document"),
            ("a: &a [*a]\n", "stands in"),
            ("<<: 1\n", "takes a map"),
            ("? [a]\n: 1\n", "a key is a text"),
            ("", "empty"),
            (bomb.as_str(), "far too large"),
            (&"[".repeat(100), "levels"),
        ];
        for (text, part) in table {
            let wrong = parse(text).unwrap_err();
            assert!(wrong.message.contains(part), "{text}: {}", wrong.message);
        }
    }
}
