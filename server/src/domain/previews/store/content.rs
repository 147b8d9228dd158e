//! Manifests, and the content that they refer to.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{
    ActiveValue::Set, ExprTrait as _, QueryOrder as _, QuerySelect as _, QueryTrait as _, entity::prelude::*,
    sea_query::SelectStatement,
};

use super::{
    super::model::{Blob, BlobState, Bundle, BundleEntry, Content, CreatePreview},
    LIST_MAX,
    object::doom,
};
use crate::{
    base::{
        blob::ObjectKey,
        clock::Timestamp,
        db::Tx,
        entropy::Entropy,
        error::{Error, Result},
        ids::ProjectId,
    },
    domain::access::Grant,
};

mod blob {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "preview_blobs")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub project_id: ProjectId,
        pub sha256: Vec<u8>,
        pub size: i64,
        pub state: String,
        pub object_key: Option<String>,
        pub staged_at: Timestamp,
        pub touched_at: Timestamp,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod manifest {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "preview_manifests")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub project_id: ProjectId,
        pub digest: Vec<u8>,
        pub entry_point: String,
        pub platform: i32,
        pub runtime_version: String,
        pub used_until: Timestamp,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod file {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "preview_files")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub manifest_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub position: i32,
        pub path: String,
        pub blob_id: Uuid,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The manifest of a project with a digest.
pub(in super::super) async fn find_manifest(
    tx: &Tx,
    project: ProjectId,
    digest: &[u8; 32],
) -> Result<Option<Uuid>> {
    let found = manifest::Entity::find()
        .filter(manifest::Column::ProjectId.eq(project))
        .filter(manifest::Column::Digest.eq(digest.to_vec()))
        .one(&tx.sql())
        .await?;
    Ok(found.map(|row| row.id))
}

/// Keeps a manifest and its content until `until` at least.
pub(in super::super) async fn keep_manifest(tx: &Tx, id: Uuid, until: Timestamp) -> Result<()> {
    manifest::Entity::update_many()
        .col_expr(manifest::Column::UsedUntil, Expr::value(until))
        .filter(manifest::Column::Id.eq(id))
        .filter(manifest::Column::UsedUntil.lt(until))
        .exec(&tx.sql())
        .await?;
    Ok(())
}

/// Adds the manifest of `command` to a project of the team of `_grant`, with the content that is new to the
/// project; the project is locked.
pub(in super::super) async fn insert_manifest(
    tx: &Tx,
    _grant: &Grant,
    entropy: &Entropy,
    command: &CreatePreview,
    now: Timestamp,
) -> Result<Uuid> {
    let blobs = announce(tx, entropy, command, now).await?;
    let id = entropy.uuid(now)?;
    manifest::Entity::insert(manifest::ActiveModel {
        id: Set(id),
        project_id: Set(command.project),
        digest: Set(command.manifest.digest().to_vec()),
        entry_point: Set(command.manifest.entry_point().as_str().to_owned()),
        platform: Set(command.manifest.platform().into()),
        runtime_version: Set(command.manifest.runtime_version().to_owned()),
        used_until: Set(now + command.lifetime),
    })
    .exec_without_returning(&tx.sql())
    .await?;
    let mut rows = Vec::with_capacity(command.manifest.files().len());
    for (position, file) in (0..).zip(command.manifest.files()) {
        let content = Content { sha256: file.sha256, size: file.size };
        let blob = blobs.get(&content).ok_or_else(|| Error::internal("a content was not announced"))?;
        rows.push(file::ActiveModel {
            manifest_id: Set(id),
            position: Set(position),
            path: Set(file.path.as_str().to_owned()),
            blob_id: Set(*blob),
        });
    }
    for chunk in rows.chunks(LIST_MAX) {
        file::Entity::insert_many(chunk.iter().cloned()).exec_without_returning(&tx.sql()).await?;
    }
    Ok(id)
}

