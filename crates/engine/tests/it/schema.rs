//! A schema of numbers with fields that fail, and requests to it.
//!
//! `Number` is an integer, its children are loaded; letters and numbers are the members of the union `Symbol`.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use gatherum_engine::{
    BatchFn, Code, Context, Engine, Error, ExecutionOutcome, PageSizes, PreparedRequest, Result, RootKey,
    abstract_output,
    async_graphql::{InputObject, Variables},
    batch_loader,
    connection::{Connected, ConnectionNames, Order, PageArguments, Slice, SortedRow},
    cost::Limits,
    cursor::{SortType, SortValue},
    explain::Loads,
    fields,
    loading::{LoadLimits, LoadReport},
    object::{NoArguments, Object, ObjectBuilder, SchemaBuilder},
    subscription::Event,
};
use serde_json::{Value, json};

/// The data source and state of a request: it logs what happens.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, entry: impl Into<String>) {
        self.0.lock().expect("no panic").push(entry.into());
    }

    pub fn entries(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }
}

/// A response, and how it came about.
pub struct Outcome {
    pub data: Value,
    /// Path and code of each error.
    pub errors: Vec<(Value, Code)>,
    pub messages: Vec<String>,
    pub report: LoadReport,
    pub log: Vec<String>,
}

pub fn engine() -> Engine<Query, Mutation, NumberEvent> {
    Engine::new(Query, Mutation, Limits::default()).expect("a valid schema")
}

pub fn prepare(engine: &Engine<Query, Mutation, NumberEvent>, document: &str, variables: Value) -> PreparedRequest {
    let prepared = engine.prepare(document, None, &Variables::from_json(variables), |_kind| Ok(()));
    prepared.unwrap_or_else(|rejected| panic!("{document}: {:?}", rejected.errors))
}

pub fn context(log: &Log) -> Context {
    Context::new(log.clone(), log.clone(), LoadLimits::default(), PageSizes { default: 3, max: 10 })
}

pub async fn execute_with(document: &str, variables: Value) -> Outcome {
    let (engine, log) = (engine(), Log::default());
    let context = context(&log);
    let prepared = prepare(&engine, document, variables);
    outcome(engine.execute(&prepared, &context).await, context.rounds.report(), &log)
}

pub async fn execute(document: &str) -> Outcome {
    execute_with(document, json!({})).await
}

pub fn outcome(executed: ExecutionOutcome, report: LoadReport, log: &Log) -> Outcome {
    let data = executed.data.map_or(Value::Null, |data| serde_json::from_slice(&data).expect("JSON"));
    let errors = executed.errors.iter().map(|error| (json!(error.path), error.error.code)).collect();
    let messages = executed.errors.iter().map(|error| error.error.to_string()).collect();
    Outcome { data, errors, messages, report, log: log.entries() }
}

/// Executes a document that is executed without errors.
pub async fn data(document: &str) -> Value {
    let outcome = execute(document).await;
    assert_eq!(outcome.errors, [], "{document}");
    outcome.data
}

fn down() -> Error {
    Error::new(Code::Unavailable, "down")
}

#[derive(Clone, Copy, Debug)]
pub struct Query;

#[derive(Clone, Copy, Debug)]
pub struct Mutation;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Number(i64);

#[derive(Clone, Copy, Debug)]
pub struct Letter(char);

abstract_output! {
    /// A letter or a number.
    pub enum Symbol as "Symbol" by declare_symbol { OfNumber(Number), OfLetter(Letter) }
}

fn declare_symbol(schema: &mut SchemaBuilder<'_>) {
    schema.union("Symbol", &["A letter or a number."]);
}

#[derive(InputObject, Clone, Debug)]
pub struct UpTo {
    /// The number of numbers, from 0.
    count: i64,
}

#[derive(InputObject, Clone, Debug)]
pub struct Step {
    /// The name of the step.
    name: String,
    /// Whether it fails.
    fails: Option<bool>,
}

