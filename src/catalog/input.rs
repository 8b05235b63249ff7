//! Inputs and outcomes that the mutations of all types have in common.
use std::{borrow::Cow, collections::HashSet};

use async_graphql::{Enum, ID, InputObject, MaybeUndefined};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{node, rules};
use crate::{
    error::{Code, Error, Result},
    field,
    graphql::{
        Write, id,
        object::{Object, ObjectBuilder},
    },
};

/// Maximum number of items in a batch.
pub const ITEMS_MAX: usize = 1_000;

/// Maximum number of ids in an input.
const IDS_MAX: usize = 10_000;

/// Maximum number of tags in an input.
pub const TAGS_MAX: usize = 100;

/// Treatment of a batch if one of its items is rejected.
#[derive(Enum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchMode {
    /// No item is written.
    #[default]
    Atomic,
    /// The other items are written.
    Partial,
}

/// The object to write.
#[derive(InputObject, Clone, Debug)]
pub struct DeleteInput {
    /// ID of the object.
    pub id: ID,
    /// The revision that the object must have; otherwise the write is rejected as `CONFLICT`.
    pub expected_revision: Option<i64>,
}

/// The outcome of a deletion.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct DeletePayload {
    prefix: String,
    id: Uuid,
}

impl DeletePayload {
    /// The outcome of deleting the object with this id.
    pub fn new(prefix: &str, id: Uuid) -> Self {
        Self { prefix: prefix.to_owned(), id }
    }
}

impl Object for DeletePayload {
    const NAME: &'static str = "DeletePayload";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["The outcome of a deletion."]);
        fields.value(field!("deletedId", "ID of the deleted object."), |payload: &Self| {
            node::global_id(&payload.prefix, payload.id)
        });
    }
}

/// Why an item of a batch was rejected.
#[derive(Clone, Debug)]
pub struct BatchError(pub Error);

impl Object for BatchError {
    const NAME: &'static str = "BatchError";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["Why an item of a batch was rejected."]);
        fields.value(
            field!(
                "code",
                "Stable error code, as in `extensions.code` of an error; `ABORTED` if another item was rejected."
            ),
            |error: &Self| error.0.code.as_str().to_owned(),
        );
        fields.value(field!("message", "Description of the error."), |error: &Self| error.0.message.to_string());
        fields.value(field!("field", "The invalid field of the item."), |error: &Self| {
            error.0.details.as_ref().and_then(|details| details.field.clone())
        });
    }
}

/// The outcome of each item of a batch.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Outcomes {
    /// In the order of the items.
    pub items: Vec<Result<Uuid>>,
}

impl Outcomes {
    /// The outcomes after the batch has ended. If an item was rejected and the mode is atomic, the transaction is rolled
    /// back, and all other items have failed too.
    #[must_use]
    pub fn finish(mut self, write: &mut Write<'_>, mode: Option<BatchMode>) -> Self {
        let is_aborted = mode.unwrap_or_default() == BatchMode::Atomic && self.items.iter().any(Result::is_err);
        if is_aborted {
            write.discard();
            for item in self.items.iter_mut().filter(|item| item.is_ok()) {
                *item = Err(Error::new(Code::Aborted, "not written, because another item of the batch was rejected"));
            }
        }
        self
    }

    /// How many items were written.
    pub fn succeeded(&self) -> i64 {
        self.items.iter().filter(|item| item.is_ok()).count() as i64
    }

    /// How many items were rejected.
    pub fn failed(&self) -> i64 {
        self.items.len() as i64 - self.succeeded()
    }

    /// The outcome of a batch of one item.
    ///
    /// # Errors
    /// That of the item.
    pub fn single(self) -> Result<Uuid> {
        self.items.into_iter().next().unwrap_or_else(|| Err(Error::internal("a batch of one has no item")))
    }
}