/// Makes sure that every content of a manifest has a row.
async fn announce(
    tx: &Tx,
    entropy: &Entropy,
    command: &CreatePreview,
    now: Timestamp,
) -> Result<HashMap<Content, Uuid>> {
    let contents: BTreeSet<Content> = command
        .manifest
        .files()
        .iter()
        .map(|file| Content { sha256: file.sha256, size: file.size })
        .collect();
    let contents: Vec<Content> = contents.into_iter().collect();
    let mut known = HashMap::with_capacity(contents.len());
    for chunk in contents.chunks(LIST_MAX) {
        let rows = blob::Entity::find()
            .filter(blob::Column::ProjectId.eq(command.project))
            .filter(blob::Column::Sha256.is_in(chunk.iter().map(|content| content.sha256.to_vec())))
            .all(&tx.sql())
            .await?;
        for row in rows {
            let blob = Blob::try_from(row)?;
            known.insert(blob.content, blob.id);
        }
    }
    let new: Vec<Content> = contents.into_iter().filter(|content| !known.contains_key(content)).collect();
    for chunk in new.chunks(LIST_MAX) {
        let mut rows = Vec::with_capacity(chunk.len());
        for content in chunk {
            let id = entropy.uuid(now)?;
            known.insert(*content, id);
            rows.push(blob::ActiveModel {
                id: Set(id),
                project_id: Set(command.project),
                sha256: Set(content.sha256.to_vec()),
                size: Set(i64::try_from(content.size).unwrap_or(i64::MAX)),
                state: Set(BlobState::Missing.as_str().to_owned()),
                object_key: Set(None),
                staged_at: Set(now),
                touched_at: Set(now),
            });
        }
        blob::Entity::insert_many(rows).exec_without_returning(&tx.sql()).await?;
    }
    Ok(known)
}

/// The contents of a manifest that no worker has found right, ascending by digest.
pub(in super::super) async fn unverified(tx: &Tx, manifest: Uuid) -> Result<Vec<Blob>> {
    let rows = blob::Entity::find()
        .filter(blob::Column::Id.in_subquery(blobs_of(manifest)))
        .filter(blob::Column::State.ne(BlobState::Verified.as_str()))
        .order_by_asc(blob::Column::Sha256)
        .all(&tx.sql())
        .await?;
    rows.into_iter().map(Blob::try_from).collect()
}

/// The contents of a manifest with these digests; at most 200.
pub(in super::super) async fn contents_among(
    tx: &Tx,
    manifest: Uuid,
    digests: &[[u8; 32]],
) -> Result<HashMap<[u8; 32], Blob>> {
    let rows = blob::Entity::find()
        .filter(blob::Column::Id.in_subquery(blobs_of(manifest)))
        .filter(blob::Column::Sha256.is_in(digests.iter().map(|digest| digest.to_vec())))
        .all(&tx.sql())
        .await?;
    let blobs = rows.into_iter().map(|row| Blob::try_from(row).map(|blob| (blob.content.sha256, blob)));
    blobs.collect()
}

/// Writes down the object that a content is about to be uploaded to, before anybody learns of it.
pub(in super::super) async fn stage(
    tx: &Tx,
    _grant: &Grant,
    blob: Uuid,
    object: &ObjectKey,
    now: Timestamp,
) -> Result<()> {
    blob::Entity::update_many()
        .col_expr(blob::Column::State, Expr::value(BlobState::Staged.as_str()))
        .col_expr(blob::Column::ObjectKey, Expr::value(object.to_string()))
        .col_expr(blob::Column::StagedAt, Expr::value(now))
        .col_expr(blob::Column::TouchedAt, Expr::value(now))
        .filter(blob::Column::Id.eq(blob))
        .filter(blob::Column::State.eq(BlobState::Missing.as_str()))
        .exec(&tx.sql())
        .await?;
    Ok(())
}

/// Takes note that an object of the right size is there, if it is still the content's object.
pub(in super::super) async fn mark_arrived(tx: &Tx, blobs: &[Blob], now: Timestamp) -> Result<()> {
    for chunk in blobs.chunks(LIST_MAX) {
        let objects = chunk.iter().filter_map(|blob| blob.object.map(|object| object.to_string()));
        blob::Entity::update_many()
            .col_expr(blob::Column::State, Expr::value(BlobState::Arrived.as_str()))
            .col_expr(blob::Column::TouchedAt, Expr::value(now))
            .filter(blob::Column::Id.is_in(chunk.iter().map(|blob| blob.id)))
            .filter(blob::Column::ObjectKey.is_in(objects))
            .filter(blob::Column::State.eq(BlobState::Staged.as_str()))
            .exec(&tx.sql())
            .await?;
    }
    Ok(())
}

/// Keeps the uploads of a manifest while a worker is about to look at them.
pub(in super::super) async fn touch(tx: &Tx, manifest: Uuid, now: Timestamp) -> Result<()> {
    blob::Entity::update_many()
        .col_expr(blob::Column::TouchedAt, Expr::value(now))
        .filter(blob::Column::Id.in_subquery(blobs_of(manifest)))
        .exec(&tx.sql())
        .await?;
    Ok(())
}

