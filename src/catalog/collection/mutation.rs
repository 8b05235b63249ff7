//! The mutations on collections.
use super::{
    copy::copy,
    edit::{add, move_members, remove, transfer, update_member},
    write::{create, delete, update},
};
use crate::{catalog::Mutation, field, graphql::object::Fields};

/// Declares the mutations on collections.
pub fn declare_mutations(fields: &mut Fields<'_, '_, Mutation>) {
    fields.write(field!("createCollection", "Creates a collection."), |input, write| Box::pin(create(write, input)));
    fields.write(field!("updateCollection", "Changes the given fields of a collection."), |input, write| {
        Box::pin(update(write, input))
    });
    fields.write(
        field!("deleteCollection", "Deletes a collection with its groups. The artifacts it contains stay."),
        |input, write| Box::pin(delete(write, input)),
    );
    fields.write(
        field!(
            "copyCollection",
            "Copies a collection with groups, notes, states and order. The copy is `PRIVATE` and belongs to the viewer; so \
             it contains only artifacts that are the viewer's own or public."
        ),
        |input, write| Box::pin(copy(write, input)),
    );
    fields.write(
        field!(
            "addArtifactsToCollection",
            "Adds artifacts at the end of a collection. Artifacts that it contains already keep their position.\n\n\
             Everyone who can see a collection also sees its artifacts, so adding an artifact to a public collection \
             publishes it. Only public artifacts can be added to another account's collection; they are removed from it \
             if their owner makes them private."
        ),
        |input, write| Box::pin(add(write, input)),
    );
    fields.write(
        field!(
            "removeArtifactsFromCollection",
            "Removes artifacts from a collection and its groups. The artifacts themselves stay."
        ),
        |input, write| Box::pin(remove(write, input)),
    );
    fields.write(
        field!(
            "transferArtifacts",
            "Moves artifacts from one collection to another in one transaction, with their notes, states and order."
        ),
        |input, write| Box::pin(transfer(write, input)),
    );
    fields.write(
        field!("updateCollectionArtifact", "Changes the state or the note of an artifact in a collection."),
        |input, write| Box::pin(update_member(write, input)),
    );
    fields.write(
        field!(
            "moveCollectionArtifacts",
            "Moves artifacts, in the given order, directly after another artifact of the collection, or to its start."
        ),
        |input, write| Box::pin(move_members(write, input)),
    );
}