impl Object for Query {
    const NAME: &'static str = "Query";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// The root.
            type;
            /// Letters and numbers. The first field, because it declares the union that numbers belong to.
            symbols => compute::<NoArguments, _>(|_, _, _| {
                Ok(vec![Symbol::OfNumber(Number(1)), Symbol::OfLetter(Letter('b')), Symbol::OfNumber(Number(3)), Symbol::OfLetter(Letter('d'))])
            });
            /// Numbers from 0.
            numbers => compute::<UpTo, _>(|_, args, _| Ok((0..args.count).map(Number).collect::<Vec<_>>()));
            /// Numbers from 0, or null.
            optionalNumbers => compute::<UpTo, _>(|_, args, _| Ok(Some((0..args.count).map(Number).collect::<Vec<_>>())));
            /// Numbers from 0, each of them or null.
            numbersOrNull => compute::<UpTo, _>(|_, args, _| Ok((0..args.count).map(|n| Some(Number(n))).collect::<Vec<_>>()));
            /// Rows of growing length.
            triangle => compute::<UpTo, _>(|_, args, _| {
                Ok((0..args.count).map(|row| (0..row).map(Number).collect()).collect::<Vec<Vec<_>>>())
            });
            /// The digits.
            digits => connection_of::<PageArguments, Digits>(|_| RootKey, |_, _| Ok(Digits));
        }
    }
}

impl Object for Number {
    const NAME: &'static str = "Number";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// A number.
            type: "Symbol";
            /// The number.
            value => value(|number: &Number| number.0);
            /// Its name.
            name => value(|number: &Number| format!("number {}", number.0));
            /// The double, from a loader.
            double => load::<NoArguments, _, _>(|number| number.0, |_, _, _| Ok(Double), |value| value);
            /// The number that is twice as large, from the same loader.
            twice => load::<NoArguments, _, _>(|number| number.0, |_, _, _| Ok(Double), Number);
            /// Fails for odd numbers.
            even => compute::<NoArguments, _>(|number, _, _| Ok(if number.0 % 2 == 0 { Ok(*number) } else { Err(down()) }));
            /// Fails for odd numbers, which then are null.
            evenOrNull => compute::<NoArguments, _>(|number, _, _| {
                Ok(if number.0 % 2 == 0 { Ok(Some(*number)) } else { Err(down()) })
            });
            /// Fails for all parents.
            broken => compute::<NoArguments, i64>(|_, _, _| Err(down()));
            /// Panics.
            panicking => compute::<NoArguments, i64>(|_, _, _| panic!("a resolver panics"));
            /// The sum with another number.
            plus => compute::<UpTo, _>(|number, args, _| Ok(number.0 + args.count));
        }
    }
}

impl Object for Letter {
    const NAME: &'static str = "Letter";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// A letter.
            type: "Symbol";
            /// The letter.
            letter => value(|letter: &Letter| letter.0.to_string());
            /// Its name.
            name => value(|letter: &Letter| format!("letter {}", letter.0));
        }
    }
}

impl Object for Mutation {
    const NAME: &'static str = "Mutation";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// The root of writes.
            type;
            /// A step that must not fail.
            step => batch::<Step, _>(Loads::none(), |_, step, field| Box::pin(async move {
                take_step(&step, field.context()).await.map(|()| vec![Number(1)])
            }));
            /// A step that may fail.
            optionalStep => batch::<Step, _>(Loads::none(), |_, step, field| Box::pin(async move {
                take_step(&step, field.context()).await.map(|()| vec![Some(Number(1))])
            }));
        }
    }
}

async fn take_step(step: &Step, context: &Context) -> Result<()> {
    let log = context.state::<Log>();
    log.add(format!("begin {}", step.name));
    // A step that waits, so that steps that are not sequential interleave.
    tokio::task::yield_now().await;
    log.add(format!("end {}", step.name));
    if step.fails == Some(true) { Err(down()) } else { Ok(()) }
}

/// `Number.double`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Double;

struct DoubleBatch<'a>(&'a Log);

impl BatchFn<i64, Result<i64>> for DoubleBatch<'_> {
    async fn load(&mut self, keys: &[i64]) -> HashMap<i64, Result<i64>> {
        self.0.add(format!("double {keys:?}"));
        keys.iter().map(|key| (*key, Ok(2 * key))).collect()
    }
}

