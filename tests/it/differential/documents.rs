//! Random valid documents.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::random::Random;

/// The type of a field.
#[derive(Clone, Debug)]
pub enum TypeRef {
    Named(String),
    List(Box<TypeRef>),
    Required(Box<TypeRef>),
}

impl TypeRef {
    fn read(json: &Value) -> Self {
        match json["kind"].as_str() {
            Some("NON_NULL") => Self::Required(Box::new(Self::read(&json["ofType"]))),
            Some("LIST") => Self::List(Box::new(Self::read(&json["ofType"]))),
            _ => Self::Named(json["name"].as_str().expect("a name").to_owned()),
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::List(inner) | Self::Required(inner) => inner.name(),
        }
    }
}

/// A field of the schema.
#[derive(Clone, Debug)]
pub struct Declared {
    pub name: String,
    pub of: TypeRef,
    pub arguments: Vec<String>,
}

/// The fields that documents may select, and their arguments.
pub struct Schema {
    fields: BTreeMap<String, Vec<Declared>>,
    /// Interfaces and unions, with their objects.
    abstracts: BTreeMap<String, BTreeSet<String>>,
    /// Values for the arguments of `Type.field`.
    pub values: fn(field: &str, argument: &str, &mut Random) -> Option<Sample>,
}

/// A value for an argument: as literal, as JSON, and the type that a variable for it has.
#[derive(Clone, Debug)]
pub struct Sample {
    pub literal: String,
    pub json: Value,
    pub of: &'static str,
}

impl Schema {
    /// Reads introspection.
    pub fn read(introspection: &Value, values: fn(&str, &str, &mut Random) -> Option<Sample>) -> Self {
        let name = |json: &Value| json["name"].as_str().expect("a name").to_owned();
        let (mut fields, mut abstracts) = (BTreeMap::new(), BTreeMap::new());
        for ty in introspection["data"]["__schema"]["types"].as_array().expect("types") {
            if name(ty).starts_with("__") {
                continue;
            }
            let declared = ty["fields"].as_array().into_iter().flatten().map(|field| Declared {
                name: name(field),
                of: TypeRef::read(&field["type"]),
                arguments: field["args"].as_array().into_iter().flatten().map(name).collect(),
            });
            if matches!(ty["kind"].as_str(), Some("OBJECT" | "INTERFACE")) {
                fields.insert(name(ty), declared.collect());
            }
            if matches!(ty["kind"].as_str(), Some("INTERFACE" | "UNION")) {
                abstracts.insert(name(ty), ty["possibleTypes"].as_array().into_iter().flatten().map(name).collect());
            }
        }
        Self { fields, abstracts, values }
    }

    pub fn field(&self, type_name: &str, field: &str) -> &Declared {
        self.fields[type_name].iter().find(|declared| declared.name == field).expect("a field of the type")
    }

    pub fn is_a(&self, object: &str, condition: &str) -> bool {
        object == condition || self.abstracts.get(condition).is_some_and(|objects| objects.contains(object))
    }

    pub fn is_composite(&self, name: &str) -> bool {
        self.fields.contains_key(name) || self.abstracts.contains_key(name)
    }

    /// Types that a fragment within `name` may be for.
    fn conditions(&self, name: &str) -> Vec<&str> {
        let objects =
            |name: &str| self.abstracts.get(name).cloned().unwrap_or_else(|| BTreeSet::from([name.to_owned()]));
        let own = objects(name);
        let all = self.fields.keys().chain(self.abstracts.keys()).collect::<BTreeSet<_>>();
        all.into_iter().map(String::as_str).filter(|other| !objects(other).is_disjoint(&own)).collect()
    }
}

