//! What the inputs of mutations have in common.
use std::collections::HashSet;

use async_graphql::{Enum, ID, InputObject, MaybeUndefined};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{node, rules};
use crate::{
    db::Cell,
    error::{Code, Error, Result},
    fields,
    graphql::{
        id,
        object::{Object, ObjectBuilder},
    },
};

/// Objects that one batch writes at most.
pub const ITEMS_MAX: usize = 1_000;

/// Ids that one mutation takes at most.
const IDS_MAX: usize = 10_000;

/// Tags that one mutation takes at most.
pub const TAGS_MAX: usize = 100;

/// What becomes of a batch when one of its items is refused.
#[derive(Enum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchMode {
    /// Nothing of it is written.
    #[default]
    Atomic,
    /// The others are written.
    Partial,
}

/// What to delete.
#[derive(InputObject, Clone, Debug)]
pub struct DeleteInput {
    /// Its id.
    pub id: ID,
    /// Refused as `CONFLICT` where it has another revision.
    pub expected_revision: Option<i64>,
}

/// What was deleted.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct DeletePayload {
    prefix: String,
    id: Uuid,
}

impl DeletePayload {
    /// Of the object with this id.
    pub fn new(prefix: &str, id: Uuid) -> Self {
        Self { prefix: prefix.to_owned(), id }
    }
}

impl Object for DeletePayload {
    fn name() -> String {
        "DeletePayload".to_owned()
    }

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// What was deleted.
            type;
            /// The id it had.
            deletedId => value(|payload: &Self| node::global_id(&payload.prefix, payload.id));
        }
    }
}

/// Why an item of a batch was not written.
#[derive(Clone, Debug)]
pub struct BatchError(pub Error);

impl Object for BatchError {
    fn name() -> String {
        "BatchError".to_owned()
    }

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// Why an item of a batch was not written.
            type;
            /// The stable code, as `extensions.code` of an error has it; `ABORTED` where another item was at fault.
            code => value(|error: &Self| error.0.code.as_str().to_owned());
            /// What is wrong, as a sentence.
            message => value(|error: &Self| error.0.message.to_string());
            /// The field of the item that is to be changed.
            field => value(|error: &Self| error.0.details.as_ref().and_then(|about| about.field.clone()));
        }
    }
}

/// What became of each item of a batch.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Outcomes {
    /// In the order of the items.
    pub items: Vec<Result<Uuid>>,
}

impl Outcomes {
    /// Whether something of the batch must not be kept: an item was refused, and the mode is to write all or none. Then
    /// the good items have failed too.
    pub fn abort(&mut self, mode: Option<BatchMode>) -> bool {
        let is_aborted = mode.unwrap_or_default() == BatchMode::Atomic && self.items.iter().any(Result::is_err);
        if is_aborted {
            for item in self.items.iter_mut().filter(|item| item.is_ok()) {
                *item = Err(Error::new(Code::Aborted, "not written, because another item of the batch was refused"));
            }
        }
        is_aborted
    }

    /// How many items were written.
    pub fn succeeded(&self) -> i64 {
        self.items.iter().filter(|item| item.is_ok()).count() as i64
    }

    /// How many were not.
    pub fn failed(&self) -> i64 {
        self.items.len() as i64 - self.succeeded()
    }

    /// The outcome of a batch of one.
    ///
    /// # Errors
    /// That of the item.
    pub fn single(self) -> Result<Uuid> {
        self.items.into_iter().next().unwrap_or_else(|| Err(Error::internal("a batch of one has no item")))
    }
}

/// Refuses a batch without items, or with too many.
///
/// # Errors
/// `BAD_USER_INPUT`.
pub fn batch_size(field: &'static str, count: usize) -> Result<()> {
    if (1..=ITEMS_MAX).contains(&count) {
        return Ok(());
    }
    Err(Error::bad_user_input(format!("a batch has 1 to {ITEMS_MAX} items, not {count}")).in_field(field))
}

/// Ids of one type, each once, in the order given.
///
/// # Errors
/// `BAD_USER_INPUT` for what is no such id, or too many.
pub fn ids(prefix: &'static str, field: &'static str, given: &[ID]) -> Result<Vec<Uuid>> {
    if given.len() > IDS_MAX {
        let message = format!("at most {IDS_MAX} ids are taken at once, not {}", given.len());
        return Err(Error::bad_user_input(message).in_field(field));
    }
    let mut seen = HashSet::with_capacity(given.len());
    let mut ids = Vec::with_capacity(given.len());
    for (place, text) in given.iter().enumerate() {
        let id = id::parse(prefix, text).map_err(|error| error.at_index(field, place))?;
        if seen.insert(id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// The id of an object.
///
/// # Errors
/// `BAD_USER_INPUT` for what is no such id.
pub fn id(prefix: &'static str, field: &'static str, given: &ID) -> Result<Uuid> {
    id::parse(prefix, given).map_err(|error| error.in_field(field))
}

/// What is refused by a rule, in a field of the input.
pub fn refused(field: &'static str) -> impl Fn(String) -> Error {
    move |reason| Error::bad_user_input(reason).in_field(field)
}

/// A text that may be absent.
///
/// # Errors
/// `BAD_USER_INPUT` where it cannot be stored.
pub fn text(field: &'static str, given: &MaybeUndefined<String>) -> Result<Cell> {
    rules::text(given.value().map(String::as_str)).map_err(refused(field))?;
    Ok(given.value().map_or(Cell::Null, |text| Cell::Text(text.clone())))
}

/// A colour that may be absent.
///
/// # Errors
/// `BAD_USER_INPUT` where it is none.
pub fn color(field: &'static str, given: &MaybeUndefined<String>) -> Result<Cell> {
    rules::color(given.value().map(String::as_str)).map_err(refused(field))?;
    Ok(given.value().map_or(Cell::Null, |text| Cell::Text(text.clone())))
}

/// A name that must be there where it is given.
///
/// # Errors
/// `BAD_USER_INPUT` where it is null, empty or too long.
pub fn name(field: &'static str, given: &MaybeUndefined<String>, max: usize) -> Result<Option<String>> {
    match given {
        MaybeUndefined::Undefined => Ok(None),
        MaybeUndefined::Null => Err(Error::bad_user_input("a name cannot be taken away").in_field(field)),
        MaybeUndefined::Value(name) => rules::name(name, max).map(Some).map_err(refused(field)),
    }
}

/// What is named does not exist.
pub fn not_found(called: &str, field: &'static str) -> Error {
    Error::new(Code::NotFound, format!("there is no {called} with this id")).in_field(field)
}

/// Refuses to change what is not there for whoever writes, or what another account owns.
///
/// # Errors
/// `NOT_FOUND` where nothing was found, `FORBIDDEN` where it may be seen and not changed.
pub fn may_change(called: &str, field: &'static str, found: Option<bool>) -> Result<()> {
    match found {
        Some(true) => Ok(()),
        Some(false) => Err(forbidden(format!("the {called} belongs to another account")).in_field(field)),
        None => Err(not_found(called, field)),
    }
}

/// What whoever writes may see and not do.
pub fn forbidden(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Code::Forbidden, message)
}

/// Refuses a write that expects another revision than there is.
///
/// # Errors
/// `CONFLICT` with the current revision.
pub fn expect_revision(expected: Option<i64>, current: i64) -> Result<()> {
    match expected {
        Some(expected) if expected != current => Err(Error::stale(current)),
        _ => Ok(()),
    }
}
