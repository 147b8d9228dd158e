//! Teams, their members and invitations.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("teams")
                    .col(uuid("id").primary_key())
                    .col(string("name"))
                    .col(boolean("personal"))
                    .col(big_integer("created_at"))
                    .to_owned(),
            )
            .await?;
        create_members(manager).await?;
        create_invitations(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["invitations", "members", "teams"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

async fn create_members(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("members")
                .col(uuid("id").primary_key())
                .col(uuid("team_id"))
                .col(uuid("user_id"))
                .col(string("role"))
                .col(big_integer("joined_at"))
                .foreign_key(
                    ForeignKey::create().name("members_team").from("members", "team_id").to("teams", "id"),
                )
                .foreign_key(
                    ForeignKey::create().name("members_user").from("members", "user_id").to("users", "id"),
                )
                .to_owned(),
        )
        .await?;
    manager
        .create_index(
            Index::create()
                .name("members_team_user")
                .table("members")
                .col("team_id")
                .col("user_id")
                .unique()
                .to_owned(),
        )
        .await?;
    manager
        .create_index(
            Index::create()
                .name("members_user_team")
                .table("members")
                .col("user_id")
                .col("team_id")
                .to_owned(),
        )
        .await?;
    // A team never has two owners.
    manager
        .create_index(
            Index::create()
                .name("members_owner")
                .table("members")
                .col("team_id")
                .unique()
                .and_where(Expr::col("role").eq("owner"))
                .to_owned(),
        )
        .await
}

async fn create_invitations(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("invitations")
                .col(uuid("id").primary_key())
                .col(uuid("team_id"))
                .col(text("email"))
                .col(binary("email_index"))
                .col(string("role"))
                .col(uuid_null("invited_by"))
                .col(big_integer("created_at"))
                .col(big_integer("expires_at"))
                .col(big_integer_null("accepted_at"))
                .foreign_key(
                    ForeignKey::create()
                        .name("invitations_team")
                        .from("invitations", "team_id")
                        .to("teams", "id"),
                )
                .to_owned(),
        )
        .await?;
    // Somebody is invited to a team once at a time.
    manager
        .create_index(
            Index::create()
                .name("invitations_open")
                .table("invitations")
                .col("team_id")
                .col("email_index")
                .unique()
                .and_where(Expr::col("accepted_at").is_null())
                .to_owned(),
        )
        .await?;
    manager
        .create_index(
            Index::create()
                .name("invitations_email")
                .table("invitations")
                .col("email_index")
                .col("id")
                .to_owned(),
        )
        .await
}