/// An argument, written as a literal or as a variable.
#[derive(Clone, Debug)]
pub struct Argument {
    pub name: String,
    pub sample: Sample,
    variable: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Directive {
    is_skip: bool,
    condition: bool,
    variable: Option<String>,
}

impl Directive {
    pub fn lets_through(&self) -> bool {
        self.condition != self.is_skip
    }
}

#[derive(Clone, Debug)]
pub struct Field {
    alias: Option<String>,
    pub name: String,
    pub arguments: Vec<Argument>,
    directives: Vec<Directive>,
    pub selection: Vec<Selection>,
}

impl Field {
    pub fn key(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }
}

#[derive(Clone, Debug)]
pub enum Selection {
    Field(Field),
    Inline { condition: Option<String>, directives: Vec<Directive>, selection: Vec<Selection> },
    Spread { name: String, directives: Vec<Directive> },
}

impl Selection {
    pub fn directives(&self) -> &[Directive] {
        match self {
            Self::Field(field) => &field.directives,
            Self::Inline { directives, .. } | Self::Spread { directives, .. } => directives,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Fragment {
    pub condition: String,
    pub selection: Vec<Selection>,
}

/// The source of a variable's value.
#[derive(Clone, Debug)]
struct Variable {
    of: &'static str,
    json: Value,
    /// The literal of its default, if that is its value.
    default: Option<String>,
}

pub struct Document {
    pub selection: Vec<Selection>,
    pub fragments: BTreeMap<String, Fragment>,
    variables: BTreeMap<String, Variable>,
}

/// Maximum depth of fields.
const DEPTH: usize = 6;

struct Making<'m> {
    schema: &'m Schema,
    random: &'m mut Random,
    document: Document,
    /// Number of fields that may still be added.
    room: usize,
}

impl Document {
    pub fn new(schema: &Schema, random: &mut Random) -> Self {
        let room = 4 + random.below(30);
        let document = Self { selection: Vec::new(), fragments: BTreeMap::new(), variables: BTreeMap::new() };
        let mut making = Making { schema, random, document, room };
        let selection = making.selection("Query", DEPTH);
        Self { selection, ..making.document }
    }

    /// The values of the variables, without those that have a default.
    pub fn variables(&self) -> Value {
        let given = self.variables.iter().filter(|(_, variable)| variable.default.is_none());
        Value::Object(given.map(|(name, variable)| (name.clone(), variable.json.clone())).collect::<Map<_, _>>())
    }

    pub fn text(&self) -> String {
        let declared: Vec<String> = self
            .variables
            .iter()
            .map(|(name, variable)| match &variable.default {
                Some(default) => format!("${name}: {} = {default}", variable.of),
                None => format!("${name}: {}", variable.of),
            })
            .collect();
        let head = if declared.is_empty() { String::new() } else { format!("({})", declared.join(", ")) };
        let mut text = format!("query Q{head} {}", set(&self.selection));
        for (name, fragment) in &self.fragments {
            text += &format!("\nfragment {name} on {} {}", fragment.condition, set(&fragment.selection));
        }
        text
    }
}

fn set(selections: &[Selection]) -> String {
    let items: Vec<String> = selections.iter().map(selection).collect();
    format!("{{ {} }}", items.join(" "))
}

fn selection(item: &Selection) -> String {
    let directives: String = item.directives().iter().map(directive).collect();
    match item {
        Selection::Field(field) => {
            let alias = field.alias.as_ref().map(|alias| format!("{alias}: ")).unwrap_or_default();
            let below = if field.selection.is_empty() { String::new() } else { format!(" {}", set(&field.selection)) };
            format!("{alias}{}{}{directives}{below}", field.name, arguments(&field.arguments))
        }
        Selection::Inline { condition, selection, .. } => {
            let condition = condition.as_ref().map(|condition| format!(" on {condition}")).unwrap_or_default();
            format!("...{condition}{directives} {}", set(selection))
        }
        Selection::Spread { name, .. } => format!("...{name}{directives}"),
    }
}

fn directive(directive: &Directive) -> String {
    let name = if directive.is_skip { "skip" } else { "include" };
    match &directive.variable {
        Some(variable) => format!(" @{name}(if: ${variable})"),
        None => format!(" @{name}(if: {})", directive.condition),
    }
}

fn arguments(arguments: &[Argument]) -> String {
    let written: Vec<String> = arguments
        .iter()
        .map(|argument| match &argument.variable {
            Some(variable) => format!("{}: ${variable}", argument.name),
            None => format!("{}: {}", argument.name, argument.sample.literal),
        })
        .collect();
    if written.is_empty() { String::new() } else { format!("({})", written.join(", ")) }
}

/// Arguments as literals, for a query that has nothing else.
pub fn literals(given: &[Argument]) -> String {
    let plain: Vec<Argument> = given.iter().map(|argument| Argument { variable: None, ..argument.clone() }).collect();
    arguments(&plain)
}

impl Making<'_> {
    fn selection(&mut self, type_name: &str, depth: usize) -> Vec<Selection> {
        let count = 1 + self.random.below(4);
        let mut made = Vec::new();
        for _ in 0..count {
            made.push(match self.random.below(10) {
                0 | 1 => self.inline(type_name, depth),
                2 => self.spread(type_name, depth),
                _ => self.field(type_name, depth),
            });
        }
        made
    }

    /// A fragment's conditions may be for other types; for a field the type itself must have fields.
    fn field(&mut self, type_name: &str, depth: usize) -> Selection {
        self.room = self.room.saturating_sub(1);
        let is_leaf_wanted = depth == 0 || self.room == 0;
        let schema = self.schema;
        let all: Vec<&Declared> = schema
            .fields
            .get(type_name)
            .into_iter()
            .flatten()
            .filter(|field| !(is_leaf_wanted && schema.is_composite(field.of.name())))
            .collect();
        if all.is_empty() || self.random.once_in(12) {
            let alias = self.random.once_in(2).then(|| "its_type".to_owned());
            // async-graphql 7.2.1 does not see variables in the directives of this field, and calls them unused.
            let directives = self.directives_with(false);
            let (name, arguments) = ("__typename".to_owned(), Vec::new());
            return Selection::Field(Field { alias, name, arguments, directives, selection: Vec::new() });
        }
        let declared = *self.random.one(&all);
        let arguments = self.arguments(type_name, declared);
        // Equal keys must be equal fields with equal arguments: the alias contains both, and the type.
        let is_plain = arguments.is_empty() && !schema.is_composite(declared.of.name()) && self.random.once_in(2);
        let alias = (!is_plain).then(|| {
            let written = self::arguments(&arguments);
            let sum = written.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
            format!("{type_name}_{}_{sum}_{}", declared.name, self.random.below(2))
        });
        let selection = match schema.is_composite(declared.of.name()) {
            true => self.selection(declared.of.name(), depth - 1),
            false => Vec::new(),
        };
        let directives = self.directives();
        Selection::Field(Field { alias, name: declared.name.clone(), arguments, directives, selection })
    }

    fn arguments(&mut self, type_name: &str, declared: &Declared) -> Vec<Argument> {
        let field = format!("{type_name}.{}", declared.name);
        let mut made = Vec::new();
        for name in &declared.arguments {
            if let Some(sample) = (self.schema.values)(&field, name, self.random) {
                let variable = self.random.once_in(3).then(|| self.variable(&sample));
                made.push(Argument { name: name.clone(), sample, variable });
            }
        }
        made
    }

    fn variable(&mut self, sample: &Sample) -> String {
        let name = format!("v{}", self.document.variables.len());
        let default = self.random.once_in(3).then(|| sample.literal.clone());
        let variable = Variable { of: sample.of, json: sample.json.clone(), default };
        self.document.variables.insert(name.clone(), variable);
        name
    }

    fn directives(&mut self) -> Vec<Directive> {
        self.directives_with(true)
    }

    fn directives_with(&mut self, variables: bool) -> Vec<Directive> {
        let count = if self.random.once_in(6) { 1 + self.random.below(2) } else { 0 };
        let mut made: Vec<Directive> = Vec::new();
        for _ in 0..count {
            let (is_skip, condition) = (self.random.once_in(2), self.random.once_in(2));
            if made.iter().any(|other| other.is_skip == is_skip) {
                continue;
            }
            let sample = Sample { literal: condition.to_string(), json: json!(condition), of: "Boolean!" };
            let variable = (variables && self.random.once_in(2)).then(|| self.variable(&sample));
            made.push(Directive { is_skip, condition, variable });
        }
        made
    }

    fn condition(&mut self, type_name: &str) -> String {
        let conditions = self.schema.conditions(type_name);
        (*self.random.one(&conditions)).to_owned()
    }

    fn inline(&mut self, type_name: &str, depth: usize) -> Selection {
        let condition = self.random.below(3).checked_sub(1).map(|_| self.condition(type_name));
        let within = condition.clone().unwrap_or_else(|| type_name.to_owned());
        let (directives, selection) = (self.directives(), self.selection(&within, depth.saturating_sub(1)));
        Selection::Inline { condition, directives, selection }
    }

    /// An existing fragment if one fits, otherwise a new one.
    fn spread(&mut self, type_name: &str, depth: usize) -> Selection {
        let fitting = self.schema.conditions(type_name);
        let fragments = self.document.fragments.iter();
        let known: Vec<String> = fragments
            .filter(|(_, fragment)| fitting.contains(&fragment.condition.as_str()) && !fragment.selection.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        let name = match known.is_empty() || self.random.once_in(2) {
            false => self.random.one(&known).clone(),
            true => {
                let name = format!("F{}", self.document.fragments.len());
                let condition = self.condition(type_name);
                // Empty while its own selection is made, so that it does not spread itself.
                let empty = Fragment { condition: condition.clone(), selection: Vec::new() };
                self.document.fragments.insert(name.clone(), empty);
                let selection = self.selection(&condition, depth.saturating_sub(1));
                self.document.fragments.insert(name.clone(), Fragment { condition, selection });
                name
            }
        };
        Selection::Spread { name, directives: self.directives() }
    }
}
