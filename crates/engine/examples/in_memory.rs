//! A library of authors and books in memory.
//!
//! ```sh
//! cargo run -p gatherum-engine --example in_memory
//! ```
use std::{collections::HashMap, sync::Arc};

use gatherum_engine::{
    BatchFn, Context, Engine, PageSizes, Result, RootKey,
    async_graphql::Variables,
    batch_loader,
    connection::{Connected, ConnectionNames, Order, PageArguments, Slice, SortedRow},
    cost::Limits,
    cursor::{SortType, SortValue},
    fields,
    loading::{LoadLimits, LoadReport},
    object::{EmptyRoot, NoArguments, Object, ObjectBuilder},
};

/// The data source of the batch functions. A server has a database here.
struct Library {
    authors: Vec<Author>,
    books: Vec<Book>,
}

#[derive(Clone, Debug)]
struct Author {
    id: i64,
    name: &'static str,
}

#[derive(Clone, Debug)]
struct Book {
    id: i64,
    title: &'static str,
    author: i64,
}

impl Library {
    /// Two authors, who wrote three books each.
    fn new() -> Self {
        let author = |id, name| Author { id, name };
        let book = |id, title, author| Book { id, title, author };
        Self {
            authors: vec![author(1, "Jane Austen"), author(2, "George Eliot")],
            books: vec![
                book(1, "Emma", 1),
                book(2, "Middlemarch", 2),
                book(3, "Persuasion", 1),
                book(4, "Romola", 2),
                book(5, "Sanditon", 1),
                book(6, "Silas Marner", 2),
            ],
        }
    }

    fn books_of(&self, author: i64) -> impl DoubleEndedIterator<Item = &Book> {
        self.books.iter().filter(move |book| book.author == author)
    }
}

// Relationships. The loader carries the arguments of the field; its batch function loads the values of many keys at once.

/// `Query.authors`: a list without a parent has the key `RootKey`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Authors;

struct AuthorsBatch<'a>(&'a Library);

impl BatchFn<RootKey, Result<Vec<Author>>> for AuthorsBatch<'_> {
    async fn load(&mut self, _keys: &[RootKey]) -> HashMap<RootKey, Result<Vec<Author>>> {
        HashMap::from([(RootKey, Ok(self.0.authors.clone()))])
    }
}

batch_loader! {
    Authors: RootKey => Vec<Author>, name: "Query.authors",
    batch: |_loader, request| AuthorsBatch(request.source())
}

/// `Book.author`, by the author's id.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AuthorOfBook;

struct AuthorOfBookBatch<'a>(&'a Library);

impl BatchFn<i64, Result<Option<Author>>> for AuthorOfBookBatch<'_> {
    async fn load(&mut self, ids: &[i64]) -> HashMap<i64, Result<Option<Author>>> {
        let wanted = self.0.authors.iter().filter(|author| ids.contains(&author.id));
        wanted.map(|author| (author.id, Ok(Some(author.clone())))).collect()
    }
}

batch_loader! {
    AuthorOfBook: i64 => Option<Author>, name: "Book.author",
    batch: |_loader, request| AuthorOfBookBatch(request.source())
}

// A connection: a list that is read in pages. It has two loaders, one for a page and one for the total count.

/// `Author.books`, by title.
#[derive(Clone)]
struct BooksOfAuthor;

impl Connected for BooksOfAuthor {
    type Parent = i64;
    type Row = Book;
    type Node = Book;
    type Pages = BookPages;
    type Totals = BookTotals;

    const NAME: &'static str = "Author.books";
    const TYPES: ConnectionNames = ConnectionNames { connection: "BookConnection", edge: "BookEdge", nodes: "books" };

    fn order(&self) -> Order {
        Order { name: "TITLE", types: vec![SortType::Text], descending: false }
    }

    fn pages(&self, slice: Slice) -> BookPages {
        BookPages(slice)
    }

    fn totals(&self) -> BookTotals {
        BookTotals
    }

    fn node(row: &Book) -> Book {
        row.clone()
    }
}

type Page = Arc<Vec<SortedRow<Book>>>;

/// A page of the books of each author.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BookPages(Slice);

struct BookPagesBatch<'a> {
    library: &'a Library,
    slice: &'a Slice,
}

impl BatchFn<i64, Result<Page>> for BookPagesBatch<'_> {
    async fn load(&mut self, authors: &[i64]) -> HashMap<i64, Result<Page>> {
        authors.iter().map(|author| (*author, Ok(page(self.library.books_of(*author), self.slice)))).collect()
    }
}

