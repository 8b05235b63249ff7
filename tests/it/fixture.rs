//! A small catalogue with rows for every relationship, written by statements.
use gatherum::db::{Arg, Db, Sql, Time, Transaction, migrate};
use uuid::Uuid;

/// The kind of object that an id identifies.
#[derive(Clone, Copy)]
pub enum Kind {
    Artifact = 1,
    Collection = 2,
    Group = 3,
    Tag = 4,
    Version = 5,
    User = 6,
    ShareLink = 7,
    Share = 8,
}

/// The id of the n-th object of a kind, the same in every run.
pub fn id(kind: Kind, n: usize) -> Uuid {
    Uuid::from_u128((0x0190_0000_0000_7000_8000_u128 << 48) | ((kind as u128) << 32) | n as u128)
}

/// The time of the n-th object.
fn time(n: usize) -> Time {
    Time(1_700_000_000_000_000 + n as i64 * 1_000_000)
}

/// Fills `db` with `size` artifacts and a fifth as many collections, each artifact in three of them, with tags, groups
/// and versions.
pub async fn fill(db: &Db, size: usize) {
    let collections = (size / 5).max(3);
    let mut tx = db.begin().await.expect("a transaction");
    for n in 0..5 {
        let sql = row(
            &tx,
            "tags (id, name, slug, color, created_at, updated_at)",
            vec![
                Arg::Id(id(Kind::Tag, n)),
                text(format!("Tag {n}")),
                text(format!("tag-{n}")),
                text("#336699".to_owned()),
                Arg::Time(time(n)),
                Arg::Time(time(n)),
            ],
        );
        tx.execute("fixture", sql).await.expect("a tag");
    }
    for n in 0..size {
        artifact(&mut tx, n).await;
    }
    for n in 0..collections {
        collection(&mut tx, n).await;
    }
    for n in 0..size {
        for place in 0..3 {
            member(&mut tx, (n + place * 7) % collections, n, place).await;
        }
    }
    for n in 0..collections {
        groups(&mut tx, n).await;
    }
    tx.commit().await.expect("a commit");
    // Writes the words of the full-text indexes, which these rows lack like those of an earlier release.
    migrate::up(db).await.expect("words");
}

