//! Converts a YAML mapping to JSON and keeps the source text of its scalars.
use std::collections::HashMap;

use granit_parser::{Event, Parser, Placement, ScalarStyle, Span, StructureStyle};
use serde_json::{Map, Number, Value};

/// Maximum size of the values, in bytes and nodes, after aliases are replaced by what they refer to.
const EXPANDED_MAX: usize = 8 << 20;

/// A mapping, and deviations from its source.
#[derive(Debug, Default, PartialEq)]
pub(super) struct YamlMapping {
    pub(super) values: Map<String, Value>,
    /// Parts of the source that are not in `values`, although their author may expect it: the line, starting at 1, and a
    /// description.
    pub(super) deviations: Vec<(usize, String)>,
}

/// Parses one YAML document whose root is a mapping. An empty document is an empty mapping.
///
/// A plain scalar is a number, a boolean or null if JSON writes it in the same way, and a text otherwise: `1.10` and `no`
/// are texts. A flow collection of a key for which `is_text` returns true is the text of its source, such as `[file]`.
///
/// # Errors
/// The text is not YAML, its root is not a mapping, or its aliases expand to too much.
pub(super) fn parse(text: &str, is_text: fn(&str) -> bool) -> Result<YamlMapping, String> {
    let mut builder = Builder { text, is_text, ..Builder::default() };
    for item in Parser::new_from_str(text) {
        let (event, span) = item.map_err(|error| error.info())?;
        builder.add(event, span)?;
    }
    let values = match builder.root {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(values)) => values,
        Some(_) => return Err("it has no keys".to_owned()),
    };
    Ok(YamlMapping { values, deviations: builder.deviations })
}

/// A collection whose end was not read yet.
enum OpenCollection {
    List(Vec<Value>),
    /// A mapping and the key whose value comes next.
    Map(Map<String, Value>, Option<String>),
}

/// Properties of an open collection.
struct OpenNode {
    collection: OpenCollection,
    anchor: usize,
    start: Span,
    is_flow: bool,
}

/// Builds a value from the events of the parser.
struct Builder<'t> {
    text: &'t str,
    is_text: fn(&str) -> bool,
    open: Vec<OpenNode>,
    root: Option<Value>,
    anchors: HashMap<usize, (Value, usize)>,
    expanded: usize,
    deviations: Vec<(usize, String)>,
}

impl Default for Builder<'_> {
    fn default() -> Self {
        Self {
            text: "",
            is_text: |_| false,
            open: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            expanded: 0,
            deviations: Vec::new(),
        }
    }
}

impl Builder<'_> {
    fn add(&mut self, event: Event<'_>, span: Span) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(text.len() + 1)?;
                if self.needs_key() {
                    return self.set_key(text.into_owned());
                }
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                let value = if is_plain { plain_scalar(&text) } else { Value::String(text.into_owned()) };
                self.finish(value, anchor, span)
            }
            Event::SequenceStart(style, anchor, _) => self.open(OpenCollection::List(Vec::new()), style, anchor, span),
            Event::MappingStart(style, anchor, _) => {
                self.open(OpenCollection::Map(Map::new(), None), style, anchor, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => {
                let (value, size) = self.anchors.get(&anchor).cloned().ok_or("an alias refers to itself")?;
                self.spend(size)?;
                self.finish(value, 0, span)
            }
            // Comments usually start with a space. This one may be part of a text, as in `fixes #12`.
            Event::Comment(text, Placement::Right) if text.starts_with(|first: char| !first.is_whitespace()) => {
                let comment = format!("`#{}` is a comment and not part of the value: quote the value", text.trim_end());
                self.deviations.push((span.start.line(), comment));
                Ok(())
            }
            Event::DocumentStart(..) if self.root.is_some() => Err("it has several documents".to_owned()),
            _ => Ok(()),
        }
    }

    fn spend(&mut self, size: usize) -> Result<(), String> {
        self.expanded += size;
        if self.expanded > EXPANDED_MAX { Err("its aliases expand to too much".to_owned()) } else { Ok(()) }
    }

    fn needs_key(&self) -> bool {
        matches!(self.open.last(), Some(OpenNode { collection: OpenCollection::Map(_, None), .. }))
    }

    fn set_key(&mut self, name: String) -> Result<(), String> {
        if let Some(OpenNode { collection: OpenCollection::Map(_, key), .. }) = self.open.last_mut() {
            *key = Some(name);
        }
        Ok(())
    }

    fn open(
        &mut self,
        collection: OpenCollection,
        style: StructureStyle,
        anchor: usize,
        start: Span,
    ) -> Result<(), String> {
        if self.needs_key() {
            return Err("a key must be a text".to_owned());
        }
        self.open.push(OpenNode { collection, anchor, start, is_flow: style == StructureStyle::Flow });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), String> {
        let Some(node) = self.open.pop() else { return Err("a collection ends twice".to_owned()) };
        let is_text = node.is_flow && self.open.len() == 1 && self.open_key().is_some_and(self.is_text);
        let value = match node.collection {
            _ if is_text => Value::String(self.source(node.start, end)),
            OpenCollection::List(items) => Value::Array(items),
            OpenCollection::Map(values, _) => Value::Object(merged(values)),
        };
        self.finish(value, node.anchor, end)
    }

    /// The key of the innermost open mapping whose value comes next.
    fn open_key(&self) -> Option<&str> {
        match &self.open.last()?.collection {
            OpenCollection::Map(_, key) => key.as_deref(),
            OpenCollection::List(_) => None,
        }
    }

    fn source(&self, start: Span, end: Span) -> String {
        let bytes = start.start.byte_offset().zip(end.end.byte_offset());
        bytes.and_then(|(start, end)| self.text.get(start..end)).unwrap_or_default().trim().to_owned()
    }

    /// Adds a complete value to the innermost open collection.
    fn finish(&mut self, value: Value, anchor: usize, span: Span) -> Result<(), String> {
        if anchor > 0 {
            let size = size(&value);
            self.spend(size)?;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        match self.open.last_mut().map(|node| &mut node.collection) {
            None => self.root = Some(value),
            Some(OpenCollection::List(items)) => items.push(value),
            Some(OpenCollection::Map(values, key)) => {
                let Some(key) = key.take() else { return Err("a key must be a text".to_owned()) };
                if values.contains_key(&key) {
                    let line = span.start.line();
                    self.deviations.push((line, format!("`{key}` appears twice: only the last value is used")));
                }
                values.insert(key, value);
            }
        }
        Ok(())
    }
}

/// Applies the merge key `<<`, whose mappings supply values for keys that are missing.
fn merged(mut values: Map<String, Value>) -> Map<String, Value> {
    let sources = match values.get("<<") {
        Some(Value::Object(_)) => vec![values.remove("<<").unwrap_or_default()],
        Some(Value::Array(items)) if items.iter().all(Value::is_object) => match values.remove("<<") {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        },
        _ => return values,
    };
    for (key, value) in sources.into_iter().filter_map(|source| source.as_object().cloned()).flatten() {
        values.entry(key).or_insert(value);
    }
    values
}

fn plain_scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match text.parse::<i64>().map(Number::from).ok().or_else(|| Number::from_f64(text.parse().ok()?)) {
            Some(number) if number.to_string() == text => Value::Number(number),
            _ => Value::String(text.to_owned()),
        },
    }
}

/// The size of a value, in bytes and nodes.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 1,
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(values) => 1 + values.iter().map(|(key, value)| key.len() + size(value)).sum::<usize>(),
        _ => 1,
    }
}
