//! Invitations.

use sea_orm::{
    ActiveValue::Set, Condition, PaginatorTrait as _, QueryOrder as _, QuerySelect as _, QueryTrait as _,
    entity::prelude::*,
};

use super::role;
use crate::{
    base::{
        clock::Timestamp,
        db::Tx,
        error::{Error, Reason, Result},
        ids::{InvitationId, TeamId, UserId},
    },
    domain::{access::Grant, teams::model::Invitation, users::EmailIndex},
};

mod row {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "invitations")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: InvitationId,
        pub team_id: TeamId,
        pub email: String,
        pub email_index: Vec<u8>,
        pub role: String,
        pub invited_by: Option<UserId>,
        pub created_at: Timestamp,
        pub expires_at: Timestamp,
        pub accepted_at: Option<Timestamp>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Writes an invitation to the team of `grant`. One for the same address that has lapsed makes way.
///
/// # Errors
/// `ALREADY_EXISTS` if the address has an open invitation to the team.
pub(in crate::domain::teams) async fn insert(tx: &Tx, grant: &Grant, invitation: &Invitation) -> Result<()> {
    row::Entity::delete_many()
        .filter(row::Column::TeamId.eq(grant.team()))
        .filter(row::Column::EmailIndex.eq(invitation.email_index.to_vec()))
        .filter(row::Column::AcceptedAt.is_null())
        .filter(row::Column::ExpiresAt.lte(invitation.created_at))
        .exec(&tx.sql())
        .await?;
    row::Entity::insert(row::ActiveModel {
        id: Set(invitation.id),
        team_id: Set(grant.team()),
        email: Set(invitation.email.clone()),
        email_index: Set(invitation.email_index.to_vec()),
        role: Set(invitation.role.as_str().to_owned()),
        invited_by: Set(invitation.invited_by),
        created_at: Set(invitation.created_at),
        expires_at: Set(invitation.expires_at),
        accepted_at: Set(invitation.accepted_at),
    })
    .exec_without_returning(&tx.sql())
    .await
    .map_err(|error| {
        // PostgreSQL names the index, SQLite its columns.
        Error::from(error)
            .on_unique("invitations_open", Reason::AlreadyExists)
            .on_unique("invitations.email_index", Reason::AlreadyExists)
    })?;
    Ok(())
}

/// Withdraws the open invitations to the team of `grant` that `inviter` made.
pub(in crate::domain::teams) async fn withdraw(tx: &Tx, grant: &Grant, inviter: UserId) -> Result<()> {
    row::Entity::delete_many()
        .filter(row::Column::TeamId.eq(grant.team()))
        .filter(row::Column::InvitedBy.eq(inviter))
        .filter(row::Column::AcceptedAt.is_null())
        .exec(&tx.sql())
        .await?;
    Ok(())
}

/// Accepts the invitation `id` for the owner of an address, if it is open.
pub(in crate::domain::teams) async fn accept(
    tx: &Tx,
    id: InvitationId,
    email: EmailIndex,
    now: Timestamp,
) -> Result<Option<Invitation>> {
    row::Entity::update_many()
        .col_expr(row::Column::AcceptedAt, Expr::value(now))
        .filter(row::Column::Id.eq(id))
        .filter(is_open_to(email, now))
        .exec_with_returning(&tx.sql())
        .await?
        .into_iter()
        .next()
        .map(Invitation::try_from)
        .transpose()
}

/// The invitation `id`.
pub(in crate::domain::teams) async fn find(tx: &Tx, id: InvitationId) -> Result<Option<Invitation>> {
    row::Entity::find_by_id(id).one(&tx.sql()).await?.map(Invitation::try_from).transpose()
}

/// How many invitations to `team` are open.
pub(in crate::domain::teams) async fn count_open(tx: &Tx, team: TeamId, now: Timestamp) -> Result<u64> {
    Ok(row::Entity::find()
        .filter(row::Column::TeamId.eq(team))
        .filter(row::Column::AcceptedAt.is_null())
        .filter(row::Column::ExpiresAt.gt(now))
        .count(&tx.sql())
        .await?)
}

/// At most `count` open invitations of an address after the invitation `after`, oldest first.
pub(in crate::domain::teams) async fn list(
    tx: &Tx,
    email: EmailIndex,
    after: Option<InvitationId>,
    count: u64,
    now: Timestamp,
) -> Result<Vec<Invitation>> {
    let rows = row::Entity::find()
        .filter(is_open_to(email, now))
        .apply_if(after, |query, id| query.filter(row::Column::Id.gt(id)))
        .order_by_asc(row::Column::Id)
        .limit(count)
        .all(&tx.sql())
        .await?;
    rows.into_iter().map(Invitation::try_from).collect()
}

fn is_open_to(email: EmailIndex, now: Timestamp) -> Condition {
    Condition::all()
        .add(row::Column::EmailIndex.eq(email.to_vec()))
        .add(row::Column::AcceptedAt.is_null())
        .add(row::Column::ExpiresAt.gt(now))
}

impl TryFrom<row::Model> for Invitation {
    type Error = Error;

    fn try_from(row: row::Model) -> Result<Self> {
        let email_index = row
            .email_index
            .try_into()
            .map_err(|_| Error::internal("an invitation has a digest of a wrong length"))?;
        Ok(Self {
            id: row.id,
            team: row.team_id,
            email: row.email,
            email_index,
            role: role(&row.role)?,
            invited_by: row.invited_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            accepted_at: row.accepted_at,
        })
    }
}