batch_loader! {
    Double: i64 => i64, name: "Number.double", batch: |_loader, request| DoubleBatch(request.source())
}

/// `Query.digits`: the numbers from 0 to 9.
#[derive(Clone)]
struct Digits;

impl Connected for Digits {
    type Parent = RootKey;
    type Row = i64;
    type Node = Number;
    type Pages = DigitPages;
    type Totals = DigitTotals;

    const NAME: &'static str = "Query.digits";
    const TYPES: ConnectionNames =
        ConnectionNames { connection: "DigitConnection", edge: "DigitEdge", nodes: "digits" };

    fn order(&self) -> Order {
        Order { name: "VALUE", types: vec![SortType::Int], descending: false }
    }

    fn pages(&self, slice: Slice) -> DigitPages {
        DigitPages(slice)
    }

    fn totals(&self) -> DigitTotals {
        DigitTotals
    }

    fn node(row: &i64) -> Number {
        Number(*row)
    }

    fn declare_edge(fields: &mut ObjectBuilder<'_, '_, gatherum_engine::connection::Edge<Self>>) {
        fields! { fields;
            type;
            /// The place from the start, if it is known.
            place => compute::<NoArguments, _>(|edge, _, _| Ok(edge.place_from_start().map(|place| place as i64)));
        }
    }
}

type DigitPage = Arc<Vec<SortedRow<i64>>>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct DigitPages(Slice);

struct DigitPagesBatch<'a>(&'a Log, &'a Slice);

impl BatchFn<RootKey, Result<DigitPage>> for DigitPagesBatch<'_> {
    async fn load(&mut self, _keys: &[RootKey]) -> HashMap<RootKey, Result<DigitPage>> {
        let Self(log, slice) = self;
        log.add("page");
        let value = |cursor: &Option<Vec<SortValue>>| match cursor.as_deref() {
            Some([SortValue::Int(value)]) => Some(*value),
            _ => None,
        };
        let digits: Vec<i64> = if slice.backward { (0..10).rev().collect() } else { (0..10).collect() };
        let place = |digit: &i64| digits.iter().position(|other| other == digit).expect("a digit");
        let start = value(&slice.from).map_or(0, |from| place(&from) + 1);
        let end = value(&slice.to).map_or(10, |to| place(&to)).max(start);
        let rows = digits[start..end].iter().take(slice.size as usize + 1);
        let rows = rows.map(|digit| SortedRow::new(*digit, Some(vec![SortValue::Int(*digit)])));
        HashMap::from([(RootKey, Ok(Arc::new(rows.collect())))])
    }
}

batch_loader! {
    DigitPages: RootKey => DigitPage, name: "Query.digits",
    batch: |loader, request| DigitPagesBatch(request.source(), &loader.0)
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct DigitTotals;

struct DigitTotalsBatch<'a>(&'a Log);

impl BatchFn<RootKey, Result<i64>> for DigitTotalsBatch<'_> {
    async fn load(&mut self, _keys: &[RootKey]) -> HashMap<RootKey, Result<i64>> {
        self.0.add("total");
        HashMap::from([(RootKey, Ok(10))])
    }
}

batch_loader! {
    DigitTotals: RootKey => i64, name: "Query.digits.totalCount",
    batch: |_loader, request| DigitTotalsBatch(request.source())
}

/// The root of subscriptions: a number.
#[derive(Clone, Copy, Debug, PartialEq, serde::Deserialize)]
pub struct NumberEvent(pub i64);

impl Object for NumberEvent {
    const NAME: &'static str = "Subscription";

    fn declare(fields: &mut ObjectBuilder<'_, '_, Self>) {
        fields! { fields;
            /// The root of subscriptions.
            type;
            /// Numbers below a limit.
            numberBelow => events::<UpTo, _>(|event, args| {
                if args.count == 13 {
                    return Err(down());
                }
                Ok((event.0 < args.count).then_some(Number(event.0)))
            });
        }
    }
}

#[async_trait::async_trait]
impl Event for NumberEvent {
    async fn is_visible(&self, _field: &str, _context: &Context) -> Result<bool> {
        Ok(true)
    }
}