/// Takes note of what a worker that began at `since` found right. What was staged later, it has not seen.
pub(in super::super) async fn mark_verified(
    tx: &Tx,
    manifest: Uuid,
    digests: &[[u8; 32]],
    since: Timestamp,
) -> Result<()> {
    for chunk in digests.chunks(LIST_MAX) {
        blob::Entity::update_many()
            .col_expr(blob::Column::State, Expr::value(BlobState::Verified.as_str()))
            .filter(judged(manifest, chunk, since))
            .exec(&tx.sql())
            .await?;
    }
    Ok(())
}

/// Has the objects deleted from `due_at` on in which a worker that began at `since` found something else,
/// or nothing; their contents are missing again.
pub(in super::super) async fn mark_rejected(
    tx: &Tx,
    manifest: Uuid,
    digests: &[[u8; 32]],
    since: Timestamp,
    due_at: Timestamp,
) -> Result<()> {
    for chunk in digests.chunks(LIST_MAX) {
        discard_objects(tx, judged(manifest, chunk, since), due_at).await?;
    }
    Ok(())
}

fn judged(manifest: Uuid, digests: &[[u8; 32]], since: Timestamp) -> sea_orm::Condition {
    sea_orm::Condition::all()
        .add(blob::Column::Id.in_subquery(blobs_of(manifest)))
        .add(blob::Column::Sha256.is_in(digests.iter().map(|digest| digest.to_vec())))
        .add(blob::Column::State.is_in([BlobState::Staged.as_str(), BlobState::Arrived.as_str()]))
        .add(blob::Column::StagedAt.lte(since))
}

/// Marks the objects of all contents that meet `condition`, and makes the contents missing.
async fn discard_objects(tx: &Tx, condition: sea_orm::Condition, due_at: Timestamp) -> Result<()> {
    let rows = blob::Entity::find().filter(condition).all(&tx.sql()).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    doom(tx, rows.into_iter().filter_map(|row| row.object_key).collect(), due_at).await?;
    for chunk in ids.chunks(LIST_MAX) {
        blob::Entity::update_many()
            .col_expr(blob::Column::State, Expr::value(BlobState::Missing.as_str()))
            .col_expr(blob::Column::ObjectKey, Expr::value(Option::<String>::None))
            .filter(blob::Column::Id.is_in(chunk.iter().copied()))
            .exec(&tx.sql())
            .await?;
    }
    Ok(())
}

/// At most `count` paths of a manifest whose content no worker has found right, ascending.
pub(in super::super) async fn unverified_paths(tx: &Tx, manifest: Uuid, count: u64) -> Result<Vec<String>> {
    let unverified = blob::Entity::find()
        .select_only()
        .column(blob::Column::Id)
        .filter(blob::Column::State.ne(BlobState::Verified.as_str()))
        .into_query();
    let rows = file::Entity::find()
        .filter(file::Column::ManifestId.eq(manifest))
        .filter(file::Column::BlobId.in_subquery(unverified))
        .order_by_asc(file::Column::Position)
        .limit(count)
        .all(&tx.sql())
        .await?;
    Ok(rows.into_iter().map(|row| row.path).collect())
}

/// A manifest as it is shown to the device that opens it.
pub(in super::super) async fn bundle(tx: &Tx, manifest: Uuid) -> Result<Option<Bundle>> {
    let Some(head) = manifest::Entity::find_by_id(manifest).one(&tx.sql()).await? else { return Ok(None) };
    let blobs =
        blob::Entity::find().filter(blob::Column::Id.in_subquery(blobs_of(manifest))).all(&tx.sql()).await?;
    let mut contents = HashMap::with_capacity(blobs.len());
    for row in blobs {
        let blob = Blob::try_from(row)?;
        contents.insert(blob.id, blob.content);
    }
    let rows = file::Entity::find()
        .filter(file::Column::ManifestId.eq(manifest))
        .order_by_asc(file::Column::Position)
        .all(&tx.sql())
        .await?;
    let mut files = Vec::with_capacity(rows.len());
    for row in rows {
        let content = contents.get(&row.blob_id).ok_or_else(|| Error::internal("a file has no content"))?;
        files.push(BundleEntry { path: row.path, content: *content });
    }
    Ok(Some(Bundle {
        files,
        entry_point: head.entry_point,
        platform: head.platform,
        runtime_version: head.runtime_version,
    }))
}