batch_loader! {
    BookPages: i64 => Page, name: "Author.books",
    batch: |loader, request| BookPagesBatch { library: request.source(), slice: &loader.0 }
}

/// The rows of a page: one more than its size if there are more, so that `hasNextPage` needs no call of its own.
fn page<'a>(books: impl DoubleEndedIterator<Item = &'a Book>, slice: &Slice) -> Page {
    let sort = |book: &Book| vec![SortValue::Text(book.title.into())];
    let title = |cursor: &Option<Vec<SortValue>>| match cursor.as_deref() {
        Some([SortValue::Text(title)]) => Some(title.clone()),
        _ => None,
    };
    let (after, before) = match slice.backward {
        false => (title(&slice.from), title(&slice.to)),
        true => (title(&slice.to), title(&slice.from)),
    };
    let books = books
        .filter(|book| after.as_ref().is_none_or(|after| book.title > after.as_str()))
        .filter(|book| before.as_ref().is_none_or(|before| book.title < before.as_str()));
    let rows = books.map(|book| SortedRow::new(book.clone(), Some(sort(book))));
    let count = slice.size as usize + 1;
    Arc::new(if slice.backward { rows.rev().take(count).collect() } else { rows.take(count).collect() })
}

/// The number of books of each author.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BookTotals;

struct BookTotalsBatch<'a>(&'a Library);

impl BatchFn<i64, Result<i64>> for BookTotalsBatch<'_> {
    async fn load(&mut self, authors: &[i64]) -> HashMap<i64, Result<i64>> {
        authors.iter().map(|author| (*author, Ok(self.0.books_of(*author).count() as i64))).collect()
    }
}

batch_loader! {
    BookTotals: i64 => i64, name: "Author.books.totalCount",
    batch: |_loader, request| BookTotalsBatch(request.source())
}

// The schema: each field with its documentation and the place of its value.

/// The root of queries.
#[derive(Clone)]
pub struct Query;

impl Object for Query {
    const NAME: &'static str = "Query";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// Reads the library.
            type;
            /// All authors.
            authors => load::<NoArguments, _, _>(|_| RootKey, |_, _, _| Ok(Authors), |authors| authors);
        }
    }
}

impl Object for Author {
    const NAME: &'static str = "Author";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// A person who wrote books.
            type;
            /// The full name.
            name => value(|author: &Author| author.name.to_owned());
            /// The books, by title.
            books => connection_of::<PageArguments, BooksOfAuthor>(|author| author.id, |_, _| Ok(BooksOfAuthor));
        }
    }
}

impl Object for Book {
    const NAME: &'static str = "Book";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// A book.
            type;
            /// A number that identifies the book.
            number => value(|book: &Book| book.id);
            /// The title.
            title => value(|book: &Book| book.title.to_owned());
            /// The person who wrote the book.
            author => load::<NoArguments, _, _>(|book| book.author, |_, _, _| Ok(AuthorOfBook), |author| author);
        }
    }
}

/// Executes a query and returns the response's data, as JSON, with the report of its loads.
pub async fn execute(query: &str) -> (String, LoadReport) {
    let engine: Engine<Query> = Engine::new(Query, EmptyRoot, Limits::default()).expect("the schema is valid");
    let pages = PageSizes { default: 50, max: 100 };
    let context = Context::new(Library::new(), (), LoadLimits::default(), pages);

    let prepared = engine.prepare(query, None, &Variables::default(), |_kind| Ok(()));
    let outcome = engine.execute(&prepared.expect("the query is valid"), &context).await;

    assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
    let data = outcome.data.map(|json| String::from_utf8(json).expect("JSON is UTF-8"));
    (data.expect("a query without errors has data"), context.rounds.report())
}

/// Six relationships of two authors and four books take three rounds and four calls of batch functions.
pub const QUERY: &str = "{
  authors {
    name
    books(first: 2) {
      totalCount
      nodes { title author { name } }
      pageInfo { hasNextPage }
    }
  }
}";

/// Prints the data of a query and its rounds.
#[tokio::main(flavor = "current_thread")]
pub async fn main() {
    let (data, report) = execute(QUERY).await;

    println!("{data}");
    println!("{} rounds:", report.rounds);
    for run in &report.runs {
        println!("  {} for {} keys", run.name, run.keys);
    }
}
