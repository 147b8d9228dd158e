//! Notifications and their sequences.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("notification_sequences")
                    .col(uuid("user_id").primary_key())
                    .col(big_integer("last"))
                    .col(big_integer("read_up_to"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("notifications")
                    .col(uuid("user_id"))
                    .col(big_integer("sequence"))
                    .col(uuid("id"))
                    .col(string("kind"))
                    .col(text("text"))
                    .col(uuid_null("team_id"))
                    .col(uuid_null("project_id"))
                    .col(uuid_null("subject_id"))
                    .col(big_integer("created_at"))
                    .primary_key(Index::create().col("user_id").col("sequence"))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("notifications").to_owned()).await?;
        manager.drop_table(Table::drop().table("notification_sequences").to_owned()).await
    }
}
