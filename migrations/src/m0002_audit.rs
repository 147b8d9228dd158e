//! The audit log: a chain of entries, and its head.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("audit_entries")
                    .col(big_integer("sequence").primary_key())
                    .col(string("event"))
                    .col(string("outcome"))
                    .col(string("route"))
                    .col(uuid_null("user_id"))
                    .col(uuid_null("team_id"))
                    .col(uuid_null("project_id"))
                    .col(uuid_null("device_id"))
                    .col(string_null("subject_id"))
                    .col(string("correlation_id"))
                    .col(string_null("address"))
                    .col(big_integer("occurred_at"))
                    .col(binary("digest"))
                    .to_owned(),
            )
            .await?;
        for column in ["user_id", "project_id", "event", "correlation_id"] {
            manager
                .create_index(
                    Index::create()
                        .name(format!("audit_entries_{column}"))
                        .table("audit_entries")
                        .col(column)
                        .col("sequence")
                        .to_owned(),
                )
                .await?;
        }
        manager
            .create_table(
                Table::create()
                    .table("audit_head")
                    .col(integer("id").primary_key())
                    .col(big_integer("sequence"))
                    .col(binary("digest"))
                    .to_owned(),
            )
            .await?;
        manager
            .execute(
                Query::insert()
                    .into_table("audit_head")
                    .columns(["id", "sequence", "digest"])
                    .values_panic([1.into(), 0_i64.into(), vec![0_u8; 32].into()])
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("audit_head").to_owned()).await?;
        manager.drop_table(Table::drop().table("audit_entries").to_owned()).await
    }
}