async fn artifact(tx: &mut Transaction, n: usize) {
    let kind = ["skill", "command", "agent"][n % 3];
    let columns = "artifacts (id, type, name, description, source, author, license, version, visibility, metadata, content, created_at, updated_at)";
    let sql = row(
        tx,
        columns,
        vec![
            Arg::Id(id(Kind::Artifact, n)),
            text(kind.to_owned()),
            text(format!("artifact {n:04}")),
            text(format!("What artifact number {n} is for, in a few words.")),
            text(format!("github:example/catalogue/{n}")),
            text(format!("author {}", n % 4)),
            text("MIT".to_owned()),
            text("1.1.0".to_owned()),
            text("PUBLIC".to_owned()),
            text(format!(r#"{{"number":{n}}}"#)),
            text(format!("# Artifact {n}\n")),
            Arg::Time(time(n)),
            Arg::Time(time(n + 1)),
        ],
    );
    tx.execute("fixture", sql).await.expect("an artifact");
    for place in 0..2 {
        let sql = row(
            tx,
            "artifact_tags (artifact_id, tag_id, artifact_created_at, created_at)",
            vec![
                Arg::Id(id(Kind::Artifact, n)),
                Arg::Id(id(Kind::Tag, (n + place) % 5)),
                Arg::Time(time(n)),
                Arg::Time(time(n)),
            ],
        );
        tx.execute("fixture", sql).await.expect("a tag of an artifact");
        let sql = row(
            tx,
            "artifact_versions (id, artifact_id, version, content_hash, notes, created_at)",
            vec![
                Arg::Id(id(Kind::Version, n * 2 + place)),
                Arg::Id(id(Kind::Artifact, n)),
                text(format!("1.{place}.0")),
                text(format!("{:064x}", n * 2 + place)),
                text(format!("Change {place}.")),
                Arg::Time(time(n + place)),
            ],
        );
        tx.execute("fixture", sql).await.expect("a version");
    }
}

async fn collection(tx: &mut Transaction, n: usize) {
    let columns = "collections (id, name, description, kind, color, visibility, created_at, updated_at)";
    let sql = row(
        tx,
        columns,
        vec![
            Arg::Id(id(Kind::Collection, n)),
            text(format!("collection {n:04}")),
            text(format!("What collection number {n} gathers.")),
            text(["context", "team"][n % 2].to_owned()),
            text("#993366".to_owned()),
            text("PUBLIC".to_owned()),
            Arg::Time(time(n)),
            Arg::Time(time(n + 1)),
        ],
    );
    tx.execute("fixture", sql).await.expect("a collection");
}

async fn member(tx: &mut Transaction, collection: usize, artifact: usize, place: usize) {
    let mut sql = tx.sql();
    sql.push("insert into collection_artifacts (collection_id, artifact_id, artifact_type, artifact_name, sort_key, status, note, added_at) select ")
        .bind(Arg::Id(id(Kind::Collection, collection)))
        .push(", a.id, a.type, a.name, ")
        .int((artifact * 1_000) as i64)
        .push(", ")
        .bind(text(["shortlisted", "undecided"][place % 2].to_owned()))
        .push(", ")
        .bind(text(format!("note {artifact}")))
        .push(", ")
        .bind(Arg::Time(time(artifact + place)))
        .push(" from artifacts a where a.id = ")
        .bind(Arg::Id(id(Kind::Artifact, artifact)))
        .push(" on conflict do nothing");
    tx.execute("fixture", sql).await.expect("a member");
}

async fn groups(tx: &mut Transaction, collection: usize) {
    for place in 0..2 {
        let n = collection * 2 + place;
        let columns = "groups (id, collection_id, name, description, color, icon, sort_key, created_at, updated_at)";
        let sql = row(
            tx,
            columns,
            vec![
                Arg::Id(id(Kind::Group, n)),
                Arg::Id(id(Kind::Collection, collection)),
                text(format!("group {place}")),
                text("Some of them.".to_owned()),
                text("slate".to_owned()),
                text("layers".to_owned()),
                Arg::Int(place as i64 * 1_000),
                Arg::Time(time(n)),
                Arg::Time(time(n)),
            ],
        );
        tx.execute("fixture", sql).await.expect("a group");
        let mut sql = tx.sql();
        sql.push("insert into group_artifacts (group_id, collection_id, artifact_id, sort_key, added_at) select ")
            .bind(Arg::Id(id(Kind::Group, n)))
            .push(", m.collection_id, m.artifact_id, m.sort_key, m.added_at from collection_artifacts m where m.collection_id = ")
            .bind(Arg::Id(id(Kind::Collection, collection)));
        tx.execute("fixture", sql).await.expect("members of a group");
    }
}

/// The token of the first share link of [`share`].
pub const LINK: &str = "a-link-of-the-fixture";

/// Gives everything to an account, with links to all and shares with another account. Call it once, after [`fill`].
pub async fn share(db: &Db, size: usize) {
    let mut tx = db.begin().await.expect("a transaction");
    for n in 0..2 {
        let values =
            vec![Arg::Id(id(Kind::User, n)), text(format!("user {n}")), Arg::Time(time(n)), Arg::Time(time(n))];
        let sql = row(&tx, "users (id, name, created_at, updated_at)", values);
        tx.execute("fixture", sql).await.expect("an account");
    }
    for table in ["update artifacts set owner_id = ", "update collections set owner_id = "] {
        let mut sql = tx.sql();
        sql.push(table).bind(Arg::Id(id(Kind::User, 0)));
        tx.execute("fixture", sql).await.expect("an owner");
    }
    // Artifacts and collections alternate, so that pages of two have both.
    let of_both = |n: usize| {
        let (artifact, collection) = (id(Kind::Artifact, n), id(Kind::Collection, n));
        [(Some(artifact), None), (Some(artifact), None), (None, Some(collection)), (None, Some(collection))]
    };
    for (n, (artifact, collection)) in (0..(size / 5).max(3)).flat_map(of_both).enumerate() {
        let secret = if n == 0 { LINK.to_owned() } else { format!("link {n}") };
        let values = vec![
            Arg::Id(id(Kind::ShareLink, n)),
            Arg::OptionalId(artifact),
            Arg::OptionalId(collection),
            text(gatherum::access::LinkToken::hash_of(&secret)),
            Arg::Time(time(n)),
        ];
        let sql = row(&tx, "share_links (id, artifact_id, collection_id, hash, created_at)", values);
        tx.execute("fixture", sql).await.expect("a link");
        let values = vec![
            Arg::Id(id(Kind::Share, n)),
            Arg::OptionalId(artifact),
            Arg::OptionalId(collection),
            Arg::Id(id(Kind::User, n % 2)),
            Arg::Id(id(Kind::User, (n + 1) % 2)),
            Arg::Time(time(n)),
            Arg::Time(Time(Time::now().0 + 3_600_000_000)),
        ];
        let columns = "shares (id, artifact_id, collection_id, sender_id, recipient_id, created_at, expires_at)";
        let sql = row(&tx, columns, values);
        tx.execute("fixture", sql).await.expect("a share");
    }
    tx.commit().await.expect("a commit");
}

fn text(value: String) -> Arg {
    Arg::Text(Some(value))
}

fn row(tx: &Transaction, columns: &'static str, values: Vec<Arg>) -> Sql {
    let mut sql = tx.sql();
    sql.push("insert into ").push(columns).push(" values (");
    for (place, value) in values.into_iter().enumerate() {
        sql.push(if place > 0 { ", " } else { "" }).bind(value);
    }
    sql.push(")");
    sql
}