/// At most `count` projects with manifests that nobody used since `used_before`, or uploads that were
/// neither finished nor touched since `touched_before`.
pub(in super::super) async fn projects_to_sweep(
    tx: &Tx,
    used_before: Timestamp,
    touched_before: Timestamp,
    count: u64,
) -> Result<BTreeSet<ProjectId>> {
    let mut projects: Vec<ProjectId> = manifest::Entity::find()
        .select_only()
        .column(manifest::Column::ProjectId)
        .distinct()
        .filter(manifest::Column::UsedUntil.lt(used_before))
        .limit(count)
        .into_tuple()
        .all(&tx.sql())
        .await?;
    let uploading: Vec<ProjectId> = blob::Entity::find()
        .select_only()
        .column(blob::Column::ProjectId)
        .distinct()
        .filter(stale_uploads(touched_before))
        .limit(count)
        .into_tuple()
        .all(&tx.sql())
        .await?;
    projects.extend(uploading);
    Ok(projects.into_iter().collect())
}

fn stale_uploads(touched_before: Timestamp) -> sea_orm::Condition {
    sea_orm::Condition::all()
        .add(blob::Column::State.is_in([BlobState::Staged.as_str(), BlobState::Arrived.as_str()]))
        .add(blob::Column::TouchedAt.lt(touched_before))
}

/// Has the objects deleted from `due_at` on of uploads that were not touched since `touched_before`; the
/// project is locked.
pub(in super::super) async fn discard_stale_uploads(
    tx: &Tx,
    project: ProjectId,
    touched_before: Timestamp,
    due_at: Timestamp,
) -> Result<()> {
    let stale = stale_uploads(touched_before).add(blob::Column::ProjectId.eq(project));
    discard_objects(tx, stale, due_at).await
}

/// Forgets at most `count` manifests that nobody used since `used_before`, and has the objects deleted from
/// `due_at` on that no other manifest refers to; the project is locked.
pub(in super::super) async fn discard_stale_manifests(
    tx: &Tx,
    project: ProjectId,
    used_before: Timestamp,
    due_at: Timestamp,
    count: u64,
) -> Result<()> {
    let stale: Vec<Uuid> = manifest::Entity::find()
        .select_only()
        .column(manifest::Column::Id)
        .filter(manifest::Column::ProjectId.eq(project))
        .filter(manifest::Column::UsedUntil.lt(used_before))
        .limit(count)
        .into_tuple()
        .all(&tx.sql())
        .await?;
    manifest::Entity::delete_many().filter(manifest::Column::Id.is_in(stale)).exec(&tx.sql()).await?;
    let reference = file::Entity::find()
        .select_only()
        .column(file::Column::BlobId)
        .filter(Expr::col((file::Entity, file::Column::BlobId)).equals((blob::Entity, blob::Column::Id)))
        .into_query();
    let orphans = blob::Entity::find()
        .filter(blob::Column::ProjectId.eq(project))
        .filter(Expr::exists(reference).not())
        .all(&tx.sql())
        .await?;
    let ids: Vec<Uuid> = orphans.iter().map(|row| row.id).collect();
    doom(tx, orphans.into_iter().filter_map(|row| row.object_key).collect(), due_at).await?;
    for chunk in ids.chunks(LIST_MAX) {
        blob::Entity::delete_many()
            .filter(blob::Column::Id.is_in(chunk.iter().copied()))
            .exec(&tx.sql())
            .await?;
    }
    Ok(())
}

fn blobs_of(manifest: Uuid) -> SelectStatement {
    file::Entity::find()
        .select_only()
        .column(file::Column::BlobId)
        .filter(file::Column::ManifestId.eq(manifest))
        .into_query()
}

impl TryFrom<blob::Model> for Blob {
    type Error = Error;

    fn try_from(row: blob::Model) -> Result<Self> {
        let broken = || Error::internal("the row of a content is broken");
        let object =
            row.object_key.as_deref().map(|key| ObjectKey::parse(key).ok_or_else(broken)).transpose()?;
        Ok(Self {
            id: row.id,
            content: Content {
                sha256: row.sha256.try_into().map_err(|_| broken())?,
                size: row.size.unsigned_abs(),
            },
            state: BlobState::parse(&row.state).ok_or_else(broken)?,
            object,
        })
    }
}
