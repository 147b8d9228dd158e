//! Members.

use sea_orm::{
    ActiveValue::Set,
    PaginatorTrait as _, QueryOrder as _, QuerySelect as _, QueryTrait as _,
    entity::prelude::*,
    sea_query::{LockType, OnConflict},
};

use super::role;
use crate::{
    base::{
        clock::Timestamp,
        db::Tx,
        error::{Error, Result},
        ids::{TeamId, UserId},
    },
    domain::{
        access::{Grant, TeamRole},
        teams::model::{MEMBERS_MAX, Member},
    },
};

mod row {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "members")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub team_id: TeamId,
        pub user_id: UserId,
        pub role: String,
        pub joined_at: Timestamp,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Writes a membership that follows from founding the team or from accepting an invitation; whether the
/// user was not a member yet.
pub(in crate::domain::teams) async fn insert(tx: &Tx, member: &Member) -> Result<bool> {
    let inserted = row::Entity::insert(row::ActiveModel {
        id: Set(member.id),
        team_id: Set(member.team),
        user_id: Set(member.user),
        role: Set(member.role.as_str().to_owned()),
        joined_at: Set(member.joined_at),
    })
    .on_conflict(OnConflict::columns([row::Column::TeamId, row::Column::UserId]).do_nothing().to_owned())
    .exec_without_returning(&tx.sql())
    .await?;
    Ok(inserted > 0)
}

/// The membership of `user` in `team`.
pub(in crate::domain::teams) async fn find(tx: &Tx, team: TeamId, user: UserId) -> Result<Option<Member>> {
    row::Entity::find()
        .filter(row::Column::TeamId.eq(team))
        .filter(row::Column::UserId.eq(user))
        .one(&tx.sql())
        .await?
        .map(Member::try_from)
        .transpose()
}

/// The membership of `user` in `team`, which stays as it is until the transaction ends.
pub(in crate::domain::teams) async fn find_held(
    tx: &Tx,
    team: TeamId,
    user: UserId,
) -> Result<Option<Member>> {
    let query = row::Entity::find().filter(row::Column::TeamId.eq(team)).filter(row::Column::UserId.eq(user));
    tx.hold(query, LockType::Share).one(&tx.sql()).await?.map(Member::try_from).transpose()
}

/// Waits until no other transaction changes the memberships of `users` in `team`, or acts by them. They are locked in
/// the order of their identifiers: two transactions that lock the same never wait for each other.
pub(in crate::domain::teams) async fn lock(tx: &Tx, team: TeamId, users: [UserId; 2]) -> Result<()> {
    if !tx.is_shared() {
        return Ok(());
    }
    let query = row::Entity::find()
        .filter(row::Column::TeamId.eq(team))
        .filter(row::Column::UserId.is_in(users))
        .order_by_asc(row::Column::Id);
    tx.hold(query, LockType::NoKeyUpdate).all(&tx.sql()).await?;
    Ok(())
}

/// Gives `user` another role in the team of `grant`, unless the user became its owner.
pub(in crate::domain::teams) async fn set_role(
    tx: &Tx,
    grant: &Grant,
    user: UserId,
    role: TeamRole,
) -> Result<Option<Member>> {
    row::Entity::update_many()
        .col_expr(row::Column::Role, Expr::value(role.as_str()))
        .filter(row::Column::TeamId.eq(grant.team()))
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::Role.ne(TeamRole::Owner.as_str()))
        .exec_with_returning(&tx.sql())
        .await?
        .into_iter()
        .next()
        .map(Member::try_from)
        .transpose()
}

/// Removes `user` from the team of `grant`, unless the user is its owner.
pub(in crate::domain::teams) async fn remove(tx: &Tx, grant: &Grant, user: UserId) -> Result<()> {
    row::Entity::delete_many()
        .filter(row::Column::TeamId.eq(grant.team()))
        .filter(row::Column::UserId.eq(user))
        .filter(row::Column::Role.ne(TeamRole::Owner.as_str()))
        .exec(&tx.sql())
        .await?;
    Ok(())
}

/// How many members `team` has.
pub(in crate::domain::teams) async fn count(tx: &Tx, team: TeamId) -> Result<u64> {
    Ok(row::Entity::find().filter(row::Column::TeamId.eq(team)).count(&tx.sql()).await?)
}

/// How many teams `user` is in.
pub(in crate::domain::teams) async fn count_of_user(tx: &Tx, user: UserId) -> Result<u64> {
    Ok(row::Entity::find().filter(row::Column::UserId.eq(user)).count(&tx.sql()).await?)
}

/// Who is in `team`.
pub(in crate::domain::teams) async fn ids(tx: &Tx, team: TeamId) -> Result<Vec<UserId>> {
    Ok(row::Entity::find()
        .select_only()
        .column(row::Column::UserId)
        .filter(row::Column::TeamId.eq(team))
        .limit(MEMBERS_MAX)
        .into_tuple()
        .all(&tx.sql())
        .await?)
}

/// Those of `users` who are in `team`.
pub(in crate::domain::teams) async fn ids_among(
    tx: &Tx,
    team: TeamId,
    users: Vec<UserId>,
) -> Result<Vec<UserId>> {
    Ok(row::Entity::find()
        .select_only()
        .column(row::Column::UserId)
        .filter(row::Column::TeamId.eq(team))
        .filter(row::Column::UserId.is_in(users))
        .into_tuple()
        .all(&tx.sql())
        .await?)
}

/// Who has one of `roles` in `team`, at most `count`, those first who have been members for longest.
pub(in crate::domain::teams) async fn ids_with_roles(
    tx: &Tx,
    team: TeamId,
    roles: &[TeamRole],
    count: u64,
) -> Result<Vec<UserId>> {
    Ok(row::Entity::find()
        .select_only()
        .column(row::Column::UserId)
        .filter(row::Column::TeamId.eq(team))
        .filter(row::Column::Role.is_in(roles.iter().map(|role| role.as_str())))
        .order_by_asc(row::Column::Id)
        .limit(count)
        .into_tuple()
        .all(&tx.sql())
        .await?)
}

/// At most `count` members of `team` after the membership `after`, oldest first.
pub(in crate::domain::teams) async fn list(
    tx: &Tx,
    team: TeamId,
    after: Option<Uuid>,
    count: u64,
) -> Result<Vec<Member>> {
    let rows = row::Entity::find()
        .filter(row::Column::TeamId.eq(team))
        .apply_if(after, |query, id| query.filter(row::Column::Id.gt(id)))
        .order_by_asc(row::Column::Id)
        .limit(count)
        .all(&tx.sql())
        .await?;
    rows.into_iter().map(Member::try_from).collect()
}

/// At most `count` memberships of `user` in teams after the team `after`, in the order in which the teams
/// were made.
pub(in crate::domain::teams) async fn list_of_user(
    tx: &Tx,
    user: UserId,
    after: Option<TeamId>,
    count: u64,
) -> Result<Vec<Member>> {
    let rows = row::Entity::find()
        .filter(row::Column::UserId.eq(user))
        .apply_if(after, |query, id| query.filter(row::Column::TeamId.gt(id)))
        .order_by_asc(row::Column::TeamId)
        .limit(count)
        .all(&tx.sql())
        .await?;
    rows.into_iter().map(Member::try_from).collect()
}

impl TryFrom<row::Model> for Member {
    type Error = Error;

    fn try_from(row: row::Model) -> Result<Self> {
        Ok(Self {
            id: row.id,
            team: row.team_id,
            user: row.user_id,
            role: role(&row.role)?,
            joined_at: row.joined_at,
        })
    }
}
