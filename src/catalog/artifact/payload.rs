//! The payloads of mutations on artifacts.
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Artifact, ArtifactById, PREFIX};
use crate::{
    catalog::{
        fields::DeclareFields,
        input::{BatchError, BatchMode, Outcomes},
    },
    error::Result,
    field,
    graphql::{
        ExecutionField, Loads, Write,
        id::GlobalId,
        object::{FieldMeta, NoArguments, Object, ObjectBuilder},
    },
    payload,
};

payload! {
    /// The artifact that was written.
    pub(super) struct ArtifactPayload { "artifact": ArtifactById }
}

/// The outcome of a batch that writes artifacts.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct ArtifactBatchPayload(Outcomes);

impl ArtifactBatchPayload {
    /// The outcome of a batch, which is rolled back if it fails as a whole.
    pub(super) fn new(write: &mut Write<'_>, outcomes: Outcomes, mode: Option<BatchMode>) -> Self {
        Self(outcomes.finish(write, mode))
    }
}

impl Object for ArtifactBatchPayload {
    const NAME: &'static str = "ArtifactBatchPayload";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["The outcome of a batch that writes artifacts."]);
        declare_counts(fields, |payload| &payload.0);
        let results = field!("results", "The outcome of each item, in the order of the batch.");
        fields.output(results, |payload| items(&payload.0).map(ArtifactBatchResult).collect::<Vec<_>>());
    }
}

/// The outcome of one item of a batch that writes artifacts.
#[derive(Clone, Debug)]
struct ArtifactBatchResult(ItemOutcome);

impl Object for ArtifactBatchResult {
    const NAME: &'static str = "ArtifactBatchResult";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["The outcome of one item of a batch: the artifact, or the error."]);
        fields.leaf(INDEX, |result| &result.0.index);
        fields.batch::<NoArguments, _>(
            field!("artifact", "The artifact after the write; null if it was not written."),
            Loads::of(ArtifactById),
            |results, _, field| Box::pin(written(results, field)),
        );
        fields.output(ERROR, |result| result.0.error());
    }
}

/// The artifacts of the items that were written.
async fn written(results: &[ArtifactBatchResult], field: ExecutionField<'_>) -> Result<Vec<Option<Artifact>>> {
    let keys = results.iter().filter_map(|result| result.0.item.as_ref().ok().copied()).collect();
    let mut found = field.load::<Artifact, _>(ArtifactById, keys).await?.into_iter();
    Ok(results.iter().map(|result| result.0.item.as_ref().ok().and_then(|_| found.next()?)).collect())
}

/// The outcome of a batch that deletes artifacts.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct DeleteBatchPayload(Outcomes);

impl DeleteBatchPayload {
    /// The outcome of a batch, which is rolled back if it fails as a whole.
    pub(super) fn new(write: &mut Write<'_>, outcomes: Outcomes, mode: Option<BatchMode>) -> Self {
        Self(outcomes.finish(write, mode))
    }
}

impl Object for DeleteBatchPayload {
    const NAME: &'static str = "DeleteBatchPayload";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["The outcome of a batch of deletions."]);
        declare_counts(fields, |payload| &payload.0);
        let results = field!("results", "The outcome of each ID, in the order of the batch.");
        fields.output(results, |payload| items(&payload.0).map(DeleteBatchResult).collect::<Vec<_>>());
    }
}

/// The outcome of one id of a batch of deletions.
#[derive(Clone, Debug)]
struct DeleteBatchResult(ItemOutcome);

impl Object for DeleteBatchResult {
    const NAME: &'static str = "DeleteBatchResult";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields.describe(&["The outcome of one ID of a batch of deletions."]);
        fields.leaf(INDEX, |result| &result.0.index);
        fields.value(field!("deletedId", "ID of the deleted object; null if it was not deleted."), |result: &Self| {
            result.0.item.as_ref().ok().map(|id| GlobalId { prefix: PREFIX, id: *id })
        });
        fields.output(ERROR, |result| result.0.error());
    }
}

/// One item of a batch.
#[derive(Clone, Debug)]
struct ItemOutcome {
    index: i64,
    item: Result<Uuid>,
}

impl ItemOutcome {
    fn error(&self) -> Option<BatchError> {
        self.item.as_ref().err().cloned().map(BatchError)
    }
}

const INDEX: FieldMeta = field!("index", "Zero-based index of the item in the batch.");
const ERROR: FieldMeta = field!("error", "Why the item was rejected; null if it succeeded.");

fn items(outcomes: &Outcomes) -> impl Iterator<Item = ItemOutcome> {
    let items = outcomes.items.iter().cloned().enumerate();
    items.map(|(index, item)| ItemOutcome { index: index as i64, item })
}

fn declare_counts<P: Object>(fields: &mut ObjectBuilder<'_, '_, P>, outcomes: fn(&P) -> &Outcomes) {
    let succeeded = field!("succeeded", "Number of items that succeeded.");
    fields.value(succeeded, move |payload| outcomes(payload).succeeded());
    let failed = field!("failed", "Number of items that were rejected.");
    fields.value(failed, move |payload| outcomes(payload).failed());
}