/// Rejects a batch without items, or with too many.
///
/// # Errors
/// `BAD_USER_INPUT`.
pub fn batch_size(field: &'static str, count: usize) -> Result<()> {
    if (1..=ITEMS_MAX).contains(&count) {
        return Ok(());
    }
    Err(Error::bad_user_input(format!("a batch has 1 to {ITEMS_MAX} items, not {count}")).in_field(field))
}

/// Ids of one type, each once, in the given order.
///
/// # Errors
/// `BAD_USER_INPUT` for an id of another type, or too many ids.
pub fn ids(prefix: &'static str, field: &'static str, given: &[ID]) -> Result<Vec<Uuid>> {
    if given.len() > IDS_MAX {
        let message = format!("`{field}` has {} ids; the maximum is {IDS_MAX}", given.len());
        return Err(Error::bad_user_input(message).in_field(field));
    }
    let mut seen = HashSet::with_capacity(given.len());
    let mut ids = Vec::with_capacity(given.len());
    for (index, text) in given.iter().enumerate() {
        let id = id::parse(prefix, text).map_err(|error| error.at_index(field, index))?;
        if seen.insert(id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// The id of an object.
///
/// # Errors
/// `BAD_USER_INPUT` for an id of another type.
pub fn id(prefix: &'static str, field: &'static str, given: &ID) -> Result<Uuid> {
    id::parse(prefix, given).map_err(|error| error.in_field(field))
}

/// The error for a value that a rule rejects, in a field of the input.
pub fn rejected(field: &'static str) -> impl Fn(String) -> Error {
    move |reason| Error::bad_user_input(reason).in_field(field)
}

/// A text that a rule permits: not given, cleared, or set.
///
/// # Errors
/// `BAD_USER_INPUT` if the rule rejects it.
pub fn checked(
    field: &'static str,
    given: &MaybeUndefined<String>,
    rule: impl Fn(Option<&str>) -> Result<(), String>,
) -> Result<Option<Option<String>>> {
    rule(given.value().map(String::as_str)).map_err(rejected(field))?;
    Ok(given.as_opt_ref().map(|text| text.cloned()))
}

/// A text: not given, cleared, or set.
///
/// # Errors
/// `BAD_USER_INPUT` if it cannot be stored.
pub fn text(field: &'static str, given: &MaybeUndefined<String>) -> Result<Option<Option<String>>> {
    checked(field, given, rules::text)
}

/// A name, which cannot be cleared.
///
/// # Errors
/// `BAD_USER_INPUT` if it is null, empty or too long.
pub fn name(field: &'static str, given: &MaybeUndefined<String>, max: usize) -> Result<Option<String>> {
    match given {
        MaybeUndefined::Undefined => Ok(None),
        MaybeUndefined::Null => Err(Error::bad_user_input("the name cannot be cleared").in_field(field)),
        MaybeUndefined::Value(name) => rules::name(name, max).map(Some).map_err(rejected(field)),
    }
}

/// The error for an id of an object that does not exist, or that the viewer may not see.
pub fn not_found(called: &str, field: &'static str) -> Error {
    Error::new(Code::NotFound, format!("there is no {called} with this id")).in_field(field)
}

/// Rejects the change of an object that the viewer may not see, or that belongs to another account. `found` says whether
/// the viewer may change it.
///
/// # Errors
/// `NOT_FOUND` if it was not found, `FORBIDDEN` if the viewer may see but not change it.
pub fn ensure_may_change(called: &str, field: &'static str, found: Option<bool>) -> Result<()> {
    match found {
        Some(true) => Ok(()),
        Some(false) => Err(forbidden(format!("the {called} belongs to another account")).in_field(field)),
        None => Err(not_found(called, field)),
    }
}

/// The error for a change that the viewer may not make to a visible object.
pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Code::Forbidden, message)
}

/// Rejects a write that expects another revision than the object has.
///
/// # Errors
/// `CONFLICT` with the current revision.
pub fn expect_revision(expected: Option<i64>, current: i64) -> Result<()> {
    match expected {
        Some(expected) if expected != current => Err(Error::stale(current)),
        _ => Ok(()),
    }
}
