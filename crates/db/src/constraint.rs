//! The errors of violated constraints.
use sqlx::error::{DatabaseError, ErrorKind};

use gatherum_engine::error::{Code, Error};

/// A constraint of the migrations, and its error message.
struct Constraint {
    /// The name that PostgreSQL reports, and SQLite for an index on an expression.
    name: &'static str,
    /// The columns that SQLite reports instead.
    columns: &'static str,
    message: &'static str,
    /// The invalid field of the input.
    field: &'static str,
}

/// Constraints that a concurrent write can make another one violate, although it checked before.
const UNIQUE: [Constraint; 4] = [
    Constraint {
        name: "artifacts_owner_type_name_key",
        columns: "",
        message: "another artifact has this type and name",
        field: "name",
    },
    Constraint {
        name: "collections_owner_name_key",
        columns: "",
        message: "another collection has this name",
        field: "name",
    },
    Constraint {
        name: "groups_collection_name_key",
        columns: "groups.collection_id, groups.name",
        message: "another group of the collection has this name",
        field: "name",
    },
    Constraint { name: "tags_slug_key", columns: "tags.slug", message: "another tag has this name", field: "name" },
];

/// The error of a violated constraint, if it is one.
pub(super) fn violated(error: &dyn DatabaseError) -> Option<Error> {
    match error.kind() {
        ErrorKind::UniqueViolation => {
            let is_it = |constraint: &&Constraint| {
                error.constraint() == Some(constraint.name)
                    || error.message().contains(constraint.name)
                    || (!constraint.columns.is_empty() && error.message().ends_with(constraint.columns))
            };
            let constraint = UNIQUE.iter().find(is_it)?;
            Some(Error::new(Code::Conflict, constraint.message).in_field(constraint.field))
        }
        ErrorKind::ForeignKeyViolation => {
            Some(Error::new(Code::Conflict, "a referenced object was deleted by another request: try again"))
        }
        _ => None,
    }
}
