//! What a violated constraint means to the one who wrote.
use sqlx::error::{DatabaseError, ErrorKind};

use crate::error::{Code, Error};

/// A constraint of the migrations, and the sentence for it.
struct Constraint {
    /// Its name, as PostgreSQL tells it, and SQLite for an index of an expression.
    name: &'static str,
    /// The columns that SQLite tells instead.
    columns: &'static str,
    message: &'static str,
    /// The field of the input that is to be changed.
    field: &'static str,
}

/// Those that a write can meet although it looked before, because another one came between.
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

/// The fault for a violated constraint, where it is one.
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
            Some(Error::new(Code::Conflict, "something that this refers to was deleted meanwhile: try again"))
        }
        _ => None,
    }
}
