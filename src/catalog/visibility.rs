//! The visibility of objects.
use async_graphql::{Enum, InputType, registry::Registry};

use crate::{
    db::{Cell, CellType, ColumnValue, Record, Row, Text},
    graphql::Leaf,
};

/// Visibility of an object.
#[derive(Enum, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Visible to its owner and to accounts that it was shared with.
    #[default]
    Private,
    /// Visible to everyone who has its ID or a link; other accounts do not find it in lists, searches and counts.
    Unlisted,
    /// Visible to everyone, even without a token.
    Public,
}

impl Visibility {
    /// The value in the database and in the schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "PRIVATE",
            Self::Unlisted => "UNLISTED",
            Self::Public => "PUBLIC",
        }
    }

    /// The visibility with this value.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Private, Self::Unlisted, Self::Public].into_iter().find(|visibility| visibility.as_str() == word)
    }
}

impl Record for Visibility {
    /// An unknown value hides the object.
    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        Ok(Self::parse(&row.next::<Text>()?).unwrap_or(Self::Private))
    }
}

impl ColumnValue for Visibility {
    type Value = Self;
    const TYPE: CellType = CellType::Text;

    fn cell(value: Self) -> Cell {
        Cell::Text(value.as_str().to_owned())
    }

    fn read(row: &mut Row<'_>) -> sqlx::Result<Self> {
        Record::read(row)
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
