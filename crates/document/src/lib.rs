//! GraphQL documents: parsing, validation and introspection.
//!
//! [`Schema::parse`] reads a schema definition once. [`Schema::parse_document`] reads a document within [`Limits`], and
//! [`Schema::validate`] checks it against the rules of the specification (September 2025, section 5). The resulting
//! [`Document`] has resolved field definitions, and is cheap to clone.
//!
//! Types, parser and resolved documents are those of [`apollo_compiler`]. The rules are this crate's own: they report
//! the rule, the location and a suggestion, visit each fragment once however often it is spread, and agree with graphql-js
//! on a corpus of documents (`tests/validation`). `docs/decisions/0009-validation.md` has the figures.
//!
//! ```
//! use gatherum_document::{Limits, Options, Schema};
//!
//! let schema = Schema::parse("type Query { artifact(id: ID!): Artifact } type Artifact { name: String! }")?;
//!
//! let document = schema.check("{ artifact(id: 1) { name } }", &Limits::default(), &Options::default())?;
//! assert!(document.operation(None)?.operation_type.is_query());
//!
//! let errors = schema.check("{ artifact(id: 1) { nam } }", &Limits::default(), &Options::default()).unwrap_err();
//! assert_eq!(errors.to_string(), r#"Cannot query field "nam" on type "Artifact". Did you mean "name"?"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod coercion;
mod document;
mod error;
mod grammar;
mod introspection;
mod lexer;
mod parser;
mod schema;
mod validation;
mod value;

pub use apollo_compiler;

pub use self::{
    coercion::VariableError,
    document::{Document, ParsedDocument, UnknownOperation},
    error::{CheckError, Location, ParseError, ParseErrorKind, SchemaError, ValidationError},
    parser::Limits,
    schema::{Options, Schema},
    value::Variables,
};
#[cfg(feature = "async-graphql-value")]
pub use value::{async_graphql_to_json, json_to_async_graphql, to_async_graphql};
