//! The queue: a narrow table that is written often, beside what is written once or rarely read.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// As in the slice's model: 1 is queued; 2 and 3 are leased; 5 is failed.
const QUEUED: &str = "state = 1";
const LEASED: &str = "state IN (2, 3)";
const FAILED: &str = "state = 5";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(jobs()).await?;
        for index in indexes() {
            manager.create_index(index).await?;
        }
        manager.create_table(job_payloads()).await?;
        manager.create_table(job_attempts()).await?;
        manager.create_table(workers()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["workers", "job_attempts", "job_payloads", "jobs"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn jobs() -> TableCreateStatement {
    Table::create()
        .table("jobs")
        .col(uuid("id").primary_key())
        .col(small_integer("kind"))
        .col(small_integer("state"))
        .col(small_integer("priority"))
        .col(uuid("team_id"))
        .col(uuid_null("project_id"))
        .col(string_null("concurrency_key"))
        .col(integer("attempts"))
        .col(integer("infra_failures"))
        .col(big_integer("lease_epoch"))
        .col(binary_null("lease_token"))
        .col(big_integer_null("lease_until"))
        .col(boolean("accepted"))
        .col(string_null("worker_id"))
        .col(uuid_null("incarnation_id"))
        .col(big_integer_null("time_limit_at"))
        .col(big_integer_null("cancel_until"))
        .col(integer_null("failure"))
        .col(big_integer("due_at"))
        .col(big_integer("created_at"))
        .col(big_integer_null("started_at"))
        .col(big_integer_null("finished_at"))
        .to_owned()
}

fn indexes() -> [IndexCreateStatement; 9] {
    let index = |name: &'static str| Index::create().name(name).table("jobs").to_owned();
    [
        index("jobs_queued").col("team_id").col("id").and_where(Expr::cust(QUEUED)).to_owned(),
        index("jobs_due").col("due_at").and_where(Expr::cust(QUEUED)).to_owned(),
        index("jobs_queued_key").col("concurrency_key").and_where(Expr::cust(QUEUED)).to_owned(),
        // Two servers that claim at the same moment cannot both start a job of one key.
        index("jobs_leased_key").col("concurrency_key").unique().and_where(Expr::cust(LEASED)).to_owned(),
        // The newest epoch of a key.
        index("jobs_key_epoch").col("concurrency_key").col("lease_epoch").to_owned(),
        index("jobs_leased").col("lease_until").and_where(Expr::cust(LEASED)).to_owned(),
        index("jobs_failed").col("kind").and_where(Expr::cust(FAILED)).to_owned(),
        index("jobs_team").col("team_id").col("id").to_owned(),
        index("jobs_project").col("project_id").col("id").to_owned(),
    ]
}

fn job_payloads() -> TableCreateStatement {
    Table::create()
        .table("job_payloads")
        .col(uuid("job_id").primary_key())
        .col(text("work"))
        .col(string("correlation_id"))
        .col(uuid_null("requested_by"))
        .foreign_key(ForeignKey::create().from("job_payloads", "job_id").to("jobs", "id"))
        .to_owned()
}

fn job_attempts() -> TableCreateStatement {
    Table::create()
        .table("job_attempts")
        .col(uuid("job_id"))
        .col(big_integer("lease_epoch"))
        .col(string("worker_id"))
        .col(uuid("incarnation_id"))
        .col(big_integer("started_at"))
        .col(big_integer_null("ended_at"))
        .col(small_integer_null("class"))
        .col(integer_null("reason"))
        .col(string_null("detail"))
        .col(uuid_null("commit_id"))
        .col(small_integer_null("answer"))
        .primary_key(Index::create().col("job_id").col("lease_epoch"))
        .foreign_key(ForeignKey::create().from("job_attempts", "job_id").to("jobs", "id"))
        .to_owned()
}

fn workers() -> TableCreateStatement {
    Table::create()
        .table("workers")
        .col(string("worker_id").primary_key())
        .col(uuid("incarnation_id"))
        .col(uuid("session_id"))
        .col(string("build"))
        .col(string("kinds"))
        .col(integer("slots"))
        .col(integer("sandbox_tier"))
        .col(boolean("draining"))
        .col(big_integer("connected_at"))
        .col(big_integer("seen_at"))
        .to_owned()
}
