//! Previews, their manifests, and the objects that hold their files.

use sea_orm_migration::{prelude::*, schema::*};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [projects(), blobs(), manifests(), files(), previews(), doomed_objects()] {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "preview_doomed_objects",
            "previews",
            "preview_files",
            "preview_manifests",
            "preview_blobs",
            "preview_projects",
        ] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

/// One row for each project that ever had a preview: what its tokens are counted against, and what its
/// writers wait for each other on.
fn projects() -> TableCreateStatement {
    Table::create()
        .table("preview_projects")
        .col(uuid("project_id").primary_key())
        .col(integer("epoch"))
        .to_owned()
}

/// Content that a project has sent or announced. Written down before an object of that name can exist, so
/// that no object is ever unknown.
fn blobs() -> TableCreateStatement {
    Table::create()
        .table("preview_blobs")
        .col(uuid("id").primary_key())
        .col(uuid("project_id"))
        .col(binary("sha256"))
        .col(big_integer("size"))
        .col(string("state"))
        .col(string_null("object_key"))
        .col(big_integer("staged_at"))
        .col(big_integer("touched_at"))
        .to_owned()
}

fn manifests() -> TableCreateStatement {
    Table::create()
        .table("preview_manifests")
        .col(uuid("id").primary_key())
        .col(uuid("project_id"))
        .col(binary("digest"))
        .col(text("entry_point"))
        .col(integer("platform"))
        .col(string("runtime_version"))
        .col(big_integer("used_until"))
        .to_owned()
}

fn files() -> TableCreateStatement {
    Table::create()
        .table("preview_files")
        .col(uuid("manifest_id"))
        .col(integer("position"))
        .col(text("path"))
        .col(uuid("blob_id"))
        .primary_key(Index::create().col("manifest_id").col("position"))
        .foreign_key(
            ForeignKey::create()
                .name("preview_files_manifest")
                .from("preview_files", "manifest_id")
                .to("preview_manifests", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .foreign_key(
            ForeignKey::create()
                .name("preview_files_blob")
                .from("preview_files", "blob_id")
                .to("preview_blobs", "id"),
        )
        .to_owned()
}

fn previews() -> TableCreateStatement {
    Table::create()
        .table("previews")
        .col(uuid("id").primary_key())
        .col(uuid("project_id"))
        .col(uuid("team_id"))
        .col(uuid("publisher_id"))
        .col(uuid_null("device_id"))
        .col(string("state"))
        .col(binary("manifest_digest"))
        .col(integer("platform"))
        .col(integer("file_count"))
        .col(big_integer("total_bytes"))
        .col(uuid_null("verify_job_id"))
        .col(text("rejected_paths"))
        .col(big_integer("created_at"))
        .col(big_integer("expires_at"))
        .to_owned()
}

/// Objects that nothing refers to any more; each is deleted first, and then its row.
fn doomed_objects() -> TableCreateStatement {
    Table::create()
        .table("preview_doomed_objects")
        .col(string("object_key").primary_key())
        .col(big_integer("due_at"))
        .to_owned()
}

fn indexes() -> [IndexCreateStatement; 7] {
    let index = |name: &'static str, table: &'static str, columns: &[&'static str]| {
        let mut index = Index::create().name(name).table(table).to_owned();
        for column in columns {
            index.col(*column);
        }
        index
    };
    [
        index("preview_blobs_content", "preview_blobs", &["project_id", "sha256", "size"])
            .unique()
            .to_owned(),
        index("preview_blobs_touched", "preview_blobs", &["state", "touched_at"]),
        index("preview_manifests_digest", "preview_manifests", &["project_id", "digest"]).unique().to_owned(),
        index("preview_manifests_used", "preview_manifests", &["used_until"]),
        index("preview_files_blob_id", "preview_files", &["blob_id"]),
        index("previews_project", "previews", &["project_id", "id"]),
        index("previews_expiry", "previews", &["state", "expires_at"]),
    ]
}
