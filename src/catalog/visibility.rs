//! Who may see an object.
use async_graphql::{Enum, InputType, registry::Registry};

use crate::{
    db::{Record, Row, Text},
    graphql::Leaf,
};

/// Who may see an object.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Its owner, and those it was shared with.
    Private,
    /// Whoever knows its id or a link to it; for others than its owner it is in no list, search or count.
    Unlisted,
    /// Everyone, without a token too.
    Public,
}

impl Visibility {
    /// The word that both the database and the schema have for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "PRIVATE",
            Self::Unlisted => "UNLISTED",
            Self::Public => "PUBLIC",
        }
    }

    /// The visibility that has this word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Private, Self::Unlisted, Self::Public].into_iter().find(|visibility| visibility.as_str() == word)
    }
}

impl Record for Visibility {
    /// A word that is unknown hides the object.
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        Ok(Self::parse(&row.next::<Text>()?).unwrap_or(Self::Private))
    }
}

impl Leaf for Visibility {
    fn type_ref(registry: &mut Registry) -> String {
        <Self as InputType>::create_type_info(registry)
    }
    fn write(&self, json: &mut Vec<u8>) {
        self.as_str().write(json);
    }
}
