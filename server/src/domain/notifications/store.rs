//! The rows of notifications.

use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ExprTrait as _, QueryOrder as _, QuerySelect as _,
    entity::prelude::*, sea_query::OnConflict,
};

use super::model::{Kind, News, Notification, SECURITY_KEPT_MAX, Sequence};
use crate::base::{
    clock::Timestamp,
    db::Tx,
    error::{Error, Result},
    ids::{NotificationId, ProjectId, TeamId, UserId},
};

mod sequence {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "notification_sequences")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: UserId,
        pub last: i64,
        pub read_up_to: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod row {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "notifications")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: UserId,
        #[sea_orm(primary_key, auto_increment = false)]
        pub sequence: i64,
        pub id: NotificationId,
        pub kind: String,
        pub text: String,
        pub team_id: Option<TeamId>,
        pub project_id: Option<ProjectId>,
        pub subject_id: Option<Uuid>,
        pub created_at: Timestamp,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Takes the next number of a user's sequence. Whoever comes second waits here until the first has
/// committed, so that the numbers become visible in their order and without gaps.
pub(super) async fn next_number(tx: &Tx, user: UserId) -> Result<i64> {
    let following = Expr::col((sequence::Entity, sequence::Column::Last)).add(1);
    let next = sequence::Entity::insert(sequence::ActiveModel {
        user_id: Set(user),
        last: Set(1),
        read_up_to: Set(0),
    })
    .on_conflict(
        OnConflict::column(sequence::Column::UserId).value(sequence::Column::Last, following).to_owned(),
    )
    .exec_with_returning(&tx.sql())
    .await?;
    Ok(next.last)
}

/// Where a user's sequence stands.
pub(super) async fn sequence(tx: &Tx, user: UserId) -> Result<Sequence> {
    let found = sequence::Entity::find_by_id(user).one(&tx.sql()).await?;
    Ok(found.map_or_else(Sequence::default, |row| Sequence { last: row.last, read_up_to: row.read_up_to }))
}

/// Writes that the user has read up to `number`; never takes anything back.
pub(super) async fn mark_read(tx: &Tx, user: UserId, number: i64) -> Result<()> {
    sequence::Entity::update_many()
        .col_expr(sequence::Column::ReadUpTo, Expr::value(number))
        .filter(sequence::Column::UserId.eq(user))
        .filter(sequence::Column::ReadUpTo.lt(number))
        .exec(&tx.sql())
        .await?;
    Ok(())
}

/// Writes a notification.
pub(super) async fn insert(tx: &Tx, notification: &Notification) -> Result<()> {
    let news = &notification.news;
    row::Entity::insert(row::ActiveModel {
        user_id: Set(notification.user),
        sequence: Set(notification.sequence),
        id: Set(notification.id),
        kind: Set(news.kind.as_str().to_owned()),
        text: Set(news.text.clone()),
        team_id: Set(news.team),
        project_id: Set(news.project),
        subject_id: Set(news.subject),
        created_at: Set(notification.created_at),
    })
    .exec_without_returning(&tx.sql())
    .await?;
    Ok(())
}

/// Forgets a user's notifications up to `number`, but none about the security of the account.
pub(super) async fn forget(tx: &Tx, user: UserId, number: i64) -> Result<()> {
    row::Entity::delete_many()
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::Sequence.lte(number))
        .filter(row::Column::Kind.is_not_in(security_kinds()))
        .exec(&tx.sql())
        .await?;
    Ok(())
}

/// Forgets all but the newest of a user's notifications about the security of the account.
pub(super) async fn forget_security(tx: &Tx, user: UserId) -> Result<()> {
    let newest: Option<i64> = row::Entity::find()
        .select_only()
        .column(row::Column::Sequence)
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::Kind.is_in(security_kinds()))
        .order_by_desc(row::Column::Sequence)
        .offset(SECURITY_KEPT_MAX)
        .limit(1)
        .into_tuple()
        .one(&tx.sql())
        .await?;
    let Some(newest) = newest else { return Ok(()) };
    row::Entity::delete_many()
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::Sequence.lte(newest))
        .filter(row::Column::Kind.is_in(security_kinds()))
        .exec(&tx.sql())
        .await?;
    Ok(())
}

fn security_kinds() -> [&'static str; 2] {
    Kind::SECURITY.map(Kind::as_str)
}

/// At most `count` notifications of a user between `after` and `before`, both excluded, newest first.
pub(super) async fn newest(
    tx: &Tx,
    user: UserId,
    after: i64,
    before: Option<i64>,
    count: u64,
) -> Result<Vec<Notification>> {
    let query = row::Entity::find()
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::Sequence.gt(after))
        .filter(row::Column::Sequence.lt(before.unwrap_or(i64::MAX)));
    let rows = query.order_by_desc(row::Column::Sequence).limit(count).all(&tx.sql()).await?;
    rows.into_iter().map(Notification::try_from).collect()
}

/// At most `count` notifications of a user after `after`, oldest first.
pub(super) async fn following(tx: &Tx, user: UserId, after: i64, count: u64) -> Result<Vec<Notification>> {
    let query =
        row::Entity::find().filter(row::Column::UserId.eq(user)).filter(row::Column::Sequence.gt(after));
    let rows = query.order_by_asc(row::Column::Sequence).limit(count).all(&tx.sql()).await?;
    rows.into_iter().map(Notification::try_from).collect()
}

impl TryFrom<row::Model> for Notification {
    type Error = Error;

    fn try_from(row: row::Model) -> Result<Self> {
        let kind = Kind::parse(&row.kind)
            .ok_or_else(|| Error::internal("a notification's row has an unknown kind"))?;
        Ok(Self {
            id: row.id,
            user: row.user_id,
            sequence: row.sequence,
            news: News {
                kind,
                text: row.text,
                team: row.team_id,
                project: row.project_id,
                subject: row.subject_id,
            },
            created_at: row.created_at,
        })
    }
}
