//! Projects.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("projects")
                    .col(uuid("id").primary_key())
                    .col(uuid("team_id"))
                    .col(string("name"))
                    .col(text_null("repository_url"))
                    .col(integer("link_number"))
                    .col(string("mirror_state"))
                    .col(uuid_null("sync_job_id"))
                    .col(big_integer("sync_epoch"))
                    .col(integer("sync_link"))
                    .col(string_null("head_commit"))
                    .col(text("default_branch"))
                    .col(big_integer("mirror_bytes"))
                    .col(big_integer_null("synced_at"))
                    .col(big_integer("created_at"))
                    .col(big_integer_null("deleted_at"))
                    // When to have the mirror of a deleted project removed, unless that is confirmed.
                    .col(big_integer_null("cleanup_due_at"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("projects_team_name")
                    .table("projects")
                    .col("team_id")
                    .col("name")
                    .unique()
                    // The name of a deleted project is free again.
                    .and_where(Expr::col("deleted_at").is_null())
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create().name("projects_team").table("projects").col("team_id").col("id").to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("projects_cleanup_due")
                    .table("projects")
                    .col("cleanup_due_at")
                    .and_where(Expr::col("cleanup_due_at").is_not_null())
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("projects").to_owned()).await
    }
}
