//! Passwords, devices and sessions.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create_credentials(manager).await?;
        create_devices(manager).await?;
        create_sessions(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["sessions", "devices", "credentials"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

async fn create_credentials(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("credentials")
                .col(uuid("user_id").primary_key())
                .col(text("password_hash"))
                .col(big_integer("changed_at"))
                .foreign_key(
                    ForeignKey::create()
                        .name("credentials_user")
                        .from("credentials", "user_id")
                        .to("users", "id"),
                )
                .to_owned(),
        )
        .await
}

async fn create_devices(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("devices")
                .col(uuid("id").primary_key())
                .col(uuid("user_id"))
                .col(string("thumbprint"))
                .col(text("public_key"))
                .col(string("name"))
                .col(string("platform"))
                .col(big_integer("created_at"))
                .col(big_integer("seen_at"))
                .col(big_integer_null("revoked_at"))
                .foreign_key(
                    ForeignKey::create().name("devices_user").from("devices", "user_id").to("users", "id"),
                )
                .to_owned(),
        )
        .await?;
    manager
        .create_index(
            Index::create()
                .name("devices_user_thumbprint")
                .table("devices")
                .col("user_id")
                .col("thumbprint")
                .unique()
                .to_owned(),
        )
        .await
}

async fn create_sessions(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager
        .create_table(
            Table::create()
                .table("sessions")
                .col(uuid("id").primary_key())
                .col(uuid("user_id"))
                .col(uuid("device_id"))
                .col(big_integer("generation"))
                .col(uuid_null("last_attempt_id"))
                .col(big_integer("created_at"))
                .col(big_integer("rotated_at"))
                .col(big_integer("idle_expires_at"))
                .col(big_integer("expires_at"))
                .col(big_integer_null("revoked_at"))
                .foreign_key(
                    ForeignKey::create().name("sessions_user").from("sessions", "user_id").to("users", "id"),
                )
                .foreign_key(
                    ForeignKey::create()
                        .name("sessions_device")
                        .from("sessions", "device_id")
                        .to("devices", "id"),
                )
                .to_owned(),
        )
        .await?;
    for column in ["user_id", "device_id", "revoked_at"] {
        manager
            .create_index(
                Index::create().name(format!("sessions_{column}")).table("sessions").col(column).to_owned(),
            )
            .await?;
    }
    Ok(())
}
